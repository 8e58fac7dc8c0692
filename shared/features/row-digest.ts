import { hash } from 'node:crypto'
import { CorruptError, InvalidInputError } from '../errors.ts'
import { rowCells, rowItemKey } from './cells.ts'
import { itemKeyOf, type KeyNames, type TableRule } from './change.ts'
import type { Item } from './item.ts'
import { encodeRowKey, type ItemKey, type RowKey } from './row-key.ts'
import type { StoredRow } from './row-store.ts'
import { isVersion } from './version.ts'

/** SHA-256 of a row: its key, then each column with its length before it, in the order of its qualifier's bytes. */
const rowDigest = (rowKey: Uint8Array, cells: ReadonlyMap<string, Uint8Array>): Buffer => {
  const parts: Uint8Array[] = [rowKey]
  const columns = Array.from(cells).sort(([left], [right]) => (left < right ? -1 : 1))
  for (const [qualifier, value] of columns) {
    const lengths = Buffer.alloc(8)
    lengths.writeUInt32BE(qualifier.length)
    lengths.writeUInt32BE(value.length, 4)
    parts.push(lengths, Buffer.from(qualifier, 'latin1'), value)
  }
  return hash('sha256', Buffer.concat(parts), 'buffer')
}

/** What no row of the other side has: an item that Bigtable cannot hold, a row that Lifeboat did not write. */
const unstorable = new Map([['\u00FFunstorable', Buffer.alloc(0)]])
const unmarked = new Map([['\u00FFunmarked', Buffer.alloc(0)]])

export type SourceRow = { rowKey: RowKey; key: ItemKey; digest: Buffer }

/** The item as the replica should hold it. */
export const sourceRow = (rule: Pick<TableRule, 'omit'>, names: KeyNames, item: Item): SourceRow => {
  const key = itemKeyOf(item, names)
  const rowKey = encodeRowKey(key)
  try {
    return { rowKey, key, digest: rowDigest(rowKey, rowCells({ rowKey, key, item, omit: rule.omit })) }
  } catch (error) {
    if (!(error instanceof InvalidInputError)) throw error
    return { rowKey, key, digest: rowDigest(rowKey, unstorable) }
  }
}

export const isTombstone = (row: StoredRow): boolean => row.marker?.tombstone === true

/** The digest of a stored row; undefined where the row says that there is no item. */
export const replicaDigest = (row: StoredRow | undefined): Buffer | undefined => {
  if (!row || isTombstone(row)) return undefined
  return rowDigest(row.key, row.marker && isVersion(row.marker.version) ? row.cells : unmarked)
}

/** The key of the item that a row can be of; undefined where no item of such a table has this row. */
export const keyOfRow = (row: StoredRow, names: KeyNames): ItemKey | undefined => {
  try {
    const key = rowItemKey(row)
    const isOfTable = (key.sort === undefined) === (names.sort === undefined) && encodeRowKey(key).equals(row.key)
    return isOfTable ? key : undefined
  } catch (error) {
    if (error instanceof CorruptError || error instanceof InvalidInputError) return undefined
    throw error
  }
}
