import { hash } from 'node:crypto'
import { CorruptError, InvalidInputError } from '../errors.ts'
import { asBuffer, decodeUtf8, encodeUtf8 } from './bytes.ts'
import { decodeNumber, encodeNumber } from './number.ts'

declare const rowKeyBrand: unique symbol
/**
 * The key of a row: two bytes of hash, the partition key, the sort key where the table has one. No row key of a table is
 * the beginning of another, and those of a partition order as DynamoDB orders its sort keys. A key is a tag and
 *
 *     S  UTF-8, B  bytes: with each 00 as 00 ff, and 00 01 at the end
 *     N  the bytes of number.ts, which end by themselves
 *
 * The hash is the first two bytes of the SHA-256 of the partition key in this form; it spreads partitions over the table.
 *
 *     partition S "user#7"                     ->  hash 53 757365722337 0001
 *     partition S "user#7", sort N "12.3"      ->  hash 53 757365722337 0001 4e 81830d1f00
 *     partition B 61 00 62                     ->  hash 42 61 00ff 62 0001
 *
 * A key too long for that (one full of zeros: 00 takes two bytes) is cut: as many of its bytes as leave room, whole ones,
 * 00 02, and the SHA-256 of all its bytes (of S: of the UTF-8). Its beginning still orders it, but the key itself has to be
 * kept elsewhere (cells.ts).
 */
export type RowKey = Buffer & { readonly [rowKeyBrand]: true }
export type KeyValue = { S: string } | { N: string } | { B: Uint8Array }
export type ItemKey = { partition: KeyValue; sort?: KeyValue | undefined }

/**
 * DynamoDB's own limits, and what a key may take here. Bigtable allows 4 KiB, of which the key of a history row takes up
 * to 100 more (https://cloud.google.com/bigtable/quotas#limits-data-size).
 */
const limits = {
  partition: { keyBytesMax: 2048, partBytesMax: 2500 },
  sort: { keyBytesMax: 1024, partBytesMax: 1398 },
} as const
const hashBytes = 2
export const rowKeyBytesMax = hashBytes + limits.partition.partBytesMax + limits.sort.partBytesMax

const tags = { S: 0x53, N: 0x4e, B: 0x42 } as const
/** What follows a 00: it is a 00 of the key, the end of the key, or the end of the key's beginning. */
const afterZero = { zero: 0xff, end: 0x01, cut: 0x02 } as const
const sha256Bytes = 32

const escapeZeros = (bytes: Uint8Array): Uint8Array => {
  if (!bytes.includes(0)) return bytes
  const escaped: number[] = []
  for (const byte of bytes) {
    escaped.push(byte)
    if (byte === 0) escaped.push(afterZero.zero)
  }
  return Uint8Array.from(escaped)
}

/** How many of the first bytes fit into `room` when escaped. */
const fittingBytes = (bytes: Uint8Array, room: number): number => {
  let taken = 0
  let fitting = 0
  for (const byte of bytes) {
    taken += byte === 0 ? 2 : 1
    if (taken > room) break
    fitting++
  }
  return fitting
}

const encodeBytes = (tag: number, bytes: Uint8Array, partBytesMax: number): Buffer => {
  const head = Buffer.from([tag])
  const escaped = escapeZeros(bytes)
  if (escaped.length + 3 <= partBytesMax) return Buffer.concat([head, escaped, Buffer.from([0, afterZero.end])])
  const beginning = escapeZeros(bytes.subarray(0, fittingBytes(bytes, partBytesMax - 3 - sha256Bytes)))
  const digest = hash('sha256', bytes, 'buffer')
  return Buffer.concat([head, beginning, Buffer.from([0, afterZero.cut]), digest])
}

const encodePart = (value: KeyValue, part: 'partition' | 'sort'): Buffer => {
  if ('N' in value) return Buffer.concat([Buffer.from([tags.N]), encodeNumber(value.N)])
  if (!('S' in value) && !('B' in value))
    throw new InvalidInputError(`a ${part} key is S, N or B, not ${Object.keys(value).join()}`)
  const bytes = 'S' in value ? encodeUtf8(value.S) : value.B
  const { keyBytesMax, partBytesMax } = limits[part]
  if (bytes.length === 0 || bytes.length > keyBytesMax)
    throw new InvalidInputError(`a ${part} key of ${bytes.length} bytes: DynamoDB has 1 to ${keyBytesMax}`)
  return encodeBytes('S' in value ? tags.S : tags.B, bytes, partBytesMax)
}

