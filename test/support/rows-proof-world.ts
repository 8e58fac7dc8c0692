import { createMemoryItems } from '../../shared/clouds/memory/items.ts'
import { createMemoryProofState } from '../../shared/clouds/memory/proof-state.ts'
import { createMemoryRowStore } from '../../shared/clouds/memory/row-store.ts'
import { createMemoryTelemetry } from '../../shared/clouds/memory/telemetry.ts'
import { createMemoryBlobStore } from '../../shared/clouds/memory/blob-store.ts'
import { itemKeyOf, ruleOfTable } from '../../shared/features/change.ts'
import type { Item } from '../../shared/features/item.ts'
import { encodeRowKey, type RowKey } from '../../shared/features/row-key.ts'
import { changeVersion } from '../../shared/features/version.ts'
import { rowWrite } from '../../shared/features/write.ts'
import { type CheckRowsDeps, checkRows, type Asked, type RowsChecked } from '../../shared/proof/check-rows.ts'
import { rowsConfig } from './rows-deps.ts'

/**
 * A table and its replica in memory with a clock of their own. While changes are in flight every call to the source takes time,
 * in which items change at the given rate and the stream brings older changes after its lag.
 */
export type ProofWorldOptions = {
  /** Items in a page of a scan. */
  pageItems?: number
  changesPerSecond?: number
  lagMs?: number
  /** Whether the replica's feature time is known; without it the lag has to be within a minute. */
  hasCanary?: boolean
  /** All items are of one partition, and so of one bucket. */
  onePartition?: boolean
}

const startMs = Date.UTC(2026, 4, 1)
const table = 'features'

export const keyItem = (index: number): Item => ({ pk: { S: `user#${index}` } })
export const rowKeyOf = (item: Item): RowKey => encodeRowKey(itemKeyOf(item, { partition: 'pk' }))

/** A small generator with a seed: https://prng.di.unimi.it/splitmix64.c in 32 bits. */
const createRandom = (seed: number) => {
  let state = seed
  return (below: number): number => {
    state = (state + 0x9e3779b9) | 0
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad)
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97)
    return ((mixed ^ (mixed >>> 15)) >>> 0) % below
  }
}

export const createProofWorld = (options: ProofWorldOptions = {}) => {
  const { pageItems = 100, changesPerSecond = 0, lagMs = 2000, hasCanary = true, onePartition = false } = options
  const names = onePartition ? { partition: 'pk', sort: 'sk' } : { partition: 'pk' }
  const keyAt = (index: number): Item =>
    onePartition ? { pk: { S: 'all' }, sk: { N: String(index) } } : keyItem(index)
  const items = createMemoryItems({ [table]: names }, pageItems)
  const rows = createMemoryRowStore({ tables: [table] })
  const telemetry = createMemoryTelemetry()
  const config = rowsConfig()
  const rule = ruleOfTable(config, table)
  const random = createRandom(7)
  const read = { rows: 0, scanned: 0, gets: 0, pages: 0 }
  let now = startMs
  let owed = 0
  let sequence = 0
  let made = 0
  let keys = 0
  const stream: { at: number; apply(): Promise<unknown> }[] = []

  const writeOf = (item: Item, isDeleted: boolean) => {
    sequence += 1
    const key = itemKeyOf(item, names)
    const version = changeVersion({ epoch: 1, sequenceNumber: String(sequence) })
    const time = Math.floor(now / 1000)
    return rowWrite(rule, { rowKey: encodeRowKey(key), key, version, time, item: isDeleted ? undefined : item })
  }
  /** Changes the source; the stream brings it after the lag. */
  const change = (item: Item, isDeleted = false): void => {
    if (isDeleted) items.delete(table, item)
    else items.put(table, item)
    const write = writeOf(item, isDeleted)
    stream.push({ at: now, apply: () => rows.applyIfNewer(table, write) })
  }
  const randomChange = (): void => {
    const kind = random(100)
    made += 1
    if (kind < 5) change({ ...keyAt((keys += 1)), n: { N: '1' } })
    else change({ ...keyAt(1 + random(keys)), n: { N: String(made) } }, kind < 10)
  }
  const deliver = async (): Promise<void> => {
    while (stream[0] && stream[0].at + lagMs <= now) await stream.shift()!.apply()
  }
  const tick = async (ms: number): Promise<void> => {
    now += ms
    owed += (changesPerSecond * ms) / 1000
    for (; owed >= 1; owed -= 1) randomChange()
    await deliver()
  }
  /** An item that is in both, number 1 the first. */
  const both = async (attributes: Item = { n: { N: '0' } }): Promise<Item> => {
    const item = { ...keyAt((keys += 1)), ...attributes }
    items.put(table, item)
    await rows.applyIfNewer(table, writeOf(item, false))
    return item
  }
  const deps: CheckRowsDeps = {
    config,
    state: createMemoryProofState(),
    store: createMemoryBlobStore({ now: () => now }),
    telemetry,
    clock: { now: () => now },
    random: { next: () => 0.5, hex: (bytes) => (sequence += 1).toString(16).padStart(bytes * 2, '0') },
    wait: tick,
    settleMs: 60_000,
    featureTime: async () => (hasCanary ? (stream[0]?.at ?? now) - 1 : undefined),
    source: {
      ...items,
      get: async (...args) => {
        read.gets += 1
        await tick(1)
        return items.get(...args)
      },
      pages: async function* (...args) {
        for await (const page of items.pages(...args)) {
          read.pages += 1
          yield page
          // The rows of the page are read while others change.
          await tick(pageItems / 10)
        }
      },
    },
    rows: {
      ...rows,
      read: async (name, wanted) => {
        read.rows += wanted.length
        return rows.read(name, wanted)
      },
      scan: async function* (name, range) {
        for await (const row of rows.scan(name, range)) {
          const isWhole = !range.markersOnly && range.changedSince === undefined
          if (isWhole && !row.marker?.tombstone) read.scanned += 1
          yield row
        }
      },
    },
  }
  const ample = { remainingMs: () => 900_000 }
  return {
    items,
    rows,
    rule,
    table,
    telemetry,
    deps,
    /** What was read of each side; `scanned` are rows, but tombstones, that were listed whole. */
    read,
    made: () => made,
    now: () => now,
    tick,
    both,
    change,
    fill: async (count: number): Promise<void> => {
      for (let index = 0; index < count; index += 1) await both()
    },
    /** Calls until the run is done. */
    check: async (asked: Asked = { mode: 'full' }, deadline = ample): Promise<RowsChecked> => {
      for (let calls = 0; calls < 10_000; calls += 1) {
        const checked = await checkRows(deps, table, deadline, asked)
        if (checked.outcome !== 'goes on') return checked
        await tick(60_000)
      }
      throw new Error('the run did not end')
    },
  }
}
