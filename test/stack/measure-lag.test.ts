import { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { SendMessageCommand, SQSClient } from '@aws-sdk/client-sqs'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type LocalStack, startStack } from '../../local/stack.ts'
import { createProofState } from '../../shared/clouds/aws/proof-state.ts'
import { createGcsBlobStore } from '../../shared/clouds/gcp/blob-store.ts'
import { createStorage } from '../../shared/clouds/gcp/storage-client.ts'
import { type Heartbeat, newestHeartbeat } from '../../shared/proof/heartbeat.ts'
import type { BlobStore } from '../../shared/ports.ts'
import { until } from '../support/stack.ts'

/**
 * The packaged function on everything it measures: two shards with canaries, an object canary, queues and the replica. A
 * stream that stands still is in drills.test.ts, with its alarms.
 */

const account = '111122223333'
const configText = `formatVersion: 1
source: { account: "${account}", region: us-east-1 }
replica: { project: lifeboat-local, bucket: replica, bigtableInstance: lifeboat-rows }
retention: { days: 1 }
buckets: [{ name: models, canary: lifeboat-canary }]
tables:
  - name: features
    streams: [{ arn: "arn:aws:dynamodb:us-east-1:${account}:table/features/stream/2026-01-01T00:00:00.000", epoch: 1 }]
    canary: { partition: lifeboat, sort: "0" }
`
const cacheDir = fileURLToPath(new URL('../../.cache/stack', import.meta.url))
const credentials = { accessKeyId: 'test', secretAccessKey: 'test' }

let dir: string
let stack: LocalStack
let store: BlobStore
let sqs: SQSClient
let dynamodb: DynamoDBClient
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'lifeboat-lag-'))
  const configFile = join(dir, 'lifeboat.yml')
  writeFileSync(configFile, configText)
  stack = await startStack({ dir, configFile, cacheDir })
  const { endpoints } = stack.clouds
  sqs = new SQSClient({ endpoint: endpoints.sqs, region: 'us-east-1', credentials })
  dynamodb = new DynamoDBClient({ endpoint: endpoints.dynamodb, region: 'us-east-1', credentials })
  const token = 'lifeboat-restorer@lifeboat-local.iam.gserviceaccount.com'
  const storage = createStorage({ projectId: 'lifeboat-local', endpoint: endpoints.gcs, token })
  store = createGcsBlobStore({ storage, bucket: 'replica', prefix: '' })
  await fetch(`${endpoints.dynamodb}/_lifeboat/split?table=features`, { method: 'POST' })
}, 180_000)
afterAll(async () => {
  sqs?.destroy()
  dynamodb?.destroy()
  await stack?.stop()
  rmSync(dir, { recursive: true, force: true })
})

const measure = async (): Promise<Heartbeat> => {
  const path = '/2015-03-31/functions/lifeboat-local-measureLag/invocations'
  const response = await fetch(`${stack.runner().url}${path}`, { method: 'POST', body: '{"lifeboat":"measure-lag"}' })
  expect(await response.text()).toBe('null')
  const heartbeat = await newestHeartbeat(store, Date.now())
  return heartbeat!
}
const log = (): string => readFileSync(join(dir, 'lambda', 'logs', 'lifeboat-local-measureLag.jsonl'), 'utf8')
const send = (name: string, DelaySeconds = 0) =>
  sqs.send(
    new SendMessageCommand({
      QueueUrl: `${stack.clouds.endpoints.sqs}/${account}/lifeboat-local-${name}`,
      MessageBody: '{}',
      DelaySeconds,
    }),
  )

describe('measure-lag, packaged', () => {
  it('follows canaries through every shard and from the bucket into the replica', async () => {
    const first = await measure()
    expect(first).toMatchObject({ stage: 'local', everySeconds: 60, tables: [{ table: 'features', unknown: [] }] })
    expect(first.tables[0]!.lagSeconds).toBeLessThan(30)
    expect(first.objects.unknown).toEqual([])
    const state = await createProofState(dynamodb, 'lifeboat-local-ledger').read('lag')
    const { tables } = state!.value as { tables: { features: { shards: Record<string, number> } } }
    expect(Object.keys(tables.features.shards)).toHaveLength(2)
    const later = await until(async () => {
      const heartbeat = await measure()
      return heartbeat.objects.canaryAt !== null && heartbeat
    }, 'a canary object in the replica')
    expect(later.objects.lagSeconds).toBeLessThan(30)
    const metrics = [
      'OldestPendingSeconds',
      'FeatureLagSeconds',
      'RowCanaryAgeSeconds',
      'ObjectCanaryAgeSeconds',
      'Heartbeats',
    ]
    for (const metric of metrics) expect(log()).toContain(`"${metric}":`)
  }, 180_000)

  it('sees a message that no function takes, though canaries pass, and what lies in a dead-letter queue', async () => {
    const empty = await measure()
    expect(empty.objects.lagSeconds).toBeLessThan(30)
    await send('objects', 600)
    await send('objects-dead')
    await sleep(3000)
    const { objects } = await measure()
    expect(objects.lagSeconds).toBeGreaterThanOrEqual(3)
    expect(objects.deadLetters).toBe(1)
    expect(objects.queues.map(({ name, messages }) => [name, messages])).toEqual([
      ['lifeboat-local-objects', 1],
      ['lifeboat-local-segments', 0],
      ['lifeboat-local-objects-dead', 1],
      ['lifeboat-local-segments-dead', 0],
    ])
    expect(objects.pending.count).toBe(0)
    expect(objects.canaryAt).not.toBeNull()
  }, 120_000)

  it('says that it cannot tell where Bigtable is away, and measures the rest', async () => {
    await stack.clouds.kill('bigtable')
    const heartbeat = await measure()
    expect(heartbeat.tables[0]).toMatchObject({ lagSeconds: null, featureTime: null })
    expect(heartbeat.tables[0]!.unknown[0]).toContain('canaries of table features')
    expect(heartbeat.objects.unknown).toEqual([])
    await stack.clouds.restart('bigtable')
  }, 120_000)
})
