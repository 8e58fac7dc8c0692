import { hash } from 'node:crypto'
import { CorruptError, InvalidInputError } from '../errors.ts'
import { decodeValue, encodeValue, type Item } from './attribute-value.ts'
import { asBuffer, decodeUtf8, encodeUtf8 } from './bytes.ts'
import { checkKeyOf, decodeRowKey, type ItemKey, keyIsHashed, type KeyValue, type RowKey } from './row-key.ts'

/**
 * An item as the cells of family `d`: one column an attribute, its qualifier the name in UTF-8, its value the bytes of
 * attribute-value.ts. Qualifiers are latin1 strings of their bytes, as the port has them. Two kinds of qualifiers begin
 * with ff, which no UTF-8 has:
 *
 *     ff 6e ("n") and the SHA-256 of a name longer than 16,000 bytes: the value is the name's length in 4 big-endian bytes,
 *                 the name, then the attribute's value
 *     ff 6b ("k") in a row whose key was cut: the list (tag L) of the item's partition key and sort key
 */
export type Cells = Map<string, Uint8Array>

/** Bigtable's limits, of which a qualifier's is 16 KB (https://cloud.google.com/bigtable/quotas#limits-data-size). */
export type CellLimits = { cellBytesMax: number; rowBytesMax: number; cellsMax: number }
export const bigtableLimits: CellLimits = { cellBytesMax: 100_000_000, rowBytesMax: 256_000_000, cellsMax: 99_990 }
export const qualifierBytesMax = 16_000

const longNamePrefix = '\u00FFn'
const keyQualifier = '\u00FFk'

/** Such a name is its own qualifier. */
const isAscii = /^[\0-\x7F]*$/

const encodeAttribute = (name: string, value: Item[string]): [string, Uint8Array] => {
  try {
    const valueBytes = encodeValue(value)
    if (name.length <= qualifierBytesMax && isAscii.test(name)) return [name, valueBytes]
    const nameBytes = encodeUtf8(name)
    if (nameBytes.length <= qualifierBytesMax) return [nameBytes.toString('latin1'), valueBytes]
    const length = Buffer.alloc(4)
    length.writeUInt32BE(nameBytes.length)
    const digest = hash('sha256', nameBytes, 'buffer').toString('latin1')
    return [longNamePrefix + digest, Buffer.concat([length, nameBytes, valueBytes])]
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new InvalidInputError(`attribute ${showName(name)} cannot be stored: ${reason}`, { cause })
  }
}
const showName = (name: string): string => JSON.stringify(name.length > 100 ? `${name.slice(0, 100)}…` : name)
const tooMuch = (name: string, reason: string): InvalidInputError =>
  new InvalidInputError(`attribute ${showName(name)} cannot be stored: ${reason}`)

/** The item's cells. Throws InvalidInputError, naming the attribute, where Bigtable could not hold them. */
export const encodeCells = (item: Item, omit: ReadonlySet<string> = new Set(), limits = bigtableLimits): Cells => {
  const cells: Cells = new Map()
  let rowBytes = 0
  for (const [name, value] of Object.entries(item)) {
    if (omit.has(name)) continue
    const [qualifier, cell] = encodeAttribute(name, value)
    rowBytes += qualifier.length + cell.length
    if (cell.length > limits.cellBytesMax)
      throw tooMuch(name, `${cell.length} bytes, and Bigtable takes ${limits.cellBytesMax} in a cell`)
    if (rowBytes > limits.rowBytesMax)
      throw tooMuch(name, `with those before it the item has more than ${limits.rowBytesMax} bytes`)
    if (cells.size === limits.cellsMax)
      throw tooMuch(name, `Bigtable changes no more than ${limits.cellsMax} columns of a row at once`)
    cells.set(qualifier, cell)
  }
  return cells
}

/**
 * All cells of a row: those of the item (undefined: it was deleted), and, where its row key was cut, that of the key, which
 * stays when the item goes.
 */
export const rowCells = (row: {
  rowKey: RowKey
  key: ItemKey
  item: Item | undefined
  omit?: ReadonlySet<string>
}): Cells => {
  const cells = row.item ? encodeCells(row.item, row.omit) : new Map<string, Uint8Array>()
  if (keyIsHashed(row.rowKey)) cells.set(keyQualifier, encodeKey(row.key))
  return cells
}

const encodeKey = ({ partition, sort }: ItemKey): Buffer => encodeValue({ L: sort ? [partition, sort] : [partition] })

const splitLongName = (qualifier: string, cell: Uint8Array): [Buffer, Buffer] => {
  const bytes = asBuffer(cell)
  const nameEnd = bytes.length < 4 ? Infinity : 4 + bytes.readUInt32BE(0)
  const name = bytes.subarray(4, nameEnd)
  const digest = hash('sha256', name, 'buffer').toString('latin1')
  if (nameEnd > bytes.length || name.length <= qualifierBytesMax || qualifier !== longNamePrefix + digest)
    throw new CorruptError(`not a column of a long name: ${Buffer.from(qualifier, 'latin1').toString('hex')}`)
  return [name, bytes.subarray(nameEnd)]
}

/** The item of a row's cells. Throws CorruptError on a qualifier or value that `encodeCells` does not make. */
export const decodeCells = (cells: ReadonlyMap<string, Uint8Array>): Item =>
  Object.fromEntries(
    [...cells]
      .filter(([qualifier]) => qualifier !== keyQualifier)
      .map(([qualifier, cell]) => {
        const isLong = qualifier.startsWith(longNamePrefix)
        const [name, value] = isLong ? splitLongName(qualifier, cell) : [Buffer.from(qualifier, 'latin1'), cell]
        return [decodeUtf8(name), decodeValue(value)]
      }),
  )

const isKeyValue = (value: Item[string] | undefined): value is KeyValue =>
  value !== undefined && ('S' in value || 'N' in value || 'B' in value)

/** The key of a row's item, from the row key or, where that was cut, from its column. Throws CorruptError without it. */
export const rowItemKey = (row: { key: Uint8Array; cells: ReadonlyMap<string, Uint8Array> }): ItemKey => {
  const decoded = decodeRowKey(row.key)
  if (decoded) return decoded
  const shown = Buffer.from(row.key).toString('hex', 0, 50)
  const cell = row.cells.get(keyQualifier)
  if (!cell) throw new CorruptError(`row ${shown}… has a hash in its key and no column with the key`)
  const list = decodeValue(cell)
  const [partition, sort] = 'L' in list ? list.L : []
  if (!isKeyValue(partition) || (sort !== undefined && !isKeyValue(sort)))
    throw new CorruptError(`row ${shown}… has a column with its key that is not a key`)
  return checkKeyOf(row.key, sort ? { partition, sort } : { partition })
}
