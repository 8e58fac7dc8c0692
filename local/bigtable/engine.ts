import { invalid, notFound, notImplemented } from './api-error.ts'
import { checkFilter, filterRow } from './filters.ts'
import { collectGarbage } from './garbage.ts'
import { applyMutations, checkMutationCount, requireKey } from './mutations.ts'
import { selectRanges } from './ranges.ts'
import { type Cell, decodeCells, encodeCells } from './row.ts'
import type { KeyRange, Store, Table } from './store.ts'
import type { CheckAndMutateRowRequest, GcRule, Mutation, ReadRowsRequest, RowFilter, TableRequest } from './wire.ts'

/** The rules of Bigtable, replaceable one by one, so that a test can prove that it would notice a wrong one. */
export type Rules = {
  filterRow: typeof filterRow
  applyMutations: typeof applyMutations
  collectGarbage: typeof collectGarbage
  selectRanges: typeof selectRanges
  /** Called between a check and its mutation. */
  pause?: () => Promise<void>
}

export type Row = { key: Buffer; cells: Cell[] }

export type Engine = {
  store: Store
  requireTable(request: TableRequest): Table
  /** The rows that a request is answered with, in its order. */
  read(request: ReadRowsRequest): Iterable<Row>
  mutate(table: Table, key: Buffer | undefined, mutations: readonly Mutation[] | undefined): void
  /** Whether the predicate matched. */
  checkAndMutate(request: CheckAndMutateRowRequest): boolean | Promise<boolean>
  /** Takes from the disk what the rules of the families no longer keep; the number of rows that it changed. */
  sweep(): Promise<number>
}

const pageRows = 256

const rulesOf = (table: Table): ((family: number) => GcRule | undefined) => {
  const rules = new Map(
    Array.from(table.families.values(), ({ number, settings }) => [number, settings.gcRule ?? undefined]),
  )
  return (family) => rules.get(family)
}

const hasRules = (table: Table): boolean => [...table.families.values()].some(({ settings }) => settings.gcRule?.rule)

const next = (range: KeyRange, last: Buffer, reversed: boolean): KeyRange =>
  reversed ? { start: range.start, end: last } : { ...range, start: Buffer.concat([last, Buffer.of(0)]) }

const createRowAccess = (store: Store, rules: Rules, now: () => number) => {
  const nowMicros = (): bigint => BigInt(Math.trunc(now())) * 1000n
  // What the rules no longer keep is never answered, wherever it still lies: a rule works from the moment it is set.
  const live = (table: Table, bytes: Buffer): Cell[] => {
    const cells = decodeCells(bytes, table.names)
    return hasRules(table) ? rules.collectGarbage(cells, rulesOf(table), nowMicros()) : cells
  }
  const load = (table: Table, key: Buffer): Cell[] => {
    const bytes = store.get(table, key)
    return bytes ? live(table, bytes) : []
  }
  const filter = (table: Table, wanted: RowFilter | null | undefined, { key, cells }: Row): Cell[] =>
    rules.filterRow(wanted, cells, {
      key: key.toString('latin1'),
      familyName: (family) => table.names.get(family) ?? '',
      random: Math.random,
    })
  const write = (table: Table, key: Buffer, cells: Cell[], mutations: readonly Mutation[]): void => {
    const changed = rules.applyMutations(cells, mutations, {
      familyOf: (name) => table.families.get(name)?.number,
      nowMicros,
    })
    store.put(table, key, encodeCells(changed))
  }
  const sweep = (table: Table, key: Buffer): boolean => {
    const stored = store.get(table, key)
    const kept = encodeCells(load(table, key))
    if (stored === undefined || stored.length === kept.length) return false
    store.put(table, key, kept)
    return true
  }
  const pages = function* (table: Table, ranges: KeyRange[], reversed: boolean): Generator<Row> {
    for (const whole of reversed ? ranges.toReversed() : ranges) {
      let range: KeyRange | undefined = whole
      while (range) {
        const page = store.page(table, range, { limit: pageRows, reversed })
        for (const { key, cells } of page) yield { key, cells: live(table, cells) }
        const last = page.length === pageRows ? page.at(-1) : undefined
        range = last && next(range, last.key, reversed)
      }
    }
  }
  return { load, filter, write, sweep, pages }
}

/** Every operation is synchronous on the one SQLite connection, so that no row is seen between a check and its mutation. */
export const createEngine = (options: { store: Store; rules?: Partial<Rules>; now: () => number }): Engine => {
  const { store, now } = options
  const rules: Rules = { filterRow, applyMutations, collectGarbage, selectRanges, ...options.rules }
  const rows = createRowAccess(store, rules, now)
  const requireTable = (request: TableRequest): Table => {
    if (request.authorizedViewName || request.materializedViewName) throw notImplemented('views')
    const table = store.table(request.tableName ?? '')
    if (!table) throw notFound(`table "${request.tableName ?? ''}" not found`)
    return table
  }
  return {
    store,
    requireTable,
    read: function* (request) {
      const table = requireTable(request)
      if (request.requestStatsView === 'REQUEST_STATS_FULL') throw notImplemented('request stats')
      checkFilter(request.filter)
      const limit = Number(request.rowsLimit ?? 0)
      if (limit < 0) throw invalid(`rows_limit cannot be negative: ${limit}`)
      let count = 0
      for (const row of rows.pages(table, rules.selectRanges(request.rows), request.reversed === true)) {
        const cells = rows.filter(table, request.filter, row)
        if (cells.length === 0) continue
        yield { key: row.key, cells }
        count += 1
        if (count === limit) return
      }
    },
    mutate: (table, rowKey, mutations = []) => {
      const key = requireKey(rowKey)
      if (mutations.length === 0) throw invalid('No mutations provided')
      checkMutationCount(mutations.length)
      rows.write(table, key, rows.load(table, key), mutations)
    },
    checkAndMutate: (request) => {
      const table = requireTable(request)
      const key = requireKey(request.rowKey)
      const { predicateFilter, trueMutations = [], falseMutations = [] } = request
      if (trueMutations.length === 0 && falseMutations.length === 0) throw invalid('No mutations provided')
      checkMutationCount(trueMutations.length + falseMutations.length)
      checkFilter(predicateFilter)
      const cells = rows.load(table, key)
      const matched = rows.filter(table, predicateFilter, { key, cells }).length > 0
      const mutations = matched ? trueMutations : falseMutations
      const write = (): boolean => {
        if (mutations.length > 0) rows.write(table, key, cells, mutations)
        return matched
      }
      return rules.pause ? rules.pause().then(write) : write()
    },
    sweep: async () => {
      let swept = 0
      for (const { name } of store.tables().filter(hasRules)) {
        const listed = store.table(name)
        const keys = listed ? store.sizes(listed).map(({ key }) => key) : []
        for (let at = 0; at < keys.length; at += pageRows) {
          const table = store.table(name)
          if (!table) break
          for (const key of keys.slice(at, at + pageRows)) if (rows.sweep(table, key)) swept += 1
          await new Promise((resolve) => setImmediate(resolve))
        }
      }
      return swept
    },
  }
}
