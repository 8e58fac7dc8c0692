import { UnavailableError } from '../../shared/errors.ts'
import { BatchWriteItemCommand, DeleteItemCommand, DynamoDBClient, PutItemCommand } from '@aws-sdk/client-dynamodb'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { startService } from '../../local/service-process.ts'
import { createReplicaTables } from '../../local/replica-rows.ts'
import { forEachBounded } from '../../shared/bounded.ts'
import { createItemSource } from '../../shared/clouds/aws/item-source.ts'
import { createBigtableRowStore } from '../../shared/clouds/gcp/row-store.ts'
import { createMemoryBlobStore } from '../../shared/clouds/memory/blob-store.ts'
import { createMemoryProofState } from '../../shared/clouds/memory/proof-state.ts'
import { createMemoryTelemetry } from '../../shared/clouds/memory/telemetry.ts'
import { itemKeyOf, ruleOfTable } from '../../shared/features/change.ts'
import type { Item } from '../../shared/features/item.ts'
import { encodeRowKey } from '../../shared/features/row-key.ts'
import type { RowWrite } from '../../shared/features/row-store.ts'
import { changeVersion } from '../../shared/features/version.ts'
import { rowWrite } from '../../shared/features/write.ts'
import { checkRows, type CheckRowsDeps } from '../../shared/proof/check-rows.ts'
import type { Report } from '../../shared/proof/report.ts'
import { awsOptions } from '../support/contract-target.ts'
import { createTable } from '../support/dynamodb.ts'
import { rowsConfig } from '../support/rows-deps.ts'

/** A comparison over real sockets, of the embedded DynamoDB and Bigtable, while items change and rows follow. */

export type CompareRunOptions = { rows: number; changesPerSecond: number; lagMs: number; say?: (line: string) => void }
export type CompareRun = {
  /** Of a full comparison with 3 planted differences, then of one after their repair. */
  found: Report
  after: Report
  /** Changes made while they ran, and how many a second. */
  changes: number
  changesPerSecond: number
  /** Rows, but tombstones, that were listed whole, beside those read by the keys of the source's items. */
  rowsListed: number
  seconds: number
}

const table = 'features'
const names = { partition: 'pk' }
const writesInFlight = 48
const batchItems = 25

const itemOf = (index: number, turn = 0): Item => ({
  pk: { S: `user#${index}` },
  score: { N: String((index * 7919 + turn) % 100_000) },
  segment: { S: `segment-${index % 97}` },
  seen: { BOOL: turn % 2 === 0 },
})

type Sides = Awaited<ReturnType<typeof openSides>>

const openSides = async (dir: string) => {
  const start = (service: 'dynamodb' | 'bigtable') =>
    startService({ service, dir: join(dir, service), logFile: join(dir, `${service}.log`) })
  const [dynamo, bigtable] = await Promise.all([start('dynamodb'), start('bigtable')])
  const config = rowsConfig()
  const dynamodb = new DynamoDBClient({ ...awsOptions(dynamo.url), maxAttempts: 5 })
  await createTable(dynamodb, {
    TableName: table,
    KeySchema: [{ AttributeName: 'pk', KeyType: 'HASH' }],
    AttributeDefinitions: [{ AttributeName: 'pk', AttributeType: 'S' }],
  })
  await createReplicaTables(bigtable.url, config)
  const rows = createBigtableRowStore({
    projectId: config.replica.project,
    instanceId: config.replica.bigtableInstance ?? '',
    endpoint: bigtable.url,
    token: 'lifeboat-rows',
  })
  const rule = ruleOfTable(config, table)
  let sequence = 0
  const writeOf = (item: Item, isDeleted = false): RowWrite => {
    const key = itemKeyOf(item, names)
    const version = changeVersion({ epoch: 1, sequenceNumber: String((sequence += 1)) })
    const time = Math.floor(Date.now() / 1000)
    return rowWrite(rule, { rowKey: encodeRowKey(key), key, version, time, item: isDeleted ? undefined : item })
  }
  return {
    config,
    dynamodb,
    rows,
    rule,
    writeOf,
    put: (item: Item) => dynamodb.send(new PutItemCommand({ TableName: table, Item: item })),
    remove: (pk: Item[string]) => dynamodb.send(new DeleteItemCommand({ TableName: table, Key: { pk } })),
    stop: async () => {
      await rows.close()
      dynamodb.destroy()
      await Promise.all([dynamo.stop(), bigtable.stop()])
    },
  }
}

const fill = async ({ dynamodb, rows, writeOf }: Sides, count: number, say: (line: string) => void): Promise<void> => {
  const starts = Array.from({ length: Math.ceil(count / batchItems) }, (_, index) => index * batchItems)
  let done = 0
  await forEachBounded(starts, 16, async (start) => {
    const items = Array.from({ length: Math.min(batchItems, count - start) }, (_, index) => itemOf(start + index))
    const puts = items.map((Item) => ({ PutRequest: { Item } }))
    const written = dynamodb.send(new BatchWriteItemCommand({ RequestItems: { [table]: puts } }))
    await Promise.all([written, ...items.map((item) => rows.applyIfNewer(table, writeOf(item)))])
    done += items.length
    if (done % 50_000 < batchItems) say(`${done} rows are there`)
  })
}

