import { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { DescribeRuleCommand, EventBridgeClient } from '@aws-sdk/client-eventbridge'
import { IAMClient, SimulatePrincipalPolicyCommand } from '@aws-sdk/client-iam'
import { DescribeKeyCommand, GetKeyPolicyCommand, KMSClient } from '@aws-sdk/client-kms'
import {
  GetFunctionConfigurationCommand,
  LambdaClient,
  ListEventSourceMappingsCommand,
  ResourceNotFoundException,
} from '@aws-sdk/client-lambda'
import { GetBucketEncryptionCommand, S3Client } from '@aws-sdk/client-s3'
import { STSClient } from '@aws-sdk/client-sts'
import { mockClient } from 'aws-sdk-client-mock'
import { AwsClient, Compute, IdentityPoolClient, Impersonated, JWT, UserRefreshClient } from 'google-auth-library'
import { beforeEach, describe, expect, it } from 'vitest'
import { createSourceFacts } from '../../shared/clouds/aws/source-facts.ts'
import { createKeylessAuth } from '../../shared/clouds/gcp/keyless.ts'
import { describeCredentials } from '../../shared/clouds/gcp/credentials-kind.ts'
import { DeniedError, UnavailableError } from '../../shared/errors.ts'

/** Answers as AWS's documentation says, of mocks: not run on real accounts. */

const settings = { region: 'eu-west-1', credentials: { accessKeyId: 'x', secretAccessKey: 'x' } }
const clients = {
  s3: new S3Client(settings),
  dynamodb: new DynamoDBClient(settings),
  sts: new STSClient(settings),
  kms: new KMSClient(settings),
  iam: new IAMClient(settings),
  lambda: new LambdaClient(settings),
  eventBridge: new EventBridgeClient(settings),
}
const s3 = mockClient(clients.s3)
const kms = mockClient(clients.kms)
const iam = mockClient(clients.iam)
const lambda = mockClient(clients.lambda)
const eventBridge = mockClient(clients.eventBridge)
beforeEach(() => {
  for (const mock of [s3, kms, iam, lambda, eventBridge]) mock.reset()
})
const facts = createSourceFacts(clients, 'http://127.0.0.1:1/')
const arn = 'arn:aws:kms:eu-west-1:111122223333:key/k'
const named = (name: string, message = name): Error => Object.assign(new Error(message), { name, $metadata: {} })

describe('keys of the source', () => {
  it.each<[string, object | undefined, string | undefined]>([
    ['SSE-S3', { SSEAlgorithm: 'AES256' }, undefined],
    ['SSE-KMS with a key', { SSEAlgorithm: 'aws:kms', KMSMasterKeyID: arn }, arn],
    ["SSE-KMS with AWS's own key", { SSEAlgorithm: 'aws:kms' }, 'alias/aws/s3'],
    ['two layers of KMS', { SSEAlgorithm: 'aws:kms:dsse', KMSMasterKeyID: arn }, arn],
  ])('%s', async (_title, ApplyServerSideEncryptionByDefault, key) => {
    s3.on(GetBucketEncryptionCommand).resolves({
      ServerSideEncryptionConfiguration: {
        Rules: [{ ApplyServerSideEncryptionByDefault: ApplyServerSideEncryptionByDefault as never }],
      },
    })
    expect(await facts.bucketKey('models')).toBe(key)
  })

  it('no configuration of encryption is none of KMS, and a denial is no answer', async () => {
    s3.on(GetBucketEncryptionCommand).rejects(named('ServerSideEncryptionConfigurationNotFoundError'))
    expect(await facts.bucketKey('models')).toBeUndefined()
    s3.on(GetBucketEncryptionCommand).rejects(named('AccessDenied'))
    await expect(facts.bucketKey('models')).rejects.toThrow(DeniedError)
  })

  const root = { Effect: 'Allow', Principal: { AWS: 'arn:aws:iam::111122223333:root' }, Action: 'kms:*', Resource: '*' }
  it.each<[string, object, boolean]>([
    ['the default policy', root, true],
    ['the account by its number', { ...root, Principal: { AWS: ['111122223333'] } }, true],
    ['decryption alone', { ...root, Action: ['kms:Encrypt', 'kms:Decrypt'] }, true],
    ['administration alone', { ...root, Action: ['kms:Describe*', 'kms:Put*'] }, false],
    ['another account', { ...root, Principal: { AWS: 'arn:aws:iam::999999999999:root' } }, false],
    ['one role', { ...root, Principal: { AWS: 'arn:aws:iam::111122223333:role/x' } }, false],
    [
      'under a condition',
      { ...root, Condition: { StringEquals: { 'kms:ViaService': 's3.eu-west-1.amazonaws.com' } } },
      false,
    ],
    ['a refusal', { ...root, Effect: 'Deny' }, false],
    ['a service', { ...root, Principal: { Service: 'sns.amazonaws.com' } }, false],
  ])('whether IAM decides: %s', async (_title, statement, trustsIam) => {
    kms.on(DescribeKeyCommand).resolves({
      KeyMetadata: {
        KeyId: 'k',
        Arn: arn,
        AWSAccountId: '111122223333',
        KeyState: 'Enabled',
        KeyManager: 'CUSTOMER',
      },
    })
    kms
      .on(GetKeyPolicyCommand, { KeyId: arn, PolicyName: 'default' })
      .resolves({ Policy: JSON.stringify({ Version: '2012-10-17', Statement: [statement] }) })
    expect(await facts.key('alias/models')).toEqual({ arn, state: 'Enabled', isManaged: false, trustsIam })
  })

  it("one of AWS's own needs no policy to be read", async () => {
    kms
      .on(DescribeKeyCommand)
      .resolves({ KeyMetadata: { KeyId: 'k', Arn: arn, KeyState: 'Enabled', KeyManager: 'AWS' } })
    expect(await facts.key('alias/aws/s3')).toMatchObject({ isManaged: true })
    expect(kms.commandCalls(GetKeyPolicyCommand)).toEqual([])
  })

  it('what a role may do is what IAM simulates: implicit and explicit denials are both no', async () => {
    const decide = (...decisions: ('allowed' | 'implicitDeny' | 'explicitDeny')[]) =>
      iam.on(SimulatePrincipalPolicyCommand).resolves({
        EvaluationResults: decisions.map((EvalDecision) => ({
          EvalActionName: 'kms:Decrypt',
          EvalResourceName: arn,
          EvalDecision,
        })),
      })
    const ask = () => facts.mayUseKey('arn:aws:iam::1:role/r', arn, 'kms:Decrypt')
    decide('allowed')
    expect(await ask()).toBe(true)
    expect(iam.commandCalls(SimulatePrincipalPolicyCommand)[0]!.args[0].input).toEqual({
      PolicySourceArn: 'arn:aws:iam::1:role/r',
      ActionNames: ['kms:Decrypt'],
      ResourceArns: [arn],
    })
    decide('implicitDeny')
    expect(await ask()).toBe(false)
    decide('allowed', 'explicitDeny')
    expect(await ask()).toBe(false)
    decide()
    expect(await ask()).toBe(false)
  })
})

describe('functions', () => {
  it('run as often at a time as their queues say together', async () => {
    lambda
      .on(GetFunctionConfigurationCommand)
      .resolves({ Role: 'arn:aws:iam::1:role/r', Environment: { Variables: { GCP_WIF_AUDIENCE: 'a' } } })
    lambda
      .on(ListEventSourceMappingsCommand)
      .resolves({
        EventSourceMappings: [
          { UUID: 'a', EventSourceArn: 'arn:a', State: 'Enabled', ScalingConfig: { MaximumConcurrency: 10 } },
          { UUID: 'b', EventSourceArn: 'arn:b', State: 'Disabled' },
        ],
        NextMarker: 'more',
      })
      .on(ListEventSourceMappingsCommand, { FunctionName: 'f', Marker: 'more' })
      .resolves({
        EventSourceMappings: [{ UUID: 'c', EventSourceArn: 'arn:c', ScalingConfig: { MaximumConcurrency: 5 } }],
      })
    expect(await facts.deployed('f')).toEqual({
      name: 'f',
      roleArn: 'arn:aws:iam::1:role/r',
      audience: 'a',
      concurrencyMax: 15,
      eventSources: [
        { id: 'a', arn: 'arn:a', state: 'Enabled' },
        { id: 'b', arn: 'arn:b', state: 'Disabled' },
        { id: 'c', arn: 'arn:c', state: 'unknown' },
      ],
    })
  })

  it('and the rules that call them are of a state, or not there; a denial is no answer', async () => {
    eventBridge.on(DescribeRuleCommand, { Name: 'lifeboat-prod-sweep' }).resolves({ State: 'DISABLED' })
    expect(await facts.rule('lifeboat-prod-sweep')).toBe('DISABLED')
    eventBridge.on(DescribeRuleCommand).rejects(named('ResourceNotFoundException'))
    expect(await facts.rule('other')).toBeUndefined()
    eventBridge.on(DescribeRuleCommand).rejects(named('AccessDeniedException'))
    await expect(facts.rule('other')).rejects.toThrow(DeniedError)
  })

  it('that are not there are none, and a throttle is no answer', async () => {
    lambda
      .on(GetFunctionConfigurationCommand)
      .rejects(new ResourceNotFoundException({ message: 'x', $metadata: {}, Type: 'User' }))
    expect(await facts.deployed('f')).toBeUndefined()
    lambda.on(GetFunctionConfigurationCommand).rejects(named('TooManyRequestsException'))
    await expect(facts.deployed('f')).rejects.toThrow(UnavailableError)
  })

  it('a clock that does not answer is no clock', () => expect(facts.clockAheadMs()).rejects.toThrow(UnavailableError))
})

const keyless = (): AwsClient =>
  createKeylessAuth({
    audience: '//iam.googleapis.com/x',
    serviceAccount: 'a',
    region: 'r',
    credentials: async () => ({ accessKeyId: '', secretAccessKey: '' }),
  })

describe('Google credentials', () => {
  it.each([
    ['a user', () => new UserRefreshClient(), false],
    ['a service account', () => new JWT(), false],
    ['a machine', () => new Compute(), false],
    ['AWS', keyless, true],
    ['a user as another', () => new Impersonated({ sourceClient: new UserRefreshClient() }), false],
    ['AWS as another', () => new Impersonated({ sourceClient: keyless() }), true],
  ])('of %s: whether they end with AWS', (_title, open, isFromAws) => {
    expect(describeCredentials(open()).isFromAws).toBe(isFromAws)
  })

  it('of a pool that anything may stand behind: nobody can tell', () => {
    const pool = new IdentityPoolClient({
      audience: '//iam.googleapis.com/x',
      subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
      token_url: 'https://sts.googleapis.com/v1/token',
      subject_token_supplier: { getSubjectToken: async () => '' },
    })
    expect(() => describeCredentials(pool)).toThrow(/cannot be told/)
  })
})
