import type { RowRange, RowStore, StoredRow } from '../../features/row-store.ts'
import { type BigtableOptions, createBigtable } from './bigtable-client.ts'
import { historyRange, laterThanFilter, micros, toHistoryEntry } from './bigtable-history.ts'
import { readRows, scanRows, type Store, toStoredRow, type Wire } from './bigtable-read.ts'
import type { RetryOptions } from './bigtable-retry.ts'
import type { RowRead } from './bigtable-rows.ts'
import { checkAndMutate, versionFilter, writeHistory } from './bigtable-write.ts'

export type BigtableRowStore = RowStore & { close(): Promise<void> }

/** A row without a marker was not written by Lifeboat, and is there all the same: a cell of it comes, empty. */
const markersFilter: Wire = {
  interleave: {
    filters: [
      { familyNameRegexFilter: 'm' },
      {
        chain: {
          filters: [{ familyNameRegexFilter: 'd' }, { cellsPerRowLimitFilter: 1 }, { stripValueTransformer: true }],
        },
      },
    ],
  },
}

/** Cells carry the change's time. */
const changedSinceFilter = (second: number): Wire => ({
  chain: {
    filters: [
      { timestampRangeFilter: { startTimestampMicros: micros(second) } },
      { cellsPerRowLimitFilter: 1 },
      { stripValueTransformer: true },
    ],
  },
})

const filterOf = ({ markersOnly = false, changedSince }: RowRange): Wire | undefined => {
  if (changedSince !== undefined) return changedSinceFilter(changedSince)
  return markersOnly ? markersFilter : undefined
}

const withoutCells = (row: RowRead): StoredRow => {
  const { key, marker } = toStoredRow(row)
  // The empty value of a filter that asks for keys alone is no version.
  return { key, cells: new Map(), ...(marker?.version && { marker }) }
}

const historyOf = (table: string): string => `${table}-history`

/**
 * Rows in Bigtable. Table NAME: family `d`, one cell per attribute; family `m`, `v` the version, `t` the change's second
 * in decimal, `x` `1` on a tombstone. Table NAME-history: see bigtable-history.ts. Reads and history are tried again
 * after what passes; a check and mutation is tried once, since only its caller knows what a lost reply means.
 */
export const createBigtableRowStore = (options: BigtableOptions & Partial<RetryOptions>): BigtableRowStore => {
  const { retriesMax = 4, waitMs = 50 } = options
  const store: Store = { ...createBigtable(options), retry: { retriesMax, waitMs } }
  return {
    read: (table, keys) => readRows(store, table, keys),
    scan: async function* (table, range) {
      if (range.limit === 0) return
      const filter = filterOf(range)
      for await (const row of scanRows(store, table, { ...range, ...(filter && { filter }) }))
        yield filter ? withoutCells(row) : toStoredRow(row)
    },
    applyIfNewer: async (table, row) => {
      const filter = versionFilter({ startValueClosed: Buffer.from(row.marker.version) })
      const isStale = await checkAndMutate(store, table, row, { filter, write: 'whereNot' })
      return isStale ? 'stale' : 'applied'
    },
    replaceIf: async (table, row, expected) => {
      if (expected === undefined)
        return !(await checkAndMutate(store, table, row, { filter: versionFilter(), write: 'whereNot' }))
      const version = Buffer.from(expected)
      const filter = versionFilter({ startValueClosed: version, endValueClosed: version })
      return checkAndMutate(store, table, row, { filter, write: 'whereMatched' })
    },
    history: {
      append: (table, entries) => writeHistory(store, historyOf(table), entries),
      list: async function* (table, key, bounds = {}) {
        const { laterThan, above } = bounds
        const range = {
          ...historyRange(key, above),
          ...(laterThan !== undefined && { filter: laterThanFilter(laterThan) }),
        }
        for await (const row of scanRows(store, historyOf(table), range)) yield toHistoryEntry(key, row)
      },
    },
    close: () => store.client.close(),
  }
}
