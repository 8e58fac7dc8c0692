import { mapInOrder } from '../../shared/bounded.ts'
import { CorruptError, InvalidInputError } from '../../shared/errors.ts'
import { itemToJson, valueToJson } from '../../shared/features/attribute-json.ts'
import { type AsOf, itemAtSecond, itemNow } from '../../shared/features/as-of.ts'
import { rowItemKey } from '../../shared/features/cells.ts'
import type { Item } from '../../shared/features/item.ts'
import { type ItemKey, partitionRange, type RowKey } from '../../shared/features/row-key.ts'
import type { RowStore, StoredRow } from '../../shared/features/row-store.ts'
import { isStartKey, readStarts } from '../../shared/features/start.ts'
import { formatSecond } from '../arguments.ts'
import { hexOf } from './find-row.ts'
import { itemKeyOfReading, type KeyReading, readingText } from './key-text.ts'
import { itemText, keyText, lastChange, unknownText } from './show.ts'

export type ScanRange = { start: Uint8Array; end?: Uint8Array }

/** One row of a scan. Items that are not there are no lines; `rowKey` is hex. */
export type ScanLine =
  | { state: 'present'; key: ItemKey; item: Item }
  | { state: 'absent'; key: ItemKey }
  | { state: 'unknown'; key: ItemKey; answer: Extract<AsOf, { state: 'unknown' }> }
  | { state: 'corrupt'; rowKey: string; reason: string }

export type ScanCounts = Record<ScanLine['state'], number>

/** Rows of which the history is read at the same time. */
const inFlightMax = 32
const pageRows = 1000

export const wholeTable: ScanRange = { start: Buffer.alloc(0) }
/** `reading` is undefined where no row has the partition key by any of its readings. */
export type Partition = { reading?: KeyReading | undefined; range: ScanRange | undefined }

const isEmpty = async (rows: RowStore, target: string, range: ScanRange): Promise<boolean> => {
  for await (const _ of rows.scan(target, { ...range, limit: 1 })) return false
  return true
}

/** The rows of a partition by the reading that has any. Throws InvalidInputError where more than one has. */
export const rangeOfPartition = async (
  rows: RowStore,
  target: string,
  readings: readonly KeyReading[],
): Promise<Partition> => {
  const found: { reading: KeyReading; range: ScanRange }[] = []
  for (const reading of readings) {
    const range = partitionRange(itemKeyOfReading(reading).partition)
    if (readings.length === 1) return { reading, range }
    if (!(await isEmpty(rows, target, range))) found.push({ reading, range })
  }
  if (found.length > 1)
    throw new InvalidInputError(
      `there are the partitions ${found.map(({ reading }) => `'${readingText(reading)}'`).join(' and ')}: give one with its type`,
    )
  return found[0] ?? { range: undefined }
}

/** Page by page: what Bigtable sends ahead of a slow reader is kept in memory, and is many times as large there. */
async function* itemRows(rows: RowStore, target: string, range: ScanRange): AsyncGenerator<StoredRow> {
  let { start } = range
  for (;;) {
    let read = 0
    for await (const row of rows.scan(target, { ...range, start, limit: pageRows })) {
      read += 1
      start = Buffer.concat([row.key, Buffer.of(0)])
      if (!isStartKey(row.key)) yield row
    }
    if (read < pageRows) return
  }
}

const toLine = (row: StoredRow, answer: AsOf): ScanLine => {
  const key = rowItemKey(row)
  if (answer.state === 'present') return { state: 'present', key, item: answer.item }
  return answer.state === 'absent' ? { state: 'absent', key } : { state: 'unknown', key, answer }
}

/**
 * Every row of the range in key order, as it is or as it was at the end of `second`. A row that is damaged, or whose history
 * is, is a line of its own: the others are still worth having.
 */
export async function* scanLines(
  rows: RowStore,
  target: string,
  range: ScanRange,
  { second, nowMs }: { second: number | undefined; nowMs: () => number },
): AsyncGenerator<ScanLine> {
  const starts = second === undefined ? undefined : await readStarts({ rows }, target)
  const answerOf = async (row: StoredRow): Promise<AsOf> => {
    lastChange(row)
    if (second === undefined) return itemNow(target, row)
    // A long scan must not take the age of the history from when it began.
    const moment = { second, nowSecond: Math.floor(nowMs() / 1000) }
    return itemAtSecond({ rows }, target, { rowKey: Buffer.from(row.key) as RowKey, row }, moment, starts)
  }
  yield* mapInOrder(itemRows(rows, target, range), inFlightMax, async (row): Promise<ScanLine> => {
    try {
      return toLine(row, await answerOf(row))
    } catch (error) {
      if (!(error instanceof CorruptError)) throw error
      return { state: 'corrupt', rowKey: hexOf(row.key), reason: error.message }
    }
  })
}

export const noCounts = (): ScanCounts => ({ present: 0, absent: 0, unknown: 0, corrupt: 0 })

export const lineText = (line: ScanLine): string => {
  if (line.state === 'corrupt') return `row ${line.rowKey}  corrupt: ${line.reason}`
  if (line.state === 'present') return `${keyText(line.key)}  ${itemText(line.item)}`
  return `${keyText(line.key)}  ${line.state === 'unknown' ? `unknown: ${unknownText(line.answer)}` : line.state}`
}

const keyJson = ({ partition, sort }: ItemKey): Record<string, unknown> => ({
  partition: valueToJson(partition),
  ...(sort && { sort: valueToJson(sort) }),
})

export const lineJson = (line: ScanLine): Record<string, unknown> => {
  if (line.state === 'corrupt') return { ...line }
  const { state } = line
  const key = keyJson(line.key)
  if (state === 'present') return { key, state, item: itemToJson(line.item) }
  if (state === 'absent') return { key, state }
  const { reason, knownFrom } = line.answer
  return { key, state, reason, knownFrom: knownFrom === undefined ? null : formatSecond(knownFrom) }
}
