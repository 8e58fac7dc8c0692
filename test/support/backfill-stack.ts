import { BatchWriteItemCommand, CreateTableCommand, DynamoDBClient, UpdateTableCommand } from '@aws-sdk/client-dynamodb'
import {
  CreateBucketCommand,
  PutBucketNotificationConfigurationCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startService } from '../../local/service-process.ts'
import { type LocalStack, startStack } from '../../local/stack.ts'
import { forEachBounded } from '../../shared/bounded.ts'
import { createProofState } from '../../shared/clouds/aws/proof-state.ts'
import { createGcsBlobStore } from '../../shared/clouds/gcp/blob-store.ts'
import { createStorage } from '../../shared/clouds/gcp/storage-client.ts'
import type { Item } from '../../shared/features/item.ts'
import type { BlobStore } from '../../shared/ports.ts'
import { awsOptions } from './contract-target.ts'
import { account, configText, table } from './rows-stack.ts'

/** A stack that is deployed over a bucket and a table that were there before. */

export const bucket = 'models'
const cacheDir = fileURLToPath(new URL('../../.cache/stack', import.meta.url))

export const itemOf = (index: number, turn = 0): Item => ({
  pk: { S: `user#${index}` },
  sk: { N: '0' },
  score: { N: String((index * 7919 + turn) % 100_000) },
  segment: { S: `segment-${index % 97}` },
  seen: { BOOL: turn % 2 === 0 },
})

const fillBucket = async (dir: string, bodies: Iterable<[key: string, body: Buffer]>): Promise<void> => {
  const service = await startService({ service: 's3', dir: join(dir, 's3'), logFile: join(dir, 'logs', 's3.log') })
  const s3 = new S3Client({ ...awsOptions(service.url), forcePathStyle: true })
  try {
    await s3.send(new CreateBucketCommand({ Bucket: bucket }))
    await s3.send(new PutBucketVersioningCommand({ Bucket: bucket, VersioningConfiguration: { Status: 'Enabled' } }))
    await forEachBounded(bodies, 16, async ([Key, Body]) => {
      await s3.send(new PutObjectCommand({ Bucket: bucket, Key, Body }))
    })
  } finally {
    s3.destroy()
    await service.stop()
  }
}

const batchItems = 25

function* batches(rows: number): Generator<Item[]> {
  for (let first = 0; first < rows; first += batchItems)
    yield Array.from({ length: Math.min(batchItems, rows - first) }, (_, index) => itemOf(first + index))
}

/** The stream is enabled when the rows are there: it says nothing of them. */
const fillTable = async (dir: string, rows: number): Promise<void> => {
  const service = await startService({
    service: 'dynamodb',
    dir: join(dir, 'dynamodb'),
    logFile: join(dir, 'logs', 'dynamodb.log'),
    region: 'us-east-1',
    account,
  })
  const dynamodb = new DynamoDBClient(awsOptions(service.url))
  try {
    const attributes = [
      { AttributeName: 'pk', AttributeType: 'S', KeyType: 'HASH' },
      { AttributeName: 'sk', AttributeType: 'N', KeyType: 'RANGE' },
    ] as const
    await dynamodb.send(
      new CreateTableCommand({
        TableName: table,
        BillingMode: 'PAY_PER_REQUEST',
        KeySchema: attributes.map(({ AttributeName, KeyType }) => ({ AttributeName, KeyType })),
        AttributeDefinitions: attributes.map(({ AttributeName, AttributeType }) => ({ AttributeName, AttributeType })),
      }),
    )
    await forEachBounded(batches(rows), 8, async (items) => {
      const requests = items.map((Item) => ({ PutRequest: { Item } }))
      await dynamodb.send(new BatchWriteItemCommand({ RequestItems: { [table]: requests } }))
    })
    const StreamSpecification = { StreamEnabled: true, StreamViewType: 'NEW_AND_OLD_IMAGES' } as const
    await dynamodb.send(new UpdateTableCommand({ TableName: table, StreamSpecification }))
  } finally {
    dynamodb.destroy()
    await service.stop()
  }
}

export type BackfillStack = {
  stack: LocalStack
  store: BlobStore
  dynamodb: DynamoDBClient
  invoke<T>(name: string, payload: object): Promise<T>
  stop(): Promise<void>
}

/** Speed is of schedules and of CloudWatch's minutes. */
export const startBackfillStack = async (
  dir: string,
  options: { bodies: Iterable<[key: string, body: Buffer]>; rows: number; speed: number; redeliverSeconds: number },
): Promise<BackfillStack> => {
  const { bodies, rows, speed, redeliverSeconds } = options
  mkdirSync(join(dir, 'logs'), { recursive: true })
  const configFile = join(dir, 'lifeboat.yml')
  writeFileSync(configFile, configText)
  await fillBucket(dir, bodies)
  await fillTable(dir, rows)
  const speeds = { scheduleSpeed: speed, metricsSpeed: speed }
  const stack = await startStack({ dir, configFile, cacheDir, ...speeds, redeliverSeconds })
  const { endpoints } = stack.clouds
  const dynamodb = new DynamoDBClient(awsOptions(endpoints.dynamodb))
  // Reconcile takes what is younger than an hour for what an event should have announced; here it is all younger.
  const state = createProofState(dynamodb, 'lifeboat-local-ledger')
  const record = await state.read('reconcile')
  await state.write('reconcile', { ...(record?.value as object | undefined), since: Date.now() }, record?.version)
  const NotificationConfiguration = { EventBridgeConfiguration: {} }
  await stack.s3.send(new PutBucketNotificationConfigurationCommand({ Bucket: bucket, NotificationConfiguration }))
  const storage = createStorage({ projectId: 'lifeboat-local', endpoint: endpoints.gcs, token: 'lifeboat-restorer' })
  return {
    stack,
    store: createGcsBlobStore({ storage, bucket: 'replica', prefix: '' }),
    dynamodb,
    invoke: async (name, payload) => {
      const url = `${stack.runner().url}/2015-03-31/functions/lifeboat-local-${name}/invocations`
      for (let tries = 0; ; tries += 1) {
        const response = await fetch(url, { method: 'POST', body: JSON.stringify(payload) })
        const text = await response.text()
        if (!response.headers.has('x-amz-function-error')) return JSON.parse(text) as never
        // One that the test itself kills is asked again.
        if (tries > 3 || !text.includes('Runtime.ExitError')) throw new Error(text)
      }
    },
    stop: async () => {
      dynamodb.destroy()
      await stack.stop()
    },
  }
}
