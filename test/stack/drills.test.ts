import { DynamoDBClient, PutItemCommand } from '@aws-sdk/client-dynamodb'
import { PutBucketNotificationConfigurationCommand, PutObjectCommand } from '@aws-sdk/client-s3'
import { SendMessageCommand, SQSClient } from '@aws-sdk/client-sqs'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { type LocalStack, startStack } from '../../local/stack.ts'
import { type BigtableRowStore, createBigtableRowStore } from '../../shared/clouds/gcp/row-store.ts'
import { createGcsBlobStore } from '../../shared/clouds/gcp/blob-store.ts'
import { createStorage } from '../../shared/clouds/gcp/storage-client.ts'
import { createItemSource } from '../../shared/clouds/aws/item-source.ts'
import { compareTable } from '../../shared/features/compare.ts'
import { encodeRowKey } from '../../shared/features/row-key.ts'
import type { BlobStore } from '../../shared/ports.ts'
import { newestReport, type Report, type ReportKind } from '../../shared/proof/report.ts'
import { chunksOfParts } from '../../shared/weights/read.ts'
import { bodyName } from '../../shared/weights/store.ts'
import { setFaults } from '../support/row-stores.ts'
import { manifestsOf, noise, until } from '../support/stack.ts'

/** What on-call is told when something breaks: the right alarm, the right report, and that it heals by itself. */

vi.setConfig({ testTimeout: 400_000, hookTimeout: 240_000 })

const account = '111122223333'
/** A minute of schedules and of CloudWatch. */
const minuteSeconds = 4
const speed = 60 / minuteSeconds
const configText = `formatVersion: 1
source: { account: "${account}", region: us-east-1 }
replica: { project: lifeboat-local, bucket: replica, bigtableInstance: lifeboat-rows }
rpo: { objectsMinutes: 1, rowsSeconds: 20 }
buckets: [{ name: models, canary: lifeboat-canary, release: { settleSeconds: 1 } }]
tables:
  - name: features
    streams: [{ arn: "arn:aws:dynamodb:us-east-1:${account}:table/features/stream/2026-01-01T00:00:00.000", epoch: 1 }]
    canary: { partition: lifeboat, sort: "0" }
`
const dir = mkdtempSync(join(tmpdir(), 'lifeboat-drills-'))
const cacheDir = fileURLToPath(new URL('../../.cache/stack', import.meta.url))
const credentials = { accessKeyId: 'test', secretAccessKey: 'test' }

let stack: LocalStack
let store: BlobStore
let rows: BigtableRowStore
let dynamodb: DynamoDBClient
let sqs: SQSClient

beforeAll(async () => {
  mkdirSync(dir, { recursive: true })
  const configFile = join(dir, 'lifeboat.yml')
  writeFileSync(configFile, configText)
  stack = await startStack({
    dir,
    configFile,
    cacheDir,
    scheduleSpeed: speed,
    metricsSpeed: speed,
    redeliverSeconds: 5,
  })
  const { endpoints } = stack.clouds
  const storage = createStorage({ projectId: 'lifeboat-local', endpoint: endpoints.gcs, token: 'lifeboat-restorer' })
  store = createGcsBlobStore({ storage, bucket: 'replica', prefix: '' })
  const bigtable = { projectId: 'lifeboat-local', instanceId: 'lifeboat-rows', endpoint: endpoints.bigtable }
  rows = createBigtableRowStore({ ...bigtable, token: 'lifeboat-rows' })
  dynamodb = new DynamoDBClient({ endpoint: endpoints.dynamodb, region: 'us-east-1', credentials })
  sqs = new SQSClient({ endpoint: endpoints.sqs, region: 'us-east-1', credentials })
})
afterAll(async () => {
  sqs?.destroy()
  dynamodb?.destroy()
  await rows?.close()
  await stack?.stop()
  rmSync(dir, { recursive: true, force: true })
})

// ---------------------------------------------------------------- what a person would do or see

const putObject = (key: string, body: Uint8Array): Promise<unknown> =>
  stack.s3.send(new PutObjectCommand({ Bucket: 'models', Key: key, Body: body }))
const putRow = (sk: number, text: string): Promise<unknown> =>
  dynamodb.send(
    new PutItemCommand({ TableName: 'features', Item: { pk: { S: 'user' }, sk: { N: String(sk) }, v: { S: text } } }),
  )
