import { CorruptError } from '../errors.ts'
import { decodeCells } from './cells.ts'
import type { RowsDeps } from './deps.ts'
import { decodeItem, type Item } from './item.ts'
import type { RowKey } from './row-key.ts'
import type { HistoryEntry } from './row-store.ts'
import { readStart } from './start.ts'

/** What an item was at the end of a second, as far as the replica can know. */
export type AsOf = { state: 'present'; item: Item } | { state: 'absent' } | { state: 'unknown'; knownFrom?: number }

const before = (entry: HistoryEntry): AsOf => {
  if (entry.before === 'absent') return { state: 'absent' }
  if (entry.before === 'unknown') return { state: 'unknown', knownFrom: entry.time }
  return { state: 'present', item: decodeItem(entry.before) }
}

/**
 * The image before the lowest version that is later than the second, else the row as it is. Before the first change that
 * the replica saw of the table it is unknown: an item may have been another then.
 */
export const itemAt = async (
  deps: Pick<RowsDeps, 'rows'>,
  target: string,
  rowKey: RowKey,
  second?: number,
): Promise<AsOf> => {
  if (second !== undefined) {
    for await (const entry of deps.rows.history.list(target, rowKey)) {
      if (entry.time <= second) continue
      const start = await readStart(deps, target)
      const state = before(entry)
      return state.state !== 'unknown' && start !== undefined && second < start
        ? { state: 'unknown', knownFrom: start }
        : state
    }
    const start = await readStart(deps, target)
    if (start === undefined || second < start)
      return { state: 'unknown', ...(start === undefined ? {} : { knownFrom: start }) }
  }
  const [row] = await deps.rows.read(target, [rowKey])
  if (!row?.marker) {
    if (row) throw new CorruptError(`a row of ${target} has no marker: it was not written by Lifeboat`)
    return { state: 'absent' }
  }
  return row.marker.tombstone ? { state: 'absent' } : { state: 'present', item: decodeCells(row.cells) }
}