/** What every row of a partition begins with, and no other row. */
export const partitionPrefix = (partition: KeyValue): Buffer => {
  const part = encodePart(partition, 'partition')
  return Buffer.concat([hash('sha256', part, 'buffer').subarray(0, hashBytes), part])
}

/** The rows of a partition, for a scan: start <= key < end. */
export const partitionRange = (partition: KeyValue): { start: Buffer; end: Buffer } => {
  const start = partitionPrefix(partition)
  // Only a tag follows, and no tag is 0xff.
  return { start, end: Buffer.concat([start, Buffer.from([0xff])]) }
}

/** The row of an item. Throws InvalidInputError on a key that DynamoDB would refuse. */
export const encodeRowKey = (key: ItemKey): RowKey => {
  const prefix = partitionPrefix(key.partition)
  return (key.sort ? Buffer.concat([prefix, encodePart(key.sort, 'sort')]) : prefix) as RowKey
}

// ------------------------------------------------------------------- decoding

/** `value` is undefined where the key was cut. */
type DecodedPart = { value: KeyValue | undefined; end: number }

const decodeBytes = (key: Buffer, start: number): { bytes: Buffer | undefined; end: number } => {
  const pieces: Buffer[] = []
  for (let at = start; ;) {
    const zero = key.indexOf(0, at)
    const mark = zero < 0 ? undefined : key[zero + 1]
    pieces.push(key.subarray(at, mark === afterZero.zero ? zero + 1 : zero))
    if (mark === afterZero.end) return { bytes: Buffer.concat(pieces), end: zero + 2 }
    if (mark === afterZero.cut) return { bytes: undefined, end: zero + 2 + sha256Bytes }
    if (mark !== afterZero.zero) throw corruptKey(key)
    at = zero + 2
  }
}

const decodePart = (key: Buffer, start: number): DecodedPart => {
  const tag = key[start]
  if (tag === tags.N) {
    const { text, end } = decodeNumber(key, start + 1)
    return { value: { N: text }, end }
  }
  if (tag !== tags.S && tag !== tags.B) throw corruptKey(key)
  const { bytes, end } = decodeBytes(key, start + 1)
  if (bytes === undefined) return { value: undefined, end }
  return { value: tag === tags.S ? { S: decodeUtf8(bytes) } : { B: new Uint8Array(bytes) }, end }
}

const corruptKey = (key: Uint8Array, cause?: unknown): CorruptError =>
  new CorruptError(`not the key of a row: ${Buffer.from(key).toString('hex', 0, 100)}`, { cause })

/** The key, where it is that of this row; throws CorruptError otherwise. */
export const checkKeyOf = (rowKey: Uint8Array, key: ItemKey): ItemKey => {
  try {
    if (encodeRowKey(key).equals(rowKey)) return key
  } catch (cause) {
    throw corruptKey(rowKey, cause)
  }
  throw corruptKey(rowKey)
}

const decodeParts = (rowKey: Uint8Array): DecodedPart[] => {
  const key = asBuffer(rowKey)
  const partition = decodePart(key, hashBytes)
  const sort = partition.end < key.length ? decodePart(key, partition.end) : undefined
  const parts = sort ? [partition, sort] : [partition]
  const digest = hash('sha256', key.subarray(hashBytes, partition.end), 'buffer')
  const isRowKey = parts.at(-1)?.end === key.length && digest.subarray(0, hashBytes).equals(key.subarray(0, hashBytes))
  if (!isRowKey) throw corruptKey(key)
  return parts
}

/** The key of a row's item; undefined where it was cut. Throws CorruptError on what is not the key of a row. */
export const decodeRowKey = (rowKey: Uint8Array): ItemKey | undefined => {
  const [partition, sort] = decodeParts(rowKey)
  if (!partition?.value || (sort && !sort.value)) return undefined
  const key = sort?.value ? { partition: partition.value, sort: sort.value } : { partition: partition.value }
  return checkKeyOf(rowKey, key)
}

/** True where the row key holds a hash in place of the end of the key. */
export const keyIsHashed = (rowKey: Uint8Array): boolean => {
  // A cut leaves no room but for a byte that would have taken two.
  if (rowKey.length < limits.sort.partBytesMax - 1) return false
  return decodeRowKey(rowKey) === undefined
}
