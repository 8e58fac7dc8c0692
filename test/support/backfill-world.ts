import { createMemoryItems } from '../../shared/clouds/memory/items.ts'
import { createMemoryProofState } from '../../shared/clouds/memory/proof-state.ts'
import { createMemoryQueue } from '../../shared/clouds/memory/queue.ts'
import { createMemoryRowStore } from '../../shared/clouds/memory/row-store.ts'
import { createMemoryTableScan } from '../../shared/clouds/memory/table-scan.ts'
import { createBrake } from '../../shared/backfill/brake.ts'
import { type BackfillAnswer, type BackfillRequest, control } from '../../shared/backfill/control.ts'
import type { BackfillDeps, BackfillMessage, TableAbout } from '../../shared/backfill/deps.ts'
import { parseWork } from '../../shared/backfill/message.ts'
import { readParts, requireRun } from '../../shared/backfill/records.ts'
import type { Run, Spec, TableSpec } from '../../shared/backfill/run.ts'
import { type Worked, workOn } from '../../shared/backfill/work.ts'
import { type Config, parseConfig } from '../../shared/config.ts'
import type { Item } from '../../shared/features/item.ts'
import { markStart } from '../../shared/features/start.ts'
import { type Report, reportSchema } from '../../shared/proof/report.ts'
import { parseRecord } from '../../shared/weights/manifest.ts'
import { work } from '../../shared/weights/work.ts'
import { account, ample, bucketName, createWorld, noise, type World, type WorldOptions } from './weights-world.ts'

/** Backfills in memory: the pipeline of objects, a table, and the calls that a backfill makes to itself. */

export const table = 'features'
export const streamArn = `arn:aws:dynamodb:eu-west-1:${account}:table/${table}/stream/2026-01-01T00:00:00.000`
const hourMs = 3_600_000

const configOf = (canary: boolean): Config =>
  parseConfig(
    JSON.stringify({
      formatVersion: 1,
      source: { account, region: 'eu-west-1' },
      replica: { project: 'replica-project', bucket: 'replica', bigtableInstance: 'lifeboat-rows' },
      buckets: [{ name: bucketName }],
      tables: [
        {
          name: table,
          streams: [{ arn: streamArn, epoch: 1 }],
          ...(canary ? { canary: { partition: 'lifeboat' } } : {}),
        },
      ],
    }),
    { stage: 'test', file: 'lifeboat.yml' },
  )

export type BackfillWorld = {
  world: World
  deps: BackfillDeps
  items: ReturnType<typeof createMemoryItems>
  rows: ReturnType<typeof createMemoryRowStore>
  /** What DynamoDB says of the table's stream; changed by tests. */
  about: Omit<TableAbout, 'items' | 'bytes'>
  messages: string[]
  /** What was waited for, in ms. */
  waited: () => number
  ask(request: Omit<BackfillRequest, 'lifeboat'> & Record<string, unknown>): Promise<BackfillAnswer>
  start(spec: Spec, limits?: Run['limits']): Promise<string>
  /** The oldest message of the backfill's own queue is handled; undefined where there is none. */
  step(isLast?: boolean): Promise<Worked | undefined>
  /** The copies and commits that are on their way. Units of stopped backfills are dropped. */
  drain(): Promise<void>
  /** What events and commits threw meanwhile. */
  failed: unknown[]
  /** Everything that is in any queue, until nothing is. */
  settle(): Promise<void>
  counts(run: string): Promise<Record<string, number>>
  run(run: string): Promise<Run>
  report(run: string): Promise<Report>
  put(item: Item): void
}

/** Versions that were put are an hour old and more, and Lifeboat began now; the table's stream is proven since an hour. */
export const createBackfillWorld = async (
  options: WorldOptions & { canary?: boolean; proven?: boolean } = {},
): Promise<BackfillWorld> => {
  const world = createWorld(options)
  world.tick(2 * hourMs)
  const items = createMemoryItems({ [table]: { partition: 'pk' } })
  const rows = createMemoryRowStore({ tables: [table] })
  const about: BackfillWorld['about'] = { streamArn }
  const queue = createMemoryQueue<BackfillMessage>()
  const state = createMemoryProofState()
  await state.write('reconcile', { since: world.now() }, undefined)
  const failed: unknown[] = []
  let waitedMs = 0
  const config = configOf(options.canary === true)
  const weights = { ...world.deps, config }
  const scan = createMemoryTableScan(items, about)
  const deps: BackfillDeps = {
    weights,
    store: world.store,
    state,
    queue,
    openRows: async () => ({
      rows,
      keys: (name) => items.keys(name),
      scan: { ...scan, about: async () => ({ items: items.count(table), bytes: 0, ...about }) },
    }),
    wait: async (ms) => {
      waitedMs += ms
      world.tick(ms)
      // What is on its way goes on meanwhile.
      await drain()
    },
  }
  const brake = createBrake({ state, clock: weights.clock })
  const drain = async (): Promise<void> => {
    for (;;) {
      const text = world.workQueue.messages.shift()
      if (text === undefined) break
      await work(weights, text, ample, brake)
    }
    failed.push(...(await world.run({ brake })))
  }
  if (options.proven !== false) await markStart({ rows }, table, 1, Math.floor((world.now() - hourMs) / 1000))
  const it: BackfillWorld = {
    world,
    deps,
    items,
    rows,
    about,
    messages: queue.messages,
    waited: () => waitedMs,
    ask: (request) => control(deps, { lifeboat: 'backfill', ...request } as BackfillRequest, ample),
    start: async (spec, limits = {}) => {
      const answer = await it.ask({ action: 'start', spec, limits, estimate: null })
      if (!('run' in answer)) throw new Error('no run')
      return answer.run.id
    },
    step: async (isLast = false) => {
      const text = queue.messages.shift()
      return text === undefined ? undefined : workOn(deps, parseWork(text), ample, isLast)
    },
    drain,
    failed,
    settle: async () => {
      while (queue.messages.length > 0) {
        await it.step()
        await drain()
      }
    },
    counts: async (id) => {
      const total: Record<string, number> = {}
      for (const { counts } of await readParts(state, await requireRun(state, id)))
        for (const [name, count] of Object.entries(counts)) total[name] = (total[name] ?? 0) + count
      return total
    },
    run: (id) => requireRun(state, id),
    report: async (id) => {
      const name = (await requireRun(state, id)).report ?? ''
      return parseRecord(reportSchema, name, (await world.store.read(name))!)
    },
    put: (item) => void items.put(table, item),
  }
  return it
}

export const objectsSpec: Spec = { kind: 'objects', bucket: bucketName, prefix: 'old/', versions: 'all' }
export const tableSpec: TableSpec = { kind: 'table', table, exports: [], segments: 2 }

/** What is older than Lifeboat. */
export const putOld = ({ world }: BackfillWorld, count: number): void => {
  for (let index = 0; index < count; index += 1) world.source.put(bucketName, `old/${index}`, noise(3000, index + 1))
}

/** Lifeboat began after `fill`. */
export const age = async ({ world, deps }: BackfillWorld, fill: () => void): Promise<void> => {
  fill()
  world.tick(60_000)
  const record = await deps.state.read('reconcile')
  await deps.state.write('reconcile', { since: world.now() }, record?.version)
  world.tick(60_000)
}
