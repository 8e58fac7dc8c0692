import { createMemoryBlobStore } from '../../shared/clouds/memory/blob-store.ts'
import { createMemoryLedger } from '../../shared/clouds/memory/ledger.ts'
import { createMemoryProofState } from '../../shared/clouds/memory/proof-state.ts'
import { createMemoryRowStore } from '../../shared/clouds/memory/row-store.ts'
import { createMemorySource } from '../../shared/clouds/memory/source.ts'
import { createMemoryTelemetry, type LogLine } from '../../shared/clouds/memory/telemetry.ts'
import { parseConfig } from '../../shared/config.ts'
import { encodeCells } from '../../shared/features/cells.ts'
import { encodeItem, type Item } from '../../shared/features/item.ts'
import { encodeRowKey } from '../../shared/features/row-key.ts'
import { changeVersion } from '../../shared/features/version.ts'
import { canaryAttribute } from '../../shared/proof/canary.ts'
import { type Heartbeat, newestHeartbeat } from '../../shared/proof/heartbeat.ts'
import type { CanaryItems, LagDeps, Quarantined } from '../../shared/proof/lag-deps.ts'
import { measureLag } from '../../shared/proof/measure-lag.ts'
import { proofMetrics } from '../../shared/proof/metrics.ts'
import type { ObjectState } from '../../shared/weights/ledger.ts'
import { traceIdOf } from '../../shared/weights/identity.ts'
import { objectRow } from './ledger-fixture.ts'

/** Everything that measure-lag looks at, in memory, with a clock that goes only where it is told to. */

export const streamArn = (table: string): string =>
  `arn:aws:dynamodb:us-east-1:111122223333:table/${table}/stream/2026-01-01T00:00:00.000`
const start = Date.parse('2026-03-01T10:00:00.000Z')
export const minute = 60_000

type TableConfig = { name: string; canary?: { partition: string; sort?: string } }

const configOf = (tables: readonly TableConfig[], canary: string | undefined) =>
  parseConfig(
    JSON.stringify({
      formatVersion: 1,
      source: { account: '111122223333', region: 'us-east-1' },
      replica: { project: 'lifeboat-local', bucket: 'replica', bigtableInstance: 'lifeboat-rows' },
      buckets: [{ name: 'models', prefix: 'm/', ...(canary === undefined ? {} : { canary }) }],
      tables: tables.map((table) => ({ ...table, streams: [{ arn: streamArn(table.name), epoch: 1 }] })),
    }),
    { stage: 'local', file: 'lifeboat.yml' },
  )

type Shard = {
  id: string
  isOpen: boolean
  takes: (key: Item) => boolean
  records: { key: Item; item: Item }[]
  applied: number
}

/** A table whose stream has shards that the test makes; `apply` brings what they hold into the rows. */
const createStream = (name: string, write: (key: Item, item: Item, sequence: number) => Promise<void>) => {
  let shards: Shard[] = [{ id: 'shard-0', isOpen: true, takes: () => true, records: [], applied: 0 }]
  const foreign = new Set<string>()
  const items = new Map<string, Item>()
  let sequence = 0
  const put = (key: Item, attributes: Item): void => {
    const item = { ...key, ...attributes }
    items.set(encodeItem(key).toString('hex'), item)
    shards.find((shard) => shard.isOpen && shard.takes(key))?.records.push({ key, item })
  }
  return {
    name,
    items,
    put,
    /** Keys of others' items. */
    foreign,
    isStopped: false,
    open: () => shards.filter(({ isOpen }) => isOpen).map(({ id }) => id),
    /** Closes every open shard and opens these in their place. */
    reshard: (next: { id: string; takes: (key: Item) => boolean }[]) => {
      for (const shard of shards) shard.isOpen = false
      shards = [...shards, ...next.map((one) => ({ ...one, isOpen: true, records: [], applied: 0 }))]
    },
    apply: async (): Promise<void> => {
      // Several tables wait at the same time, and each wait applies what there is.
      for (const shard of shards)
        while (shard.applied < shard.records.length) {
          const { key, item } = shard.records[shard.applied++]!
          await write(key, item, (sequence += 1))
        }
    },
    records: (id: string) => shards.find((shard) => shard.id === id)?.records ?? [],
  }
}
export type MemoryStream = ReturnType<typeof createStream>

const createItems = (streams: ReadonlyMap<string, MemoryStream>, keys: Awaited<ReturnType<CanaryItems['keys']>>) => {
  const of = (arn: string): MemoryStream => [...streams.values()].find(({ name }) => streamArn(name) === arn)!
  const items: CanaryItems = {
    keys: async () => keys,
    openShards: async (arn) => of(arn).open(),
    follow: async (arn, shardIds) => {
      const from = new Map(shardIds.map((id) => [id, of(arn).records(id).length]))
      return async () =>
        shardIds.flatMap((shardId) => {
          const all = of(arn).records(shardId)
          const found = all.slice(from.get(shardId) ?? 0).map(({ key }) => ({ shardId, key }))
          from.set(shardId, all.length)
          return found
        })
    },
    write: async (table, key, writtenAt) => {
      const stream = streams.get(table)!
      if (stream.foreign.has(JSON.stringify(key))) return false
      stream.put(key, { [canaryAttribute]: { N: String(writtenAt) } })
      return true
    },
  }
  return items
}

