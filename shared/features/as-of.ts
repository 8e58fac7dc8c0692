import { CorruptError } from '../errors.ts'
import { decodeCells } from './cells.ts'
import type { RowsDeps } from './deps.ts'
import { decodeItem, type Item } from './item.ts'
import type { RowKey } from './row-key.ts'
import type { HistoryEntry, StoredRow } from './row-store.ts'
import { readStarts } from './start.ts'
import { parseVersion, readVersion, withNonce } from './version.ts'

/** How long the history is kept; the age rule of the history tables must not be shorter. */
export const historyDays = 35

/** `not applied`: a change came before the second, and is not in the row: it waits in quarantine, or is on its way. */
export type UnknownReason = 'never seen' | 'before first sight' | 'before the history' | 'not applied'

/**
 * What an item was at the end of a second, as far as the replica can know. Unknown: the replica has never seen the item, the
 * second is before it first saw it, or it is before what the history keeps; `knownFrom` is the first second that is known.
 */
export type AsOf =
  | { state: 'present'; item: Item }
  | { state: 'absent' }
  | { state: 'unknown'; reason: UnknownReason; knownFrom?: number }

type Moment = { second: number; nowSecond: number }

const unknownBefore = (knownFrom: number | undefined): AsOf => ({
  state: 'unknown',
  reason: 'before first sight',
  ...(knownFrom === undefined ? {} : { knownFrom }),
})

/** What a row says of its item now. Throws CorruptError on a row that Lifeboat did not write. */
export const itemNow = (target: string, row: StoredRow | undefined): AsOf => {
  if (!row) return { state: 'unknown', reason: 'never seen' }
  if (!row.marker) throw new CorruptError(`a row of ${target} has no marker: it was not written by Lifeboat`)
  return row.marker.tombstone ? { state: 'absent' } : { state: 'present', item: decodeCells(row.cells) }
}

const itemBefore = (entry: HistoryEntry, second: number, starts: ReadonlyMap<number, number>): AsOf => {
  if (entry.before === 'unknown') return unknownBefore(entry.time)
  // The stream's first change of an item tells what was before it, back to the second from which that stream was seen.
  const start = starts.get(parseVersion(entry.version).epoch)
  if (start === undefined || second < start) return unknownBefore(start)
  return entry.before === 'absent' ? { state: 'absent' } : { state: 'present', item: decodeItem(entry.before) }
}

/**
 * Of the streams that were seen and of the row: one that was read again after its stream had been off holds changes that no
 * stream saw, and the clock of who read it may be behind them.
 */
export const newestEpoch = ({ marker }: StoredRow, starts: ReadonlyMap<number, number>): number =>
  Math.max(marker ? parseVersion(marker.version).epoch : 0, ...starts.keys())

/** The lowest version that is later than the second. */
const firstAfter = async (
  deps: Pick<RowsDeps, 'rows'>,
  target: string,
  rowKey: RowKey,
  second: number,
): Promise<HistoryEntry | undefined> => {
  for await (const entry of deps.rows.history.list(target, rowKey, { laterThan: second })) return entry
  return undefined
}

/** The history comes first: an entry of a change that the row is not at says that the row is not what the item was. */
const isBehind = async (
  deps: Pick<RowsDeps, 'rows'>,
  target: string,
  rowKey: RowKey,
  { marker }: StoredRow,
): Promise<boolean> => {
  if (!marker) return false
  // Of two rereads at one change only one lands, and the mark of the other stays.
  const above = withNonce(readVersion(marker.version), 'f'.repeat(16))
  for await (const _ of deps.rows.history.list(target, rowKey, { above })) return true
  return false
}

/**
 * `row` must have been read before: a change that came since is in the history then. A caller with many rows reads
 * `seenFrom`, the starts of the table's streams, once for all of them.
 */
export const itemAtSecond = async (
  deps: Pick<RowsDeps, 'rows'>,
  target: string,
  { rowKey, row }: { rowKey: RowKey; row: StoredRow | undefined },
  { second, nowSecond }: Moment,
  seenFrom?: ReadonlyMap<number, number>,
): Promise<AsOf> => {
  const oldest = nowSecond - historyDays * 86_400
  if (second < oldest) return { state: 'unknown', reason: 'before the history', knownFrom: oldest }
  const entry = await firstAfter(deps, target, rowKey, second)
  const starts = seenFrom ?? (await readStarts(deps, target))
  if (entry) return itemBefore(entry, second, starts)
  if (!row) return { state: 'unknown', reason: 'never seen' }
  const start = starts.get(newestEpoch(row, starts))
  if (start === undefined || second < start) return unknownBefore(start)
  // A scan wrote the row later than the second, and has not yet said so in the history.
  if (row.marker && row.marker.time > second) return unknownBefore(row.marker.time)
  if (await isBehind(deps, target, rowKey, row)) return { state: 'unknown', reason: 'not applied' }
  return itemNow(target, row)
}

/**
 * The image before the lowest version that is later than the second, else the row as it is; without a moment, the row as it
 * is. Before the first change that the replica saw of the table it is unknown: an item may have been another then.
 */
export const itemAt = async (
  deps: Pick<RowsDeps, 'rows'>,
  target: string,
  rowKey: RowKey,
  moment?: Moment,
): Promise<AsOf> => {
  const [row] = await deps.rows.read(target, [rowKey])
  return moment === undefined ? itemNow(target, row) : itemAtSecond(deps, target, { rowKey, row }, moment)
}
