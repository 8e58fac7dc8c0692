import { CreateTableCommand, DescribeTableCommand, DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { EventBridgeClient } from '@aws-sdk/client-eventbridge'
import { IAMClient } from '@aws-sdk/client-iam'
import { KMSClient } from '@aws-sdk/client-kms'
import { LambdaClient } from '@aws-sdk/client-lambda'
import {
  CreateBucketCommand,
  PutBucketNotificationConfigurationCommand,
  PutBucketVersioningCommand,
  S3Client,
} from '@aws-sdk/client-s3'
import { STSClient } from '@aws-sdk/client-sts'
import { type Client, credentials } from '@grpc/grpc-js'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parse } from 'yaml'
import { loadProtocol } from '../../local/bigtable/protocol.ts'
import { startBigtable } from '../../local/bigtable/server.ts'
import { startDynamoDb } from '../../local/dynamodb/server.ts'
import { projectRoles } from '../../local/gcs/principals.ts'
import { startGcs } from '../../local/gcs/server.ts'
import { createReplicaTables } from '../../local/replica-rows.ts'
import { startS3 } from '../../local/s3/server.ts'
import { createSourceFacts } from '../../shared/clouds/aws/source-facts.ts'
import { createGcsBlobStore } from '../../shared/clouds/gcp/blob-store.ts'
import { createReplicaFacts } from '../../shared/clouds/gcp/replica-facts.ts'
import { staticToken } from '../../shared/clouds/gcp/static-token.ts'
import { createStorage } from '../../shared/clouds/gcp/storage-client.ts'
import { parseConfig } from '../../shared/config.ts'
import type { BlobStore } from '../../shared/ports.ts'
import { createOwnerCheck, deploymentOf } from '../../shared/owner.ts'
import { createConfigCopier } from '../../shared/weights/config-copy.ts'
import { type CliRun, runCli } from './cli.ts'
import { awsOptions } from './contract-target.ts'
import { startFakeControl } from './fake-google-control.ts'

/**
 * Both sides as infra makes them, on embedded S3, DynamoDB, Cloud Storage and Bigtable over sockets, for the doctor. AWS's
 * control plane is for a test to mock, Google's is a fake: neither is a real account.
 */

const role = parse(readFileSync(new URL('../../infra/gcp/doctor-role.yaml', import.meta.url), 'utf8')) as {
  includedPermissions: string[]
}
const doctor = 'lifeboat-doctor'
const account = '111122223333'
const project = 'example-project'
export const stage = 'prod'
export const instance = `projects/${project}/instances/lifeboat-rows`
export const audience =
  '//iam.googleapis.com/projects/123456789/locations/global/workloadIdentityPools/lifeboat/providers/aws'

const configText = (streamArn: string): string => `formatVersion: 1
source: { account: '${account}', region: us-east-1 }
replica: { project: ${project}, bucket: replica, bigtableInstance: lifeboat-rows, appProfile: lifeboat }
buckets: [{ name: models }]
tables: [{ name: users, streams: [{ arn: "${streamArn}", epoch: 1 }] }]
`

const createSource = async (s3: S3Client, dynamodb: DynamoDBClient): Promise<string> => {
  await s3.send(new CreateBucketCommand({ Bucket: 'models' }))
  await s3.send(new PutBucketVersioningCommand({ Bucket: 'models', VersioningConfiguration: { Status: 'Enabled' } }))
  const NotificationConfiguration = { EventBridgeConfiguration: {} }
  await s3.send(new PutBucketNotificationConfigurationCommand({ Bucket: 'models', NotificationConfiguration }))
  const key = { AttributeName: 'id', AttributeType: 'S' as const }
  const created = await dynamodb.send(
    new CreateTableCommand({
      TableName: 'users',
      AttributeDefinitions: [key],
      KeySchema: [{ AttributeName: 'id', KeyType: 'HASH' }],
      BillingMode: 'PAY_PER_REQUEST',
      StreamSpecification: { StreamEnabled: true, StreamViewType: 'NEW_AND_OLD_IMAGES' },
    }),
  )
  for (;;) {
    const { Table } = await dynamodb.send(new DescribeTableCommand({ TableName: 'users' }))
    if (Table?.TableStatus === 'ACTIVE') return created.TableDescription?.LatestStreamArn ?? ''
  }
}

