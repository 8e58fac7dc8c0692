import { NotFoundError } from '../../errors.ts'
import type { HistoryEntry, RowStore, StoredRow } from '../../features/row-store.ts'
import { createSortedKeys, type SortedKeys } from './sorted-keys.ts'
import { type OnStep, withSteps } from './steps.ts'

/** `order` has the keys of `rows` in order, once they were asked for. */
type Table = { rows: Map<string, StoredRow>; order?: SortedKeys; history: Map<string, Map<string, HistoryEntry>> }

/** The store with what only a test may do. */
export type MemoryRowStore = RowStore & {
  /** Copies of a table's rows in key order. */
  rows(table: string): StoredRow[]
  /** Writes a row, or with undefined removes it, behind the back of whoever replicates. */
  tamper(table: string, key: Uint8Array, row: StoredRow | undefined): void
  /** How many history entries a table has. */
  historyCount(table: string): number
}

/** latin1, so that text orders as bytes. */
const textOf = (key: Uint8Array): string => Buffer.from(key.buffer, key.byteOffset, key.length).toString('latin1')

const copyRow = ({ key, cells, marker }: StoredRow): StoredRow => ({
  key: Buffer.from(key),
  cells: new Map(Array.from(cells, ([qualifier, value]) => [qualifier, Buffer.from(value)])),
  ...(marker && { marker: { ...marker } }),
})

const copyEntry = (entry: HistoryEntry): HistoryEntry => ({
  ...entry,
  key: Buffer.from(entry.key),
  before: typeof entry.before === 'string' ? entry.before : Buffer.from(entry.before),
})

const inOrder = <T>(entries: Map<string, T>): [string, T][] => [...entries].sort(([a], [b]) => (a < b ? -1 : 1))

const openTables = (names: readonly string[] | undefined): ((name: string) => Table) => {
  const tables = new Map<string, Table>()
  const create = (name: string): Table => {
    const table: Table = { rows: new Map(), history: new Map() }
    tables.set(name, table)
    return table
  }
  for (const name of names ?? []) create(name)
  return (name) => {
    const table = tables.get(name)
    if (table) return table
    if (names) throw new NotFoundError(`table ${name} does not exist`)
    return create(name)
  }
}

const appendHistory = ({ history }: Table, entries: readonly HistoryEntry[]): void => {
  for (const entry of entries) {
    const key = textOf(entry.key)
    const ofKey = history.get(key) ?? new Map<string, HistoryEntry>()
    ofKey.set(entry.version, copyEntry(entry))
    history.set(key, ofKey)
  }
}

const orderOf = (table: Table): SortedKeys => (table.order ??= createSortedKeys(table.rows.keys()))

const write = (table: Table, row: StoredRow): void => {
  const key = textOf(row.key)
  table.order?.add(key)
  table.rows.set(key, copyRow(row))
}

/** In order, a row as it is when its turn comes; keys that come or go meanwhile move nothing. */
function* rowsBetween(table: Table, from: string, to: string | undefined): Generator<StoredRow> {
  let key = orderOf(table).from(from)
  while (key !== undefined) {
    if (to !== undefined && key >= to) return
    const row = table.rows.get(key)
    if (row) yield row
    key = orderOf(table).behind(key)
  }
}

const createPort = (tableOf: (name: string) => Table): RowStore => {
  return {
    read: async (table, keys) => {
      const { rows } = tableOf(table)
      return keys.map((key) => {
        const row = rows.get(textOf(key))
        return row && copyRow(row)
      })
    },
    scan: async function* (table, { start, end, limit = Infinity, markersOnly = false, changedSince }) {
      const [from, to] = [textOf(start), end && textOf(end)]
      let left = limit
      for (const row of rowsBetween(tableOf(table), from, to)) {
        if (left <= 0) return
        if (changedSince !== undefined && row.marker && row.marker.time < changedSince) continue
        left -= 1
        if (changedSince !== undefined) yield { key: Buffer.from(row.key), cells: new Map() }
        else yield copyRow(markersOnly ? { ...row, cells: new Map() } : row)
      }
    },
    applyIfNewer: async (name, row) => {
      const table = tableOf(name)
      const stored = table.rows.get(textOf(row.key))?.marker?.version
      if (stored !== undefined && stored >= row.marker.version) return 'stale'
      write(table, row)
      return 'applied'
    },
    replaceIf: async (name, row, expected) => {
      const table = tableOf(name)
      if (table.rows.get(textOf(row.key))?.marker?.version !== expected) return false
      write(table, row)
      return true
    },
    history: {
      append: async (name, entries) => appendHistory(tableOf(name), entries),
      list: async function* (name, key, { laterThan = -Infinity, above = '' } = {}) {
        const entries = tableOf(name).history.get(textOf(key)) ?? new Map<string, HistoryEntry>()
        for (const [, entry] of inOrder(entries))
          if (entry.time > laterThan && entry.version > above) yield copyEntry(entry)
      },
    },
  }
}

/**
 * A RowStore in memory; every call takes effect at once, as one check and mutation does. Tables that are not among
 * `tables` do not exist; without it every table does. `onStep` is called around every call as `withSteps` does, for
 * `rows.applyIfNewer` and the like and `history.append` and `history.list`: before it, to fail as a call that never
 * arrived or to delay it; after it, to lose the reply of one that was made.
 */
export const createMemoryRowStore = (options: { tables?: readonly string[]; onStep?: OnStep } = {}): MemoryRowStore => {
  const { tables, onStep } = options
  const tableOf = openTables(tables)
  const port = createPort(tableOf)
  const watched = onStep
    ? { ...withSteps('rows', port, onStep), history: withSteps('history', port.history, onStep) }
    : port
  return {
    ...watched,
    rows: (table) => inOrder(tableOf(table).rows).map(([, row]) => copyRow(row)),
    tamper: (name, key, row) => {
      const table = tableOf(name)
      table.rows.delete(textOf(key))
      delete table.order
      if (row) write(table, row)
    },
    historyCount: (table) => {
      const perKey = Array.from(tableOf(table).history.values(), ({ size }) => size)
      return perKey.reduce((sum, size) => sum + size, 0)
    },
  }
}
