import { hash } from 'node:crypto'
import { CorruptError } from '../errors.ts'
import { decodeValue, encodeValue, type Item } from './attribute-value.ts'

export type { Item } from './attribute-value.ts'

/**
 * An item as the bytes of a map (attribute-value.ts), which the history keeps and digests are made of. Items that
 * DynamoDB holds for equal have equal bytes, and no others.
 *
 *     {"id": {"S": "a"}, "n": {"N": "1"}}  ->  4d 00000002 6964 00000002 5361 00000001 6e 00000002 4e31
 */
export const encodeItem = (item: Item): Buffer => encodeValue({ M: item })

/** The item of exactly these bytes. Throws CorruptError on any that `encodeItem` does not make. */
export const decodeItem = (bytes: Uint8Array): Item => {
  const value = decodeValue(bytes)
  if ('M' in value) return value.M
  throw new CorruptError(`an item that is a value of type ${Object.keys(value).join()}, not a map`)
}

/** SHA-256 of the item's bytes, in hex. */
export const itemDigest = (item: Item): string => hash('sha256', encodeItem(item), 'hex')

/** As DynamoDB compares: numbers by value, sets and maps without order. */
export const equalItems = (left: Item, right: Item): boolean => encodeItem(left).equals(encodeItem(right))

/** The item without the attributes that the configuration leaves out of the replica. */
export const omitAttributes = (item: Item, omit: ReadonlySet<string>): Item =>
  omit.size === 0 ? item : Object.fromEntries(Object.entries(item).filter(([name]) => !omit.has(name)))
