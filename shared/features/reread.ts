import { ConflictError } from '../errors.ts'
import { itemOfKey, type KeyNames, type TableRule } from './change.ts'
import type { RowsDeps } from './deps.ts'
import type { Item } from './item.ts'
import { replicaDigest, sourceRow } from './row-digest.ts'
import { encodeRowKey, type ItemKey } from './row-key.ts'
import type { StoredRow } from './row-store.ts'
import { backfillVersion, type ChangeVersion, isVersion, newerVersion, withNonce } from './version.ts'
import { rowWrite, unknownBefore } from './write.ts'

/** Reading an item from its source again: the one repair of a row, used by redrive and by the validator. */

const triesMax = 20

/** By the cells as they are stored, so that whatever a comparison finds is written again. */
const isEqual = (rule: TableRule, names: KeyNames, stored: StoredRow, item: Item | undefined): boolean => {
  const found = replicaDigest(stored)
  if (!item || !found) return item === undefined && found === undefined
  return found.equals(sourceRow(rule, names, item).digest)
}

export type RereadDeps = Pick<RowsDeps, 'rows' | 'source' | 'telemetry' | 'clock' | 'random'>

export type Reread = 'equal' | 'written'

/**
 * Makes a row what its item is now. `fence` is the version that made it necessary: what is read includes every change up
 * to it, so a change that arrives later and is older must not land. The write is a compare-and-set on exactly the marker
 * that was read first; when that moved, all is read again. Throws ConflictError where it keeps moving.
 */
export const rereadRow = async (
  deps: RereadDeps,
  rule: TableRule,
  key: ItemKey,
  fence: ChangeVersion = backfillVersion,
): Promise<Reread> => {
  const rowKey = encodeRowKey(key)
  const names = await deps.source.keys(rule.name)
  for (let tries = 0; tries < triesMax; tries += 1) {
    const [stored] = await deps.rows.read(rule.target, [rowKey])
    const item = await deps.source.get(rule.name, itemOfKey(key, names))
    // One that is no version was not written by Lifeboat, and is replaced like any other.
    const before = stored?.marker && isVersion(stored.marker.version) ? stored.marker.version : undefined
    const isFenced = before !== undefined && before >= fence
    if (stored && isFenced && isEqual(rule, names, stored, item)) return 'equal'
    const version = withNonce(newerVersion(before ?? fence, fence), deps.random.hex(8))
    const time = Math.floor(deps.clock.now() / 1000)
    await deps.rows.history.append(rule.target, [unknownBefore({ rowKey, version, time })])
    const write = rowWrite(rule, { rowKey, key, version, time, item })
    if (await deps.rows.replaceIf(rule.target, write, stored?.marker?.version)) {
      deps.telemetry.count('RowsReread', 1)
      return 'written'
    }
  }
  throw new ConflictError(`a row of ${rule.target} changed ${triesMax} times while it was read again: try later`)
}
