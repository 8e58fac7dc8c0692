import { hash } from 'node:crypto'
import type { AttributeValue, Item } from './wire.ts'

const isSet = (type: string): boolean => type === 'SS' || type === 'NS' || type === 'BS'

const canonicalValue = (value: AttributeValue): unknown => {
  if (value.M) return { M: canonicalItem(value.M) }
  if (value.L) return { L: value.L.map(canonicalValue) }
  const [type = '', content] = Object.entries(value)[0] ?? []
  return isSet(type) ? { [type]: (content as string[]).toSorted() } : value
}

const canonicalItem = (item: Item): [string, unknown][] =>
  Object.keys(item)
    .toSorted()
    .map((name) => [name, canonicalValue(item[name] ?? {})])

/** Text that is equal for equal items: names sorted, sets as sets. Numbers are compared as the store normalised them. */
export const canonicalText = (item: Item): string => JSON.stringify(canonicalItem(item))

export const sameItem = (left: Item, right: Item): boolean => canonicalText(left) === canonicalText(right)

const numberBytes = (text: string): number => {
  const digits = text.replace(/^-|[.]/g, '').replace(/^0+|0+$/g, '').length
  return Math.ceil(digits / 2) + 1 + (text.startsWith('-') ? 1 : 0)
}

const sum = (sizes: number[]): number => sizes.reduce((total, size) => total + size, 0)

const valueBytes = (value: AttributeValue): number => {
  if (value.S !== undefined) return Buffer.byteLength(value.S)
  if (value.N !== undefined) return numberBytes(value.N)
  if (value.B !== undefined) return Buffer.byteLength(value.B, 'base64')
  if (value.SS) return sum(value.SS.map((member) => Buffer.byteLength(member)))
  if (value.NS) return sum(value.NS.map(numberBytes))
  if (value.BS) return sum(value.BS.map((member) => Buffer.byteLength(member, 'base64')))
  if (value.L) return 3 + sum(value.L.map((member) => 1 + valueBytes(member)))
  if (value.M) return 3 + Object.keys(value.M).length + itemBytes(value.M)
  return 1
}

/** The size of an item as DynamoDB counts it: names and values in UTF-8 bytes, two digits of a number a byte. */
export const itemBytes = (item: Item): number =>
  sum(Object.entries(item).map(([name, value]) => Buffer.byteLength(name) + valueBytes(value)))

/** Where in [0, 2^32) a partition key falls: what decides its shard. */
export const keyHash = (partitionKey: AttributeValue): number =>
  hash('sha256', JSON.stringify(partitionKey), 'buffer').readUInt32BE(0)
