import type { TableRule } from './change.ts'
import type { RowsDeps } from './deps.ts'
import type { Item } from './item.ts'
import { encodeRowKey, type ItemKey } from './row-key.ts'
import { backfillVersion } from './version.ts'
import { rowWrite, unknownBefore } from './write.ts'

/**
 * Writes an item that a scan found, only where the row has no version at all: whatever the stream brought is newer. The
 * caller answers for the scan being younger than the stream's proven start and than the oldest purged tombstone.
 */
export const backfillRow = async (
  deps: RowsDeps,
  rule: TableRule,
  key: ItemKey,
  item: Item,
  scannedAtMs: number,
): Promise<'written' | 'newer'> => {
  const rowKey = encodeRowKey(key)
  const time = Math.floor(scannedAtMs / 1000)
  const row = { rowKey, key, version: backfillVersion, time, item }
  const isWritten = await deps.rows.replaceIf(rule.target, rowWrite(rule, row), undefined)
  if (!isWritten) return 'newer'
  await deps.rows.history.append(rule.target, [unknownBefore(row)])
  return 'written'
}
