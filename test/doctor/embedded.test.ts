import { UpdateTableCommand } from '@aws-sdk/client-dynamodb'
import { DescribeRuleCommand, EventBridgeClient } from '@aws-sdk/client-eventbridge'
import {
  GetAccountSettingsCommand,
  GetFunctionConfigurationCommand,
  LambdaClient,
  ListEventSourceMappingsCommand,
  ResourceNotFoundException,
} from '@aws-sdk/client-lambda'
import { PutBucketNotificationConfigurationCommand, PutBucketVersioningCommand } from '@aws-sdk/client-s3'
import { GetCallerIdentityCommand, STSClient } from '@aws-sdk/client-sts'
import { mockClient } from 'aws-sdk-client-mock'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { functionNames } from '../../shared/doctor/functions.ts'
import {
  audience,
  type DoctorClouds,
  goodBucket,
  instance,
  stage,
  startDoctorClouds,
} from '../support/doctor-clouds.ts'
import { eventSourcesOf } from '../support/doctor-world.ts'

/**
 * The command against embedded S3, DynamoDB, Cloud Storage and Bigtable. STS, Lambda and EventBridge are mocks that answer as
 * AWS's documentation says, and Google's IAM and KMS a fake: none of this was run on real accounts.
 */

const sts = mockClient(STSClient)
const lambda = mockClient(LambdaClient)
const eventBridge = mockClient(EventBridgeClient)

let clouds: DoctorClouds
beforeAll(async () => {
  clouds = await startDoctorClouds()
})
afterAll(() => clouds.stop())

const serviceAccount = 'lifeboat-writer@example-project.iam.gserviceaccount.com'
const member = (role: string): string =>
  `principalSet://iam.googleapis.com/projects/123456789/locations/global/workloadIdentityPools/lifeboat/attribute.aws_role/arn:aws:sts::111122223333:assumed-role/${role}`
const policyPath = `POST /v1/projects/-/serviceAccounts/${serviceAccount}:getIamPolicy`
const providerPath = `GET /v1/${audience.replace('//iam.googleapis.com/', '')}`

beforeEach(() => {
  for (const mock of [sts, lambda, eventBridge]) mock.reset()
  sts
    .on(GetCallerIdentityCommand)
    .resolves({ Account: '111122223333', Arn: 'arn:aws:iam::111122223333:user/ops', UserId: 'AIDA' })
  lambda
    .on(GetAccountSettingsCommand)
    .resolves({ AccountLimit: { ConcurrentExecutions: 1000, UnreservedConcurrentExecutions: 900 } })
  lambda.on(ListEventSourceMappingsCommand).callsFake(({ FunctionName }: { FunctionName: string }) => ({
    EventSourceMappings: eventSourcesOf(FunctionName, clouds.streamArn).map(({ id, arn, state }) => ({
      UUID: id,
      EventSourceArn: arn,
      State: state,
      ...(arn.includes(':sqs:') && { ScalingConfig: { MaximumConcurrency: 50 } }),
    })),
  }))
  eventBridge.on(DescribeRuleCommand).resolves({ State: 'ENABLED' })
  lambda.on(GetFunctionConfigurationCommand).callsFake(({ FunctionName }: { FunctionName: string }) => ({
    FunctionName,
    Role: `arn:aws:iam::111122223333:role/${FunctionName}`,
    Environment: { Variables: { GCP_WIF_AUDIENCE: audience, GCP_SERVICE_ACCOUNT: serviceAccount } },
  }))
  const { answers } = clouds.control
  answers.clear()
  answers.set(providerPath, { body: { name: 'x', state: 'ACTIVE', aws: { accountId: '111122223333' } } })
  const members = functionNames(clouds.config, stage).map(member)
  answers.set(policyPath, { body: { etag: 'x', bindings: [{ role: 'roles/iam.workloadIdentityUser', members }] } })
})