const rowKeyOf = (sk: number) => encodeRowKey({ partition: { S: 'user' }, sort: { N: String(sk) } })
const send = (queue: string, MessageBody: string): Promise<unknown> =>
  sqs.send(
    new SendMessageCommand({
      QueueUrl: `${stack.clouds.endpoints.sqs}/${account}/lifeboat-local-${queue}`,
      MessageBody,
    }),
  )

const invoke = async <T>(name: string, payload: object): Promise<T> => {
  const url = `${stack.runner().url}/2015-03-31/functions/lifeboat-local-${name}/invocations`
  const response = await fetch(url, { method: 'POST', body: JSON.stringify(payload) })
  const text = await response.text()
  if (response.headers.has('x-amz-function-error')) throw new Error(text)
  return JSON.parse(text) as T
}

type Listed = { name: string; state: string }
const alarms = async (): Promise<Map<string, string>> => {
  const listed = (await (await fetch(`${stack.clouds.endpoints.cloudwatch}/_lifeboat/alarms`)).json()) as Listed[]
  return new Map(listed.map(({ name, state }) => [name.replace('lifeboat-local-', ''), state]))
}
const untilAlarms = async (state: string, names: readonly string[], timeoutMs = 240_000): Promise<void> => {
  const waiting = new Set(names)
  await until(
    async () => {
      const now = await alarms()
      for (const name of waiting) if (now.get(name) === state) waiting.delete(name)
      return waiting.size === 0
    },
    async () => `${[...waiting].join(', ')} ${state}: ${JSON.stringify(Object.fromEntries(await alarms()))}`,
    timeoutMs,
  )
}

const isProtected = async (key: string): Promise<boolean> =>
  (await manifestsOf(store, (source) => source.key === key)).some(({ object }) => object.state === 'protected')
const differences = async (): Promise<number> => {
  const rule = { name: 'features', target: 'features', omit: new Set<string>() }
  const compared = await compareTable({ source: createItemSource(dynamodb), rows }, rule)
  return compared.differences + (compared.source.digest === compared.replica.digest ? 0 : 1)
}
/** The newest with findings, of `finding` where it is given: the schedule's own run may look while a repair is under way. */
const reportSince = async (kind: ReportKind, since: number, finding?: string): Promise<Report> => {
  const found = await until(async () => {
    const newest = await newestReport(
      store,
      kind,
      ({ outcome, startedAt, findings }) =>
        outcome === 'failed' &&
        Date.parse(startedAt) >= since &&
        (finding === undefined || findings.some((one) => one.kind === finding)),
    )
    return newest?.report
  }, `a report of ${kind} with findings`)
  return found
}

const lagAlarms = ['objects-lag', 'rows-lag', 'rows-canary-silent', 'objects-canary-silent']

