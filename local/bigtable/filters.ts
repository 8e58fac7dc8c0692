import { invalid } from './api-error.ts'
import { compileRegex } from './regex.ts'
import { type Cell, compareCells, isSameColumn } from './row.ts'
import type { ColumnRange, RowFilter, TimestampRange, ValueRange } from './wire.ts'

/** What a filter sees beside the cells. `sunk` collects what a sink lets out past all that follows it. */
export type FilterContext = {
  /** latin1. */
  key: string
  familyName: (family: number) => string
  random: () => number
  sunk: Cell[]
}

const latin1 = (bytes: Buffer): string => bytes.toString('latin1')

/** A bound that is not set does not bound. */
const isWithin = (
  value: Buffer | string,
  bounds: {
    from?: Buffer | undefined
    after?: Buffer | undefined
    to?: Buffer | undefined
    before?: Buffer | undefined
  },
): boolean => {
  const bytes = typeof value === 'string' ? Buffer.from(value, 'latin1') : value
  const { from, after, to, before } = bounds
  if (from && Buffer.compare(bytes, from) < 0) return false
  if (after && Buffer.compare(bytes, after) <= 0) return false
  if (to && Buffer.compare(bytes, to) > 0) return false
  return !(before && Buffer.compare(bytes, before) >= 0)
}

const isInColumns = (cell: Cell, range: ColumnRange, context: FilterContext): boolean =>
  context.familyName(cell.family) === (range.familyName ?? '') &&
  isWithin(cell.qualifier, {
    from: range.startQualifierClosed,
    after: range.startQualifierOpen,
    to: range.endQualifierClosed,
    before: range.endQualifierOpen,
  })

const isInValues = (cell: Cell, range: ValueRange): boolean =>
  isWithin(cell.value, {
    from: range.startValueClosed,
    after: range.startValueOpen,
    to: range.endValueClosed,
    before: range.endValueOpen,
  })

const isInTime = (cell: Cell, range: TimestampRange): boolean => {
  const start = BigInt(range.startTimestampMicros ?? 0)
  const end = BigInt(range.endTimestampMicros ?? 0)
  return cell.timestamp >= start && (end === 0n || cell.timestamp < end)
}

const limitPerColumn = (cells: Cell[], limit: number): Cell[] => {
  let count = 0
  return cells.filter((cell, index) => {
    const before = cells[index - 1]
    count = before && isSameColumn(before, cell) ? count + 1 : 1
    return count <= limit
  })
}

/** Cells stay in the row's order; equal ones keep the order of the filters that let them through. */
const interleave = (filters: RowFilter[], cells: Cell[], context: FilterContext): Cell[] =>
  filters.flatMap((filter) => applyFilter(filter, cells, context)).sort(compareCells)

const matches = (source: Buffer | string): ((text: string) => boolean) => {
  const regex = compileRegex(typeof source === 'string' ? Buffer.from(source).toString('latin1') : latin1(source))
  return (text) => regex.test(text)
}

/** The cells of one row that a filter lets through, or what it makes of them; `checkFilter` has passed it before. */
export const applyFilter = (filter: RowFilter, cells: Cell[], context: FilterContext): Cell[] => {
  switch (filter.filter) {
    case undefined:
    case 'passAllFilter':
      return cells
    case 'blockAllFilter':
      return []
    case 'sink':
      context.sunk.push(...cells)
      return []
    case 'chain':
      return (filter.chain.filters ?? []).reduce((left, each) => applyFilter(each, left, context), cells)
    case 'interleave':
      return interleave(filter.interleave.filters ?? [], cells, context)
    case 'condition': {
      const { predicateFilter = {}, trueFilter, falseFilter } = filter.condition
      const branch = applyFilter(predicateFilter, cells, context).length > 0 ? trueFilter : falseFilter
      return branch ? applyFilter(branch, cells, context) : []
    }
    case 'rowKeyRegexFilter':
      return matches(filter.rowKeyRegexFilter)(context.key) ? cells : []
    case 'rowSampleFilter':
      return context.random() < filter.rowSampleFilter ? cells : []
    case 'cellsPerRowOffsetFilter':
      return cells.slice(filter.cellsPerRowOffsetFilter)
    case 'cellsPerRowLimitFilter':
      return cells.slice(0, filter.cellsPerRowLimitFilter)
    case 'cellsPerColumnLimitFilter':
      return limitPerColumn(cells, filter.cellsPerColumnLimitFilter)
    case 'stripValueTransformer':
      return cells.map((cell) => ({ ...cell, value: Buffer.alloc(0) }))
    case 'applyLabelTransformer':
      return cells.map((cell) => ({ ...cell, labels: [filter.applyLabelTransformer] }))
    case 'familyNameRegexFilter':
    case 'columnQualifierRegexFilter':
    case 'valueRegexFilter':
    case 'columnRangeFilter':
    case 'valueRangeFilter':
    case 'timestampRangeFilter':
    default: {
      const isKept = cellTest(filter, context)
      return cells.filter(isKept)
    }
  }
}

type CellFilter = Extract<
  RowFilter,
  {
    filter:
      | 'familyNameRegexFilter'
      | 'columnQualifierRegexFilter'
      | 'valueRegexFilter'
      | 'columnRangeFilter'
      | 'valueRangeFilter'
      | 'timestampRangeFilter'
  }
>

