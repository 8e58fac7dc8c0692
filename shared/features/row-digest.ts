import { hash } from 'node:crypto'
import { InvalidInputError } from '../errors.ts'
import { rowCells } from './cells.ts'
import { itemKeyOf, type KeyNames, type TableRule } from './change.ts'
import type { Item } from './item.ts'
import { encodeRowKey, type ItemKey, type RowKey } from './row-key.ts'
import type { StoredRow } from './row-store.ts'

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
  return rowDigest(row.key, row.marker ? row.cells : unmarked)
}