describe('a stack with its alarms', () => {
  it('is quiet while all goes well', async () => {
    await putObject('llama/v1/a.bin', noise(1, 3_000_000))
    await putObject('llama/v1/_SUCCESS', Buffer.alloc(0))
    for (const sk of [1, 2, 3]) await putRow(sk, `first ${sk}`)
    await until(() => isProtected('llama/v1/a.bin'), 'the first object')
    await untilAlarms('OK', [...lagAlarms, 'heartbeat-silent', 'dead-letters', 'quarantine'])
    expect(await isProtected('llama/v1/a.bin')).toBe(true)
  })

  it('tells of a copy that fails, a stream that stands still and poison in the queues, and of their end', async () => {
    await fetch(`${stack.clouds.endpoints.gcs}/_lifeboat/faults`, {
      method: 'PUT',
      body: JSON.stringify([{ path: 'POST /upload.*name=chunks', times: 1_000_000, status: 503 }]),
    })
    await setFaults(stack.clouds.endpoints.bigtable, [{ path: 'CheckAndMutateRow', times: 1_000_000, status: 14 }])
    await putObject('llama/v2/b.bin', noise(2, 300_000))
    await putRow(4, 'late')
    await send('objects', 'this is no event')
    await send('objects-dead', '{"put here by hand": true}')
    await untilAlarms('ALARM', [...lagAlarms.slice(0, 3), 'dead-letters', 'objects-set-aside-quarantined'])
    expect(await isProtected('llama/v2/b.bin')).toBe(false)

    await fetch(`${stack.clouds.endpoints.gcs}/_lifeboat/faults`, { method: 'PUT', body: '[]' })
    await setFaults(stack.clouds.endpoints.bigtable, [])
    await until(() => isProtected('llama/v2/b.bin'), 'the object that could not be copied')
    await until(async () => (await differences()) === 0, 'equal rows')
    await untilAlarms('OK', ['rows-lag', 'rows-canary-silent'])
  })

  it('finds a chunk that is gone, rows that were touched behind its back and a lost event, and makes all good', async () => {
    const since = Date.now()
    const [manifest] = await manifestsOf(store, (source) => source.key === 'llama/v1/a.bin')
    for await (const { ref } of chunksOfParts(store, manifest!.object.parts)) {
      const url = `${stack.clouds.endpoints.gcs}/storage/v1/b/replica/o/${encodeURIComponent(bodyName(ref, 'chunk'))}`
      const headers = { authorization: 'Bearer lifeboat-admin', 'content-type': 'application/json' }
      await fetch(`${url}?overrideUnlockedRetention=true`, { method: 'PATCH', headers, body: '{"retention":null}' })
      expect((await fetch(url, { method: 'DELETE', headers })).status).toBe(204)
      break
    }
    const [changed, removed] = await rows.read('features', [rowKeyOf(1), rowKeyOf(2)])
    changed!.cells.set('v', Buffer.from('Sforged'))
    await rows.replaceIf('features', { ...changed!, marker: changed!.marker! }, changed!.marker!.version)
    const gone = { ...removed!.marker!, tombstone: true }
    await rows.replaceIf('features', { ...removed!, cells: new Map(), marker: gone }, gone.version)
    await rows.replaceIf('features', { ...changed!, key: rowKeyOf(99), marker: changed!.marker! }, undefined)
    const quiet = { Bucket: 'models', NotificationConfiguration: {} }
    await stack.s3.send(new PutBucketNotificationConfigurationCommand(quiet))
    await putObject('llama/v3/lost.bin', noise(3, 200_000))
    const loud = { Bucket: 'models', NotificationConfiguration: { EventBridgeConfiguration: {} } }
    await stack.s3.send(new PutBucketNotificationConfigurationCommand(loud))

    // A third of the RPO is an event's own time.
    const reconcileLater = sleep(22_000).then(() => invoke('reconcile', { lifeboat: 'reconcile', mode: 'full' }))
    await Promise.all([
      invoke('validate', { lifeboat: 'validate', model: 'llama' }),
      invoke('compareRows', { lifeboat: 'compare-rows', table: 'features', mode: 'full' }),
      reconcileLater,
    ])
    await untilAlarms('ALARM', ['validation-failed', 'rows-differ'])

    const validated = await reportSince('validate', since, 'missing')
    expect(validated.findings).toContainEqual(expect.objectContaining({ kind: 'missing', repaired: 'sent' }))
    const reconciled = await reportSince('reconcile', since)
    expect(reconciled.findings).toContainEqual(
      expect.objectContaining({ kind: 'unannounced', subject: expect.stringContaining('llama/v3/lost.bin') as string }),
    )
    const compared = await reportSince('rows', since)
    expect(compared.findings).toHaveLength(3)
    expect(compared.findings.every(({ repaired }) => repaired === 'yes')).toBe(true)

    await until(() => isProtected('llama/v3/lost.bin'), 'the object whose event was lost')
    await until(async () => (await differences()) === 0, 'equal rows')
    await until(async () => {
      const { outcome } = await invoke<{ outcome: string }>('validate', { lifeboat: 'validate', model: 'llama' })
      return outcome === 'passed'
    }, 'a validation that passes')
  })

  it('tells of silence: no function runs, and no metric arrives', async () => {
    await stack.runner().kill()
    await untilAlarms('ALARM', [...lagAlarms, 'heartbeat-silent'])
    const silent = await alarms()
    expect(lagAlarms.map((name) => silent.get(name))).toEqual(lagAlarms.map(() => 'ALARM'))
    await stack.restartRunner()
    await untilAlarms('OK', ['heartbeat-silent', 'rows-lag'])
  })
})
