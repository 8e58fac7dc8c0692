import type { Rules } from '../../local/bigtable/engine.ts'
import { applyFilter, filterRow } from '../../local/bigtable/filters.ts'
import { collectGarbage } from '../../local/bigtable/garbage.ts'
import { applyMutations } from '../../local/bigtable/mutations.ts'
import { selectRanges } from '../../local/bigtable/ranges.ts'
import type { Cell } from '../../local/bigtable/row.ts'
import type { Mutation, RowFilter } from '../../local/bigtable/wire.ts'

/** The filter with every part of it changed, the innermost first. */
const mapFilter = (filter: RowFilter, change: (part: RowFilter) => RowFilter): RowFilter => {
  const map = (part: RowFilter): RowFilter => mapFilter(part, change)
  if (filter.filter === 'chain') return change({ ...filter, chain: { filters: filter.chain.filters?.map(map) ?? [] } })
  if (filter.filter === 'interleave')
    return change({ ...filter, interleave: { filters: filter.interleave.filters?.map(map) ?? [] } })
  if (filter.filter !== 'condition') return change(filter)
  const { predicateFilter, trueFilter, falseFilter } = filter.condition
  return change({
    ...filter,
    condition: {
      ...(predicateFilter && { predicateFilter: map(predicateFilter) }),
      ...(trueFilter && { trueFilter: map(trueFilter) }),
      ...(falseFilter && { falseFilter: map(falseFilter) }),
    },
  })
}

const withFilter = (change: (part: RowFilter) => RowFilter): Partial<Rules> => ({
  filterRow: (filter, cells, context) => filterRow(filter && mapFilter(filter, change), cells, context),
})

const withMutations = (change: (mutation: Mutation) => Mutation): Partial<Rules> => ({
  applyMutations: (cells, mutations, context) => applyMutations(cells, mutations.map(change), context),
})

const anywhere = (pattern: Buffer): Buffer => Buffer.from(`(?:${pattern.toString('latin1')})\\C*`, 'latin1')

const isSameCell = (a: Cell, b: Cell): boolean =>
  a.family === b.family && a.qualifier === b.qualifier && a.timestamp === b.timestamp

/** Servers with one wrong rule each, which a fuzzer that is worth its name finds. */
export const plantedBugs: Record<string, Partial<Rules>> = {
  'the open end of a value range is in it': withFilter((part) => {
    if (part.filter !== 'valueRangeFilter' || !part.valueRangeFilter.endValueOpen) return part
    const { endValueOpen, ...range } = part.valueRangeFilter
    return { ...part, valueRangeFilter: { ...range, endValueClosed: endValueOpen } }
  }),
  'the closed start of a column range is not in it': withFilter((part) => {
    if (part.filter !== 'columnRangeFilter' || !part.columnRangeFilter.startQualifierClosed) return part
    const { startQualifierClosed, ...range } = part.columnRangeFilter
    return { ...part, columnRangeFilter: { ...range, startQualifierOpen: startQualifierClosed } }
  }),
  'the end of a time range is in it': withFilter((part) => {
    if (part.filter !== 'timestampRangeFilter' || !part.timestampRangeFilter.endTimestampMicros) return part
    const range = part.timestampRangeFilter
    const later = String(BigInt(range.endTimestampMicros ?? 0) + 1000n)
    return { ...part, timestampRangeFilter: { ...range, endTimestampMicros: later } }
  }),
  'a limit of cells per column is one per row': withFilter((part) =>
    part.filter === 'cellsPerColumnLimitFilter'
      ? { filter: 'cellsPerRowLimitFilter', cellsPerRowLimitFilter: part.cellsPerColumnLimitFilter }
      : part,
  ),
  'a pattern of keys need not match the whole key': withFilter((part) =>
    part.filter === 'rowKeyRegexFilter' ? { ...part, rowKeyRegexFilter: anywhere(part.rowKeyRegexFilter) } : part,
  ),
  'a condition that does not match and has no branch passes the row': withFilter((part) => {
    if (part.filter !== 'condition' || part.condition.falseFilter) return part
    const falseFilter: RowFilter = { filter: 'passAllFilter', passAllFilter: true }
    return { ...part, condition: { ...part.condition, falseFilter } }
  }),
  'an interleave lets a cell through once': {
    filterRow: (filter, cells, context) => {
      const left = filter ? applyFilter(filter, cells, { ...context, sunk: [] }) : cells
      if (filter?.filter === 'sink') return cells
      return left.filter((cell, index) => !left.slice(0, index).some((before) => isSameCell(before, cell)))
    },
  },
  'an open end of a range of rows is in it': {
    selectRanges: (rows) =>
      selectRanges({
        ...rows,
        rowRanges: (rows?.rowRanges ?? []).map(({ endKeyOpen, ...range }) =>
          endKeyOpen?.length ? { ...range, endKeyClosed: endKeyOpen } : range,
        ),
      }),
  },
  'of two ranges of rows the first is read': {
    selectRanges: (rows) => selectRanges({ ...rows, rowRanges: (rows?.rowRanges ?? []).slice(0, 1) }),
  },
  'a second write at the same time is lost': {
    applyMutations: (cells, mutations, context) =>
      applyMutations(cells, mutations, context).map((cell) => cells.find((before) => isSameCell(before, cell)) ?? cell),
  },
  'a delete of a column takes its newest cell': {
    applyMutations: (cells, mutations, context) =>
      mutations.reduce<Cell[]>(
        (left, mutation) => {
          const after = applyMutations(left, [mutation], context)
          const gone = left.filter((cell) => !after.includes(cell))
          return mutation.mutation === 'deleteFromColumn' ? left.filter((cell) => cell !== gone[0]) : after
        },
        [...cells],
      ),
  },
  'a delete from a family deletes the row': withMutations((mutation) =>
    mutation.mutation === 'deleteFromFamily' && mutation.deleteFromFamily.familyName === 'f'
      ? { mutation: 'deleteFromRow', deleteFromRow: {} }
      : mutation,
  ),
  'the check and the mutation are two steps': {
    pause: () => new Promise((resolve) => setImmediate(resolve)),
  },
  'nothing is collected': { collectGarbage: (cells) => cells },
  'a union collects only what all its rules take': {
    collectGarbage: (cells, ruleOf, nowMicros) =>
      collectGarbage(
        cells,
        (family) => {
          const rule = ruleOf(family)
          if (rule?.rule !== 'union') return rule
          return { rule: 'intersection', intersection: { rules: rule.union?.rules ?? [] } }
        },
        nowMicros,
      ),
  },
}