/** Changes items evenly apart, and brings each to its row after the lag; updates, 5 in 100 inserts, 5 deletes. */
const startChanges = (sides: Sides, { rows: count, changesPerSecond, lagMs }: CompareRunOptions) => {
  const stream: { at: number; write: RowWrite }[] = []
  const busy = new Set<string>()
  let made = 0
  const over = new AbortController()
  const startedAt = Date.now()
  const change = async (turn: number): Promise<void> => {
    const kind = turn % 20
    const item = itemOf(kind === 0 ? count + turn : (turn * 7919) % count, turn)
    const pk = JSON.stringify(item['pk'])
    // The versions of an item are given in the order of its writes.
    if (busy.has(pk)) return
    busy.add(pk)
    const at = Date.now()
    const entry = { at, write: sides.writeOf(item, kind === 1) }
    stream.push(entry)
    await (kind === 1 ? sides.remove(item['pk']!) : sides.put(item))
    busy.delete(pk)
    made += 1
  }
  const produce = async (): Promise<void> => {
    const pending = new Set<Promise<void>>()
    for (let turn = 1; !over.signal.aborted; turn += 1) {
      const aheadMs = (turn * 1000) / changesPerSecond - (Date.now() - startedAt)
      if (aheadMs > 2) await sleep(aheadMs)
      // No faster than the rows can follow: a lag that grows would be another test.
      while ((stream[0]?.at ?? Infinity) + 2 * lagMs < Date.now()) await sleep(20)
      while (pending.size >= writesInFlight) await Promise.race(pending)
      const one = change(turn).finally(() => pending.delete(one))
      pending.add(one)
    }
    await Promise.all(pending)
  }
  const deliver = async (): Promise<void> => {
    while (!over.signal.aborted || stream.length > 0) {
      const due = stream.filter(({ at }) => over.signal.aborted || at + lagMs <= Date.now())
      await forEachBounded(due, writesInFlight, async ({ write }) => applyPatiently(sides, write))
      stream.splice(0, due.length)
      await sleep(20)
    }
  }
  const work = Promise.all([produce(), deliver()])
  return {
    featureTime: (): number => (stream[0]?.at ?? Date.now()) - 1,
    stop: async () => {
      const seconds = (Date.now() - startedAt) / 1000
      over.abort()
      await work
      return { made, perSecond: made / seconds }
    },
  }
}

/** As Lambda, which hands over again what Bigtable was too slow for: a resend changes nothing. */
const applyPatiently = async (sides: Sides, write: RowWrite): Promise<void> => {
  for (;;) {
    try {
      return void (await sides.rows.applyIfNewer(table, write))
    } catch (error) {
      if (!(error instanceof UnavailableError)) throw error
      await sleep(200)
    }
  }
}

/** An item whose row never came, a row of no item, a row of another value. */
const plant = async ({ rows, writeOf, put }: Sides): Promise<void> => {
  await put({ pk: { S: 'planted#missing' } })
  await rows.applyIfNewer(table, writeOf({ pk: { S: 'planted#extra' } }))
  await put({ pk: { S: 'planted#changed' }, n: { N: '1' } })
  await rows.applyIfNewer(table, writeOf({ pk: { S: 'planted#changed' }, n: { N: '2' } }))
}

export const compareRun = async (dir: string, options: CompareRunOptions): Promise<CompareRun> => {
  const { rows: count, say = () => undefined } = options
  const sides = await openSides(dir)
  try {
    await fill(sides, count, say)
    await plant(sides)
    const changes = startChanges(sides, options)
    let rowsListed = 0
    const deps: CheckRowsDeps = {
      config: sides.config,
      source: createItemSource(sides.dynamodb),
      rows: {
        ...sides.rows,
        scan: async function* (name, range) {
          for await (const row of sides.rows.scan(name, range)) {
            if (!range.markersOnly && !row.marker?.tombstone) rowsListed += 1
            yield row
          }
        },
      },
      store: createMemoryBlobStore(),
      state: createMemoryProofState(),
      telemetry: createMemoryTelemetry(),
      clock: { now: Date.now },
      random: { next: Math.random, hex: (bytes) => crypto.getRandomValues(Buffer.alloc(bytes)).toString('hex') },
      featureTime: async () => changes.featureTime(),
      settleMs: 60_000,
      wait: (ms) => sleep(Math.min(ms, 1000)),
    }
    const compare = async (repair: boolean): Promise<Report> => {
      for (;;) {
        const asked = { mode: 'full', repair } as const
        const { outcome, report } = await checkRows(deps, table, { remainingMs: () => 900_000 }, asked)
        if (report) return report
        say(`the comparison ${outcome}`)
      }
    }
    const startedAt = Date.now()
    const found = await compare(true)
    const seconds = (Date.now() - startedAt) / 1000
    say(`compared in ${seconds.toFixed(1)} s: ${JSON.stringify(found.counts)}`)
    const listed = rowsListed
    const after = await compare(false)
    const { made, perSecond } = await changes.stop()
    return { found, after, changes: made, changesPerSecond: perSecond, rowsListed: listed, seconds }
  } finally {
    await sides.stop()
  }
}

/** What is wrong with a run; empty where it showed what it should. */
export const judgeCompareRun = ({ found, after, rowsListed }: CompareRun): string[] => {
  const kinds = found.findings.map(({ kind, subject }) => `${kind} ${/planted#\w+/.exec(subject)?.[0] ?? subject}`)
  const wanted = ['row-changed planted#changed', 'row-extra planted#extra', 'row-missing planted#missing']
  return [
    ...(kinds.toSorted().join() === wanted.join() ? [] : [`found ${kinds.join(', ')}`]),
    ...(found.counts['repaired'] === 3 ? [] : [`${found.counts['repaired']} were repaired`]),
    ...(after.outcome === 'passed' ? [] : [`after the repair: ${after.outcome} ${JSON.stringify(after.findings)}`]),
    ...(rowsListed === found.counts['rowsReadAgain'] ? [] : [`${rowsListed} rows were listed again`]),
  ]
}