type Answer = {
  totals: object
  checks: { id: string; subject: string; outcome: string; detail: string; fix?: string }[]
}
const wrong = async (...args: string[]) => {
  const { code, stdout } = await clouds.run('--json', ...args)
  return { code, checks: (JSON.parse(stdout) as Answer).checks.filter(({ outcome }) => outcome !== 'ok') }
}

const createProfile = (routing: object): Promise<void> =>
  clouds.bigtableAdmin('instanceAdmin', 'CreateAppProfile', {
    parent: instance,
    appProfileId: 'lifeboat',
    appProfile: routing,
  })
const removeProfile = (): Promise<void> =>
  clouds.bigtableAdmin('instanceAdmin', 'DeleteAppProfile', { name: `${instance}/appProfiles/lifeboat` })

describe('lifeboat doctor on embedded clouds', () => {
  it('names an app profile that infra has not made, with its fix, and nothing else', async () => {
    expect(await wrong()).toMatchObject({
      code: 1,
      checks: [{ id: 'app-profile', subject: 'lifeboat', outcome: 'finding', detail: 'there is no such app profile' }],
    })
    await createProfile({ multiClusterRoutingUseAny: {} })
    expect((await wrong()).checks).toMatchObject([{ id: 'app-profile', detail: 'it routes to any cluster' }])
    await removeProfile()
    await createProfile({ singleClusterRouting: { clusterId: 'lifeboat-rows-c1', allowTransactionalWrites: true } })
  })

  it('says in a few lines that a good setup is one', async () => {
    const { code, stdout, stderr } = await clouds.run()
    expect({ code, stdout, stderr }).toEqual({
      code: 0,
      stdout: 'Fine: nothing to fix\nsource: 31 checks fine\nreplica: 11 checks fine\nboth: 12 checks fine\n',
      stderr: '',
    })
    const whole = await clouds.run('--all')
    expect(whole.stdout).toContain('S3 versioning: models')
    expect(whole.stdout).toMatch(/d: 1 versions, m: 1 versions/)
  })

  it('names what is planted on the source, each with its fix', async () => {
    const { s3, dynamodb } = clouds
    const versioning = (Status: 'Enabled' | 'Suspended') =>
      s3.send(new PutBucketVersioningCommand({ Bucket: 'models', VersioningConfiguration: { Status } }))
    const notification = (NotificationConfiguration: object) =>
      s3.send(new PutBucketNotificationConfigurationCommand({ Bucket: 'models', NotificationConfiguration }))
    const stream = (StreamSpecification: {
      StreamEnabled: boolean
      StreamViewType?: 'KEYS_ONLY' | 'NEW_AND_OLD_IMAGES'
    }) => dynamodb.send(new UpdateTableCommand({ TableName: 'users', StreamSpecification }))
    await versioning('Suspended')
    await notification({})
    await stream({ StreamEnabled: false })
    expect(await wrong('--only', 'source')).toMatchObject({
      code: 1,
      checks: [
        {
          id: 's3-versioning',
          detail: expect.stringContaining('suspended'),
          fix: expect.stringContaining('Status=Enabled'),
        },
        { id: 's3-eventbridge', outcome: 'finding', fix: expect.stringContaining('EventBridgeConfiguration') },
        { id: 'stream', detail: 'disabled', fix: expect.stringContaining('NEW_AND_OLD_IMAGES') },
        { id: 'stream-epoch', outcome: 'unknown' },
      ],
    })
    await stream({ StreamEnabled: true, StreamViewType: 'KEYS_ONLY' })
    await versioning('Enabled')
    await notification({ EventBridgeConfiguration: {} })
    const { code, stdout } = await clouds.run('--only', 'source')
    expect(code).toBe(1)
    expect(stdout).toMatch(/^2 things to fix\nsource: 29 checks fine\n/)
    expect(stdout).toMatch(/FIX +source +the stream carries both images: users +it carries KEYS_ONLY/)
    expect(stdout).toMatch(
      /How to fix:\n {2}the stream carries both images: users\n {4}aws dynamodb update-table --table-name users/,
    )
    expect(stdout).toMatch(/the current stream has the highest epoch: users\n {4}list arn:aws:dynamodb:.* with epoch 2/)
  })

  it('names what is planted on the replica, each with its fix', async () => {
    await clouds.admin('/replica', 'PATCH', {
      versioning: { enabled: false },
      iamConfiguration: { uniformBucketLevelAccess: { enabled: false }, publicAccessPrevention: 'inherited' },
      encryption: { defaultKmsKeyName: 'projects/p/locations/l/keyRings/r/cryptoKeys/k' },
    })
    const modifications = [{ id: 'm', drop: true }]
    await clouds.bigtableAdmin('tableAdmin', 'ModifyColumnFamilies', {
      name: `${instance}/tables/users`,
      modifications,
    })
    const found = await wrong('--only', 'replica')
    expect(found).toMatchObject({
      code: 1,
      checks: [
        { id: 'bucket-public', fix: expect.stringContaining('--public-access-prevention') },
        { id: 'bucket-uniform' },
        { id: 'bucket-versioning', detail: 'no versioning', fix: expect.stringContaining('--versioning') },
        { id: 'bigtable-table', subject: 'users', detail: 'no family m' },
        { id: 'restore-keys', outcome: 'unknown', detail: expect.stringContaining('was not found') },
      ],
    })
    clouds.control.answers.set('GET /v1/projects/p/locations/l/keyRings/r/cryptoKeys/k', {
      body: { primary: { state: 'ENABLED', protectionLevel: 'EXTERNAL' } },
    })
    expect((await wrong('--only', 'replica')).checks.at(-1)).toMatchObject({
      id: 'restore-keys',
      outcome: 'finding',
      detail: expect.stringContaining('EXTERNAL'),
    })
    await clouds.admin('/replica', 'PATCH', { ...goodBucket, encryption: null })
    const again = [{ id: 'm', create: { gcRule: { maxNumVersions: 1 } } }]
    await clouds.bigtableAdmin('tableAdmin', 'ModifyColumnFamilies', {
      name: `${instance}/tables/users`,
      modifications: again,
    })
    expect(await wrong('--only', 'replica')).toEqual({ code: 0, checks: [] })
  })

  it('names a login that cannot work', async () => {
    clouds.control.answers.set(policyPath, {
      body: { bindings: [{ role: 'roles/iam.workloadIdentityUser', members: [member('other')] }] },
    })
    const unbound = (await wrong()).checks.filter(({ id }) => id === 'login')
    expect(unbound.length).toBe(10)
    expect(unbound[0]).toMatchObject({
      outcome: 'finding',
      detail: `lifeboat-prod-planObject may not become ${serviceAccount}`,
    })
    clouds.control.answers.set(providerPath, {
      status: 403,
      body: { error: { code: 403, message: 'iam.workloadIdentityPoolProviders.get denied' } },
    })
    expect((await wrong()).checks.find(({ id }) => id === 'login')).toMatchObject({
      outcome: 'unknown',
      detail: expect.stringContaining('denied'),
    })
    clouds.control.answers.delete(providerPath)
    expect((await wrong()).checks.find(({ id }) => id === 'login')).toMatchObject({
      outcome: 'finding',
      detail: `there is no provider ${audience}`,
    })
  })

  it('what is not deployed, denied or unreachable is a finding or unknown, and the exit code says which', async () => {
    lambda
      .on(GetFunctionConfigurationCommand)
      .rejects(new ResourceNotFoundException({ message: 'Function not found', $metadata: {}, Type: 'User' }))
    const missing = await wrong('--only', 'source')
    expect(missing.checks.filter(({ id }) => id === 'function').length).toBe(10)
    const denied = Object.assign(new Error('User is not authorized to perform: lambda:GetFunctionConfiguration'), {
      name: 'AccessDeniedException',
    })
    lambda.on(GetFunctionConfigurationCommand).rejects(denied)
    const unseen = (await wrong('--only', 'source')).checks.filter(({ id }) => id === 'function')
    expect(unseen[0]).toMatchObject({
      outcome: 'unknown',
      detail: expect.stringContaining('lambda:GetFunctionConfiguration'),
    })
  })
})