export type Minute = {
  /** undefined where it was not counted. */
  metric: (name: keyof typeof proofMetrics) => number | undefined
  heartbeat: Heartbeat
  lines: LogLine[]
}

export const createLagWorld = (options: {
  tables?: readonly TableConfig[]
  canary?: string
  partitionType?: 'S' | 'N' | 'B'
}) => {
  const { tables = [], canary, partitionType: type = 'S' } = options
  const config = configOf(tables, canary)
  const sort = tables.some((table) => table.canary?.sort !== undefined) ? { name: 'sk', type: 'N' } : undefined
  let now = start
  const clock = { now: () => now }
  const rows = createMemoryRowStore()
  const streams = new Map(
    tables.map(({ name }) => [
      name,
      createStream(name, async (key, item, sequence) => {
        const { pk, sk } = key as Record<string, { S: string }>
        await rows.applyIfNewer(name, {
          key: encodeRowKey({ partition: pk!, sort: sk }),
          cells: encodeCells(item),
          marker: { version: changeVersion({ epoch: 1, sequenceNumber: String(sequence) }), time: 0, tombstone: false },
        })
      }),
    ]),
  )
  const ledger = createMemoryLedger()
  const source = createMemorySource({ clock })
  source.createBucket('models', 'versioned')
  const store = createMemoryBlobStore({ now: () => now, canUpdate: false })
  const queues = new Map(['objects', 'segments', 'objects-dead'].map((name) => [name, { messages: 0, delayed: 0 }]))
  const gauges = { ages: new Map<string, number>(), iteratorAge: undefined as number | undefined }
  const quarantine = new Map<string, Quarantined>()
  const keys = { partition: { name: 'pk', type }, ...(sort ? { sort } : {}) }
  const items = createItems(streams, keys)
  const applyAll = async (): Promise<void> => {
    for (const stream of streams.values()) if (!stream.isStopped) await stream.apply()
  }
  const deps: Omit<LagDeps, 'telemetry'> = {
    config,
    stage: 'local',
    store,
    objects: ledger.objects,
    source,
    canaryObjects: { put: async (bucket, key, body) => source.put(bucket, key, Buffer.from(body)).versionId },
    state: createMemoryProofState(),
    queues: [...queues.keys()].map((name) => ({ name, isDead: name.endsWith('-dead') })),
    counts: { count: async (name) => queues.get(name)! },
    gauges: { queueAges: async () => gauges.ages, iteratorAge: async () => gauges.iteratorAge },
    openRows: async () => ({ rows, items, quarantine: { take: async () => quarantine } }),
    clock,
    wait: async (ms) => {
      now += ms
      await applyAll()
    },
    limited: (work) => work,
  }
  /** Every version of the canary that was put since becomes a ledger row in this state. */
  const settleCanaries = async (state: ObjectState, fromMs = 0): Promise<void> => {
    for await (const entry of source.versions('models', '')) {
      if (entry.lastModified < fromMs) continue
      const traceId = traceIdOf('models', entry.key, entry.versionId!)
      await ledger.objects.begin(objectRow({ traceId, since: entry.lastModified }))
      await ledger.objects.update(traceId, 'plan-1', { state })
    }
  }
  return {
    deps,
    ledger,
    source,
    store,
    rows,
    stream: (name = 'features') => streams.get(name)!,
    queues,
    gauges,
    quarantine,
    settleCanaries,
    now: () => now,
    tick: (ms: number) => (now += ms),
    /** One minute passes and the lag is measured; `changed` stands for parts of the deps. */
    measure: async (changed: Partial<LagDeps> = {}): Promise<Minute> => {
      now = Math.floor(now / minute + 1) * minute
      const begun = now
      const telemetry = createMemoryTelemetry()
      const counted = new Set<string>()
      const counting = {
        ...telemetry,
        count: (metric: string, value: number) => {
          counted.add(metric)
          telemetry.count(metric, value)
        },
      }
      const remainingMs = (): number => 55_000 - (now - begun)
      await measureLag({ ...deps, telemetry: counting, ...changed }, { remainingMs })
      const heartbeat = await newestHeartbeat(store, now)
      return {
        metric: (name) => (counted.has(name) ? telemetry.total(name) : undefined),
        heartbeat: heartbeat!,
        lines: telemetry.lines,
      }
    },
  }
}
export type LagWorld = ReturnType<typeof createLagWorld>
