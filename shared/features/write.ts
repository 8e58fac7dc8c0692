import { omitAttributes } from './item.ts'
import { encodeItem, type Item } from './item.ts'
import { rowCells } from './cells.ts'
import type { TableRule } from './change.ts'
import type { HistoryEntry, RowWrite } from './row-store.ts'
import type { ItemKey, RowKey } from './row-key.ts'
import type { ChangeVersion } from './version.ts'

/** The whole new state of a row: the item's attributes, or a tombstone. */
export const rowWrite = (
  rule: TableRule,
  row: { rowKey: RowKey; key: ItemKey; version: ChangeVersion; time: number; item: Item | undefined },
): RowWrite => ({
  key: row.rowKey,
  cells: rowCells({ rowKey: row.rowKey, key: row.key, item: row.item, omit: rule.omit }),
  marker: { version: row.version, time: row.time, tombstone: row.item === undefined },
})

/** What the item was before a change, without the attributes that are left out of the replica. */
export const historyEntry = (
  rule: TableRule,
  change: { rowKey: RowKey; version: ChangeVersion; time: number; before: Item | undefined },
): HistoryEntry => ({
  key: change.rowKey,
  version: change.version,
  time: change.time,
  before: change.before === undefined ? 'absent' : encodeItem(omitAttributes(change.before, rule.omit)),
})

/** From here on the item is known; what it was before is not. */
export const unknownBefore = (row: { rowKey: RowKey; version: ChangeVersion; time: number }): HistoryEntry => ({
  key: row.rowKey,
  version: row.version,
  time: row.time,
  before: 'unknown',
})
