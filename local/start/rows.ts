import { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { setTimeout as sleep } from 'node:timers/promises'
import { createItemSource } from '../../shared/clouds/aws/item-source.ts'
import { createS3Quarantine } from '../../shared/clouds/aws/quarantine.ts'
import { type BigtableRowStore, createBigtableRowStore } from '../../shared/clouds/gcp/row-store.ts'
import { ruleOfTable } from '../../shared/features/change.ts'
import { type Comparison, compareTable } from '../../shared/features/compare.ts'
import type { TableKeys } from '../source-tables.ts'
import { type LocalStack, stage } from '../stack.ts'
import { createRowCounters, type RowCounters, settled } from './rows-watch.ts'
import { type RowChange, writeRows, type Written } from './write-rows.ts'

/** Feature rows beside the models: written while those are published, compared on both sides while both are there. */

export type RowsPlan = {
  table: string
  keys: TableKeys
  perSecond: number
  changes(): Iterable<RowChange> | AsyncIterable<RowChange>
}

export type RowsProgress = RowCounters & { written: number }

/** What the rows came to. `items` were put; `changes` are the records of the stream, those of expiry too. */
export type RowsOutcome = {
  table: string
  items: number
  changes: number
  counters: RowCounters
  /** Why the first quarantined changes were. */
  reasons: string[]
  comparison: Comparison
}

export type Rows = {
  progress(): Promise<RowsProgress>
  /** Resolves once all is written and applied, or nothing moves any more, with the last comparison of both sides. */
  finish(onProgress: (progress: RowsProgress) => void): Promise<RowsOutcome>
  close(): Promise<void>
}

const pollMs = 250
/** Counters that do not move for so long after all was applied: no batch is under way. */
const quietMs = 500
const stuckMs = 60_000
const equalWithinMs = 10_000
const compareAgainMs = 1000

export const equalSides = ({ source, replica, differences }: Comparison): boolean =>
  source.digest === replica.digest && source.items === replica.items && differences === 0

export const rowsVerified = ({ comparison, counters }: RowsOutcome): boolean =>
  equalSides(comparison) && counters.quarantined === 0

const openReplica = (stack: LocalStack): BigtableRowStore => {
  const { project, bigtableInstance = '' } = stack.config.replica
  const endpoint = stack.clouds.endpoints.bigtable
  return createBigtableRowStore({
    projectId: project,
    instanceId: bigtableInstance,
    endpoint,
    token: 'lifeboat-restorer',
  })
}

const reasonsMax = 5

const quarantineReasons = async ({ s3, config }: LocalStack): Promise<string[]> => {
  const { account, region } = config.source
  const quarantine = createS3Quarantine({ s3, bucket: `lifeboat-${stage}-held-${account}-${region}` })
  const reasons: string[] = []
  for await (const { change } of quarantine.list()) {
    reasons.push(change.reason)
    if (reasons.length === reasonsMax) break
  }
  return reasons
}

/** The service sweeps within days; asked for, its stand-in does at once. */
const expireNow = async (endpoint: string): Promise<number> => {
  const response = await fetch(`${endpoint}/_lifeboat/sweep`, { method: 'POST' })
  return ((await response.json()) as { deleted: number }).deleted
}

const waitUntilQuiet = async (
  progress: () => Promise<RowsProgress>,
  changes: number,
  onProgress: (progress: RowsProgress) => void,
): Promise<void> => {
  let before = -1
  let movedAt = Date.now()
  for (;;) {
    const now = await progress()
    onProgress(now)
    if (settled(now) !== before) movedAt = Date.now()
    before = settled(now)
    if (Date.now() - movedAt > (before >= changes ? quietMs : stuckMs)) return
    await sleep(pollMs)
  }
}

/** Starts to write at once. */
export const startRows = (stack: LocalStack, plan: RowsPlan): Rows => {
  const { table, keys, perSecond } = plan
  const { endpoints } = stack.clouds
  const credentials = { accessKeyId: 'local', secretAccessKey: 'local' }
  const dynamodb = new DynamoDBClient({
    endpoint: endpoints.dynamodb,
    region: stack.config.source.region,
    credentials,
  })
  const rows = openReplica(stack)
  const rule = ruleOfTable(stack.config, table)
  const count = createRowCounters(stack.dir)
  const stopping = new AbortController()
  const written: Written = { items: 0, changes: 0, present: 0 }
  const names = { partition: keys.partition.name, sort: keys.sort?.name }
  const writing = writeRows(dynamodb, plan.changes(), { table, names, perSecond, signal: stopping.signal, written })
  // It is awaited at the end, or not at all where something else failed first.
  writing.catch(() => undefined)
  const progress = async (): Promise<RowsProgress> => ({ ...(await count()), written: written.changes })
  const compare = (): Promise<Comparison> => compareTable({ source: createItemSource(dynamodb), rows }, rule)
  return {
    progress,
    finish: async (onProgress) => {
      const ended = writing.then(
        () => true,
        () => true,
      )
      while (!(await Promise.race([ended, sleep(pollMs, false)]))) onProgress(await progress())
      await writing
      const expired = await expireNow(endpoints.dynamodb)
      await waitUntilQuiet(progress, written.changes + expired, onProgress)
      const until = Date.now() + equalWithinMs
      let comparison = await compare()
      while (!equalSides(comparison) && Date.now() < until) {
        await sleep(compareAgainMs)
        comparison = await compare()
      }
      const expiredInAll = written.present - comparison.source.items
      const counters = await count()
      return {
        table,
        items: written.items,
        changes: written.changes + expiredInAll,
        counters,
        reasons: counters.quarantined === 0 ? [] : await quarantineReasons(stack),
        comparison,
      }
    },
    close: async () => {
      stopping.abort()
      await writing.catch(() => undefined)
      dynamodb.destroy()
      await rows.close()
    },
  }
}
