import { invalid, notFound, notImplemented } from './api-error.ts'
import { type Cell, compareCells } from './row.ts'
import type { Mutation, TimestampRange } from './wire.ts'

export type MutationContext = {
  /** The family's number, undefined where the table has none of that name. */
  familyOf: (name: string) => number | undefined
  /** The server's time in microseconds, of whole milliseconds. */
  nowMicros: () => bigint
}

// https://cloud.google.com/bigtable/quotas#limits-data-size
const valueBytesMax = 100 * 2 ** 20
const qualifierBytesMax = 16 * 2 ** 10
const keyBytesMax = 4 * 2 ** 10
const mutationsMax = 100_000

const requireFamily = (name: string | undefined, context: MutationContext): number => {
  const family = context.familyOf(name ?? '')
  if (family === undefined) throw notFound(`Requested column family not found: unknown family "${name ?? ''}"`)
  return family
}

const requireMillis = (micros: bigint): void => {
  if (micros < 0n || micros % 1000n !== 0n)
    throw invalid(`Timestamp granularity mismatch: invalid timestamp ${micros}, expected a multiple of 1000`)
}

const requireRange = ({ startTimestampMicros, endTimestampMicros }: TimestampRange): [bigint, bigint] => {
  const start = BigInt(startTimestampMicros ?? 0)
  const end = BigInt(endTimestampMicros ?? 0)
  requireMillis(start)
  requireMillis(end)
  if (end !== 0n && start >= end) throw invalid(`inverted or invalid timestamp range [${start}, ${end}]`)
  return [start, end]
}

const setCell = (cells: Cell[], cell: Cell): Cell[] => {
  let low = 0
  let high = cells.length
  while (low < high) {
    const middle = (low + high) >> 1
    const found = cells[middle]
    if (found && compareCells(found, cell) < 0) low = middle + 1
    else high = middle
  }
  const at = cells[low]
  cells.splice(low, at && compareCells(at, cell) === 0 ? 1 : 0, cell)
  return cells
}

const applySetCell = (
  cells: Cell[],
  set: Extract<Mutation, { mutation: 'setCell' }>['setCell'],
  context: MutationContext,
): Cell[] => {
  const family = requireFamily(set.familyName, context)
  const { columnQualifier = Buffer.alloc(0), value = Buffer.alloc(0) } = set
  const given = BigInt(set.timestampMicros ?? 0)
  const timestamp = given === -1n ? context.nowMicros() : given
  requireMillis(timestamp)
  if (columnQualifier.length > qualifierBytesMax)
    throw invalid(`a column qualifier of ${columnQualifier.length} bytes: at most ${qualifierBytesMax}`)
  if (value.length > valueBytesMax) throw invalid(`a value of ${value.length} bytes: at most ${valueBytesMax}`)
  return setCell(cells, { family, qualifier: columnQualifier.toString('latin1'), timestamp, value })
}

const applyMutation = (cells: Cell[], mutation: Mutation, context: MutationContext): Cell[] => {
  switch (mutation.mutation) {
    case 'setCell':
      return applySetCell(cells, mutation.setCell, context)
    case 'deleteFromColumn': {
      const { familyName, columnQualifier, timeRange } = mutation.deleteFromColumn
      const family = requireFamily(familyName, context)
      const qualifier = columnQualifier?.toString('latin1') ?? ''
      const [start, end] = requireRange(timeRange ?? {})
      const isGone = (cell: Cell): boolean =>
        cell.family === family &&
        cell.qualifier === qualifier &&
        cell.timestamp >= start &&
        (end === 0n || cell.timestamp < end)
      return cells.filter((cell) => !isGone(cell))
    }
    case 'deleteFromFamily': {
      const family = requireFamily(mutation.deleteFromFamily.familyName, context)
      return cells.filter((cell) => cell.family !== family)
    }
    case 'deleteFromRow':
      return []
    case 'addToCell':
    case 'mergeToCell':
      throw notImplemented('aggregates')
    case undefined:
    default:
      throw invalid('a mutation without a kind')
  }
}

/** Throws INVALID_ARGUMENT for a key that no row can have. */
export const requireKey = (key: Buffer | undefined): Buffer => {
  if (!key || key.length === 0) throw invalid('Row keys must be non-empty')
  if (key.length > keyBytesMax) throw invalid(`Row keys must be at most ${keyBytesMax} bytes: this has ${key.length}`)
  return key
}

/** Throws INVALID_ARGUMENT for more mutations than one request may hold. */
export const checkMutationCount = (count: number): void => {
  if (count > mutationsMax) throw invalid(`Too many mutations: ${count}, at most ${mutationsMax}`)
}

/** The row after all of `mutations` in their order; throws, with `cells` untouched, where any of them is refused. */
export const applyMutations = (
  cells: readonly Cell[],
  mutations: readonly Mutation[],
  context: MutationContext,
): Cell[] => {
  let left = [...cells]
  for (const mutation of mutations) left = applyMutation(left, mutation, context)
  return left
}