/** A bucket as infra/gcp makes it. */
export const goodBucket = {
  name: 'replica',
  location: 'EUROPE-WEST4',
  versioning: { enabled: true },
  softDeletePolicy: { retentionDurationSeconds: '604800' },
  iamConfiguration: { uniformBucketLevelAccess: { enabled: true }, publicAccessPrevention: 'enforced' },
}

type Call = (request: object, callback: (error: Error | null, answer: unknown) => void) => void

export const startDoctorClouds = async () => {
  const dir = mkdtempSync(join(tmpdir(), 'lifeboat-doctor-'))
  const [s3Server, dynamoServer, gcsServer, bigtable, control] = await Promise.all([
    startS3({ dir: join(dir, 's3') }),
    startDynamoDb({ dir: join(dir, 'dynamodb'), region: 'us-east-1', account }),
    startGcs({
      dir: join(dir, 'gcs'),
      roles: { ...projectRoles(), [doctor]: { permissions: role.includedPermissions } },
    }),
    startBigtable({ dir: join(dir, 'bigtable') }),
    startFakeControl(doctor),
  ])
  const s3 = new S3Client({ ...awsOptions(s3Server.url), forcePathStyle: true })
  const dynamodb = new DynamoDBClient(awsOptions(dynamoServer.url))
  const settings = awsOptions('http://127.0.0.1:1')
  const clients = {
    s3,
    dynamodb,
    sts: new STSClient(settings),
    kms: new KMSClient(settings),
    iam: new IAMClient(settings),
    lambda: new LambdaClient(settings),
    eventBridge: new EventBridgeClient(settings),
  }
  const streamArn = await createSource(s3, dynamodb)
  const file = join(dir, 'lifeboat.yml')
  writeFileSync(file, configText(streamArn))
  const config = parseConfig(configText(streamArn), { stage, file })
  await createReplicaTables(bigtable.url, config)

  const admin = (path: string, method: string, body: object): Promise<Response> =>
    fetch(`${gcsServer.url}/storage/v1/b${path}`, {
      method,
      body: JSON.stringify(body),
      headers: { authorization: 'Bearer lifeboat-admin', 'content-type': 'application/json' },
    })
  await admin('?enableObjectRetention=true', 'POST', goodBucket)
  const { clients: bigtableClients } = loadProtocol()
  const bigtableAdmin = async (
    service: 'tableAdmin' | 'instanceAdmin',
    method: string,
    request: object,
  ): Promise<void> => {
    const client: Client = new bigtableClients[service](new URL(bigtable.url).host, credentials.createInsecure())
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    ;(client as unknown as Record<string, Call>)[method]!.call(client, request, (error) =>
      error ? reject(error) : resolve(),
    )
    await promise.finally(() => client.close())
  }
  const storeOf = (token: string): BlobStore =>
    createGcsBlobStore({
      storage: createStorage({ projectId: project, endpoint: gcsServer.url, token }),
      bucket: 'replica',
    })
  const clock = { now: () => Date.parse('2026-05-01T10:00:00Z') }
  await createOwnerCheck({
    store: storeOf('lifeboat-writer'),
    deployment: deploymentOf(config, stage),
    place: 'gs://replica/',
    clock,
  })()
  await createConfigCopier({ config, store: storeOf('lifeboat-writer') })()

  const run = (...args: string[]): Promise<CliRun> =>
    runCli(['--config', file, '--stage', stage, 'doctor', ...args], {
      store: storeOf('lifeboat-restorer'),
      openSource: async () => ({ facts: createSourceFacts(clients, s3Server.url), close: () => undefined }),
      openReplicaFacts: async () =>
        createReplicaFacts({
          place: { projectId: project, instanceId: 'lifeboat-rows' },
          bucket: 'replica',
          storage: createStorage({ projectId: project, endpoint: gcsServer.url, token: doctor, retriesMax: 0 }),
          store: storeOf(doctor),
          authClient: staticToken(doctor),
          credentials: async () => ({ kind: 'the token of an emulator', isFromAws: false }),
          bigtableEndpoint: bigtable.url,
          endpoints: { kms: control.url, iam: control.url },
        }),
    })
  const stop = async (): Promise<void> => {
    for (const client of Object.values(clients)) client.destroy()
    await Promise.all([s3Server, dynamoServer, gcsServer, bigtable, control].map((server) => server.close()))
    rmSync(dir, { recursive: true })
  }
  return { s3, dynamodb, config, streamArn, control, admin, bigtableAdmin, storeOf, run, stop, gcs: gcsServer }
}

export type DoctorClouds = Awaited<ReturnType<typeof startDoctorClouds>>