const cellTest = (filter: CellFilter, context: FilterContext): ((cell: Cell) => boolean) => {
  switch (filter.filter) {
    case 'familyNameRegexFilter': {
      const isFamily = matches(filter.familyNameRegexFilter)
      return (cell) => isFamily(context.familyName(cell.family))
    }
    case 'columnQualifierRegexFilter': {
      const isQualifier = matches(filter.columnQualifierRegexFilter)
      return (cell) => isQualifier(cell.qualifier)
    }
    case 'valueRegexFilter': {
      const isValue = matches(filter.valueRegexFilter)
      return (cell) => isValue(latin1(cell.value))
    }
    case 'columnRangeFilter':
      return (cell) => isInColumns(cell, filter.columnRangeFilter, context)
    case 'valueRangeFilter':
      return (cell) => isInValues(cell, filter.valueRangeFilter)
    case 'timestampRangeFilter':
    default:
      return (cell) => isInTime(cell, filter.timestampRangeFilter)
  }
}

/** The cells that a row answers with: what comes out of the filter's end and what sinks let out. */
export const filterRow = (
  filter: RowFilter | null | undefined,
  cells: Cell[],
  context: Omit<FilterContext, 'sunk'>,
): Cell[] => {
  if (!filter) return cells
  const sunk: Cell[] = []
  const left = applyFilter(filter, cells, { ...context, sunk })
  return sunk.length > 0 ? [...sunk, ...left].sort(compareCells) : left
}

const depthMax = 20

const hasLabel = (filter: RowFilter): boolean => {
  if (filter.filter === 'applyLabelTransformer') return true
  if (filter.filter === 'chain') return (filter.chain.filters ?? []).some(hasLabel)
  if (filter.filter === 'interleave') return (filter.interleave.filters ?? []).some(hasLabel)
  if (filter.filter !== 'condition') return false
  const { trueFilter, falseFilter } = filter.condition
  return [trueFilter, falseFilter].some((branch) => branch !== undefined && hasLabel(branch))
}

const checkParts = (filters: RowFilter[] | undefined, name: string, depth: number, sinkAllowed: boolean): void => {
  if (!filters || filters.length < 2) throw invalid(`${name} must contain at least two RowFilters`)
  for (const part of filters) checkFilter(part, depth + 1, sinkAllowed)
}

const checkTimes = ({ startTimestampMicros, endTimestampMicros }: TimestampRange): void => {
  for (const micros of [startTimestampMicros, endTimestampMicros])
    if (BigInt(micros ?? 0) % 1000n !== 0n)
      throw invalid(`Error in field 'timestamp_range_filter': ${micros} is not in whole milliseconds`)
}

const requireTrue = (name: string, value: boolean): void => {
  if (!value) throw invalid(`${name} must be true if set`)
}

const requireCount = (name: string, count: number, least: number): void => {
  if (count < least) throw invalid(`Error in field '${name}': ${count} is less than ${least}`)
}

/** Throws INVALID_ARGUMENT for a filter that no row could be read with. */
export const checkFilter = (filter: RowFilter | null | undefined, depth = 1, sinkAllowed = true): void => {
  if (!filter) return
  if (depth > depthMax) throw invalid(`filters may be nested ${depthMax} deep at most`)
  switch (filter.filter) {
    case 'chain':
      if ((filter.chain.filters ?? []).filter(hasLabel).length > 1)
        throw invalid('a Chain may have no more than one sub-filter with an apply_label_transformer')
      return checkParts(filter.chain.filters, 'Chain', depth, sinkAllowed)
    case 'interleave':
      return checkParts(filter.interleave.filters, 'Interleave', depth, sinkAllowed)
    case 'condition': {
      const { predicateFilter, trueFilter, falseFilter } = filter.condition
      for (const part of [predicateFilter, trueFilter, falseFilter]) checkFilter(part, depth + 1, false)
      return
    }
    case 'sink':
      if (!sinkAllowed) throw invalid('a sink cannot be part of a condition')
      return requireTrue('sink', filter.sink)
    case 'passAllFilter':
      return requireTrue('pass_all_filter', filter.passAllFilter)
    case 'blockAllFilter':
      return requireTrue('block_all_filter', filter.blockAllFilter)
    case 'stripValueTransformer':
      return requireTrue('strip_value_transformer', filter.stripValueTransformer)
    case 'rowSampleFilter':
      if (filter.rowSampleFilter <= 0 || filter.rowSampleFilter >= 1)
        throw invalid('row_sample_filter argument must be between 0.0 and 1.0')
      return
    case 'applyLabelTransformer':
      if (!/^[a-z0-9-]{1,15}$/.test(filter.applyLabelTransformer))
        throw invalid(`apply_label_transformer must match [a-z0-9\\-]{1,15}: ${filter.applyLabelTransformer}`)
      return
    case 'cellsPerRowOffsetFilter':
      return requireCount('cells_per_row_offset_filter', filter.cellsPerRowOffsetFilter, 0)
    case 'cellsPerRowLimitFilter':
      return requireCount('cells_per_row_limit_filter', filter.cellsPerRowLimitFilter, 1)
    case 'cellsPerColumnLimitFilter':
      return requireCount('cells_per_column_limit_filter', filter.cellsPerColumnLimitFilter, 1)
    case 'timestampRangeFilter':
      return checkTimes(filter.timestampRangeFilter)
    case 'rowKeyRegexFilter':
      if (filter.rowKeyRegexFilter.length === 0) throw invalid("Error in field 'row_key_regex_filter': it is empty")
      return void matches(filter.rowKeyRegexFilter)
    case 'familyNameRegexFilter':
      return void matches(filter.familyNameRegexFilter)
    case 'columnQualifierRegexFilter':
      return void matches(filter.columnQualifierRegexFilter)
    case 'valueRegexFilter':
      return void matches(filter.valueRegexFilter)
    case undefined:
    case 'columnRangeFilter':
    case 'valueRangeFilter':
      return
  }
}
