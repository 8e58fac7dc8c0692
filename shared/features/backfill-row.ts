import { mapInOrder } from '../bounded.ts'
import { InvalidInputError } from '../errors.ts'
import type { TableRule } from './change.ts'
import type { RowsDeps } from './deps.ts'
import type { Item } from './item.ts'
import { encodeRowKey, type ItemKey, type RowKey } from './row-key.ts'
import type { HistoryEntry, RowWrite } from './row-store.ts'
import { backfillVersion } from './version.ts'
import { rowWrite, unknownBefore } from './write.ts'

const writesInFlight = 48

/** `item` is undefined where the source says that it is gone. */
export type Scanned = { key: ItemKey; item: Item | undefined }

/** `again`: a backfill wrote it before. `newer`: a change did. `refused`: Bigtable cannot hold it. `bytes` were sent for it. */
export type BackfilledRow = {
  outcome: 'written' | 'again' | 'newer' | 'refused'
  reason?: string
  bytes: number
}

const bytesOf = ({ key, cells, marker }: RowWrite): number => {
  let bytes = key.length + marker.version.length
  for (const [name, value] of cells) bytes += name.length + value.length
  return bytes
}

type Row = Scanned & { rowKey: RowKey; version: typeof backfillVersion; time: number }

const prepare = (rule: TableRule, { key, item }: Scanned, time: number): { row: Row; write: RowWrite } => {
  const row = { key, item, rowKey: encodeRowKey(key), version: backfillVersion, time }
  return { row, write: rowWrite(rule, row) }
}

/** What a row is to the replica, in bytes; 0 where it cannot hold it. */
export const scannedBytes = (rule: TableRule, scanned: Scanned): number => {
  try {
    return bytesOf(prepare(rule, scanned, 0).write)
  } catch (error) {
    if (error instanceof InvalidInputError) return 0
    throw error
  }
}

/** Marks of rows that a call wrote that then ended before it marked them, or that are marked already: it is the same mark. */
const marksOfEarlier = async (deps: Pick<RowsDeps, 'rows'>, target: string, rows: readonly Row[]) => {
  const stored = await deps.rows.read(
    target,
    rows.map(({ rowKey }) => rowKey),
  )
  return rows.map((row, index): HistoryEntry | undefined => {
    const marker = stored[index]?.marker
    return marker?.version === backfillVersion ? unknownBefore({ ...row, time: marker.time }) : undefined
  })
}

/**
 * Writes items that a scan found, each only where its row has no version at all: whatever the stream brought is newer. The
 * caller answers for the scan being younger than the stream's proven start and than the oldest purged tombstone. Answers in
 * the order of `scanned`.
 */
export const backfillRows = async (
  deps: Pick<RowsDeps, 'rows'>,
  rule: TableRule,
  scanned: readonly Scanned[],
  scannedAtMs: number,
): Promise<BackfilledRow[]> => {
  const time = Math.floor(scannedAtMs / 1000)
  const results: BackfilledRow[] = []
  const entries: HistoryEntry[] = []
  const unwritten: { row: Row; result: BackfilledRow }[] = []
  const write = async (one: Scanned): Promise<{ row?: Row; result: BackfilledRow }> => {
    try {
      const { row, write: written } = prepare(rule, one, time)
      const isWritten = await deps.rows.replaceIf(rule.target, written, undefined)
      return { row, result: { outcome: isWritten ? 'written' : 'newer', bytes: bytesOf(written) } }
    } catch (error) {
      if (!(error instanceof InvalidInputError)) throw error
      return { result: { outcome: 'refused', reason: error.message, bytes: 0 } }
    }
  }
  for await (const { row, result } of mapInOrder(scanned, writesInFlight, write)) {
    results.push(result)
    if (row && result.outcome === 'written') entries.push(unknownBefore(row))
    else if (row) unwritten.push({ row, result })
  }
  const marks = await marksOfEarlier(
    deps,
    rule.target,
    unwritten.map(({ row }) => row),
  )
  for (const [index, mark] of marks.entries()) {
    const one = unwritten[index]
    if (!mark || !one) continue
    one.result.outcome = 'again'
    entries.push(mark)
  }
  if (entries.length > 0) await deps.rows.history.append(rule.target, entries)
  return results
}

/** The same for one item. */
export const backfillRow = async (
  deps: Pick<RowsDeps, 'rows'>,
  rule: TableRule,
  key: ItemKey,
  item: Item,
  scannedAtMs: number,
): Promise<'written' | 'newer'> => {
  const [result] = await backfillRows(deps, rule, [{ key, item }], scannedAtMs)
  if (result?.outcome === 'refused') throw new InvalidInputError(result.reason ?? '')
  return result?.outcome === 'written' ? 'written' : 'newer'
}
