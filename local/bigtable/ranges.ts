import { invalid } from './api-error.ts'
import type { KeyRange } from './store.ts'
import type { RowRange, RowSet } from './wire.ts'

/** The least key that is greater than `key`. */
const after = (key: Buffer): Buffer => Buffer.concat([key, Buffer.of(0)])

/** The least key that is greater than every key with this prefix, undefined where there is none. */
export const afterPrefix = (prefix: Buffer): Buffer | undefined => {
  const last = prefix.findLastIndex((byte) => byte !== 0xff)
  if (last < 0) return undefined
  const end = Buffer.from(prefix.subarray(0, last + 1))
  end[last] = (end[last] ?? 0) + 1
  return end
}

const checkOrder = ({ startKeyClosed, startKeyOpen, endKeyClosed, endKeyOpen }: RowRange, index: number): void => {
  const start = startKeyClosed ?? startKeyOpen
  const end = endKeyClosed ?? endKeyOpen
  if (start?.length && end?.length && Buffer.compare(start, end) > 0)
    throw invalid(`Error in element #${index} of row_ranges: the start key must be less than the end key`)
}

/** An empty key bounds nothing, except a closed end, which only the key that no row has is within. */
const toKeyRange = (range: RowRange, index: number): KeyRange => {
  checkOrder(range, index)
  const { startKeyClosed, startKeyOpen, endKeyClosed, endKeyOpen } = range
  const start = startKeyClosed ?? (startKeyOpen ? after(startKeyOpen) : Buffer.alloc(0))
  const end = endKeyClosed ? after(endKeyClosed) : endKeyOpen
  return { start, ...(end && end.length > 0 && { end }) }
}

const isEmpty = ({ start, end }: KeyRange): boolean => end !== undefined && Buffer.compare(start, end) >= 0

const merge = (ranges: KeyRange[]): KeyRange[] => {
  const merged: KeyRange[] = []
  for (const range of ranges) {
    const last = merged.at(-1)
    if (!last || (last.end && Buffer.compare(last.end, range.start) < 0)) merged.push({ ...range })
    else if (!range.end) delete last.end
    else if (last.end && Buffer.compare(last.end, range.end) < 0) last.end = range.end
  }
  return merged
}

/** What a request asks for as ranges in order that touch no row twice; everything where it names nothing. */
export const selectRanges = (rows: RowSet | null | undefined): KeyRange[] => {
  const { rowKeys = [], rowRanges = [] } = rows ?? {}
  if (rowKeys.length === 0 && rowRanges.length === 0) return [{ start: Buffer.alloc(0) }]
  const asked = [...rowKeys.map((key) => ({ start: key, end: after(key) })), ...rowRanges.map(toKeyRange)]
  return merge(asked.filter((range) => !isEmpty(range)).sort((a, b) => Buffer.compare(a.start, b.start)))
}
