import { hash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { CorruptError, InvalidInputError } from '../../shared/errors.ts'
import { parseValue } from '../../shared/features/attribute-json.ts'
import { compareBytes } from '../../shared/features/bytes.ts'
import {
  checkKeyOf,
  decodeRowKey,
  encodeRowKey,
  type ItemKey,
  keyIsHashed,
  type KeyValue,
  partitionPrefix,
  rowKeyBytesMax,
} from '../../shared/features/row-key.ts'
import { rowVectors as vectors } from '../support/row-vectors.ts'

const keyOf = (json: unknown): KeyValue => parseValue(json) as KeyValue
const itemKeyOf = ({ partition, sort }: { partition: unknown; sort?: unknown }): ItemKey =>
  sort ? { partition: keyOf(partition), sort: keyOf(sort) } : { partition: keyOf(partition) }
const withHash = (part: Buffer): Buffer => Buffer.concat([hash('sha256', part, 'buffer').subarray(0, 2), part])

describe('row keys', () => {
  it.each(vectors.keys)('$bytes is what the other implementation makes', ({ bytes, hashed, ...json }) => {
    const key = itemKeyOf(json)
    const rowKey = encodeRowKey(key)
    expect(rowKey.toString('hex')).toBe(bytes)
    expect(keyIsHashed(rowKey)).toBe(hashed)
    expect(decodeRowKey(rowKey)).toEqual(hashed ? undefined : key)
    expect(rowKey.subarray(0, partitionPrefix(key.partition).length)).toEqual(partitionPrefix(key.partition))
  })

  it.each(['S', 'N', 'B'] as const)('order sort keys of type %s as DynamoDB does', (type) => {
    const rows = vectors.sorted[type].map((text) =>
      encodeRowKey({ partition: { S: 'p' }, sort: keyOf({ [type]: text }) }),
    )
    expect(rows.toReversed().sort(compareBytes)).toEqual(rows)
  })

  it('do not confuse where one part ends', () => {
    const rows = [
      ['a#b', 'c'],
      ['a', 'b#c'],
      ['a\0', 'b'],
      ['a', '\0b'],
      ['a', 'b'],
      ['a\0\u0001Sb', 'c'],
    ].map(([pk = '', sk = '']) =>
      encodeRowKey({ partition: { S: pk }, sort: { S: sk } })
        .subarray(2)
        .toString('hex'),
    )
    expect(new Set(rows).size).toBe(rows.length)
  })

  it('are at most as long as they say, for the worst key of DynamoDB', () => {
    const worst = encodeRowKey({ partition: { B: new Uint8Array(2048) }, sort: { B: new Uint8Array(1024) } })
    expect(worst.length).toBeLessThanOrEqual(rowKeyBytesMax)
    expect(worst.length).toBeGreaterThan(rowKeyBytesMax - 5)
    expect(keyIsHashed(worst)).toBe(true)
  })

  it('that are cut differ where the rest of the key does', () => {
    const keys = [1, 2].map((last) => new Uint8Array(1024).fill(last, 1023))
    const rows = keys.map((B) => encodeRowKey({ partition: { S: 'p' }, sort: { B } }))
    expect(rows[0]!.equals(rows[1]!)).toBe(false)
    expect(keyIsHashed(rows[0]!) && keyIsHashed(rows[1]!)).toBe(true)
  })

  it.each<[string, ItemKey]>([
    ['an empty partition key', { partition: { S: '' } }],
    ['an empty sort key', { partition: { S: 'p' }, sort: { B: new Uint8Array() } }],
    ['a partition key of 2,049 bytes', { partition: { S: 'x'.repeat(2049) } }],
    ['a partition key of 2,050 bytes in 1,025 letters', { partition: { S: 'é'.repeat(1025) } }],
    ['a sort key of 1,025 bytes', { partition: { S: 'p' }, sort: { B: new Uint8Array(1025) } }],
    ['a lone surrogate', { partition: { S: '\uD800' } }],
    ['a number out of range', { partition: { N: '1e126' } }],
    ['another type', { partition: { BOOL: true } as unknown as KeyValue }],
  ])('are refused for %s', (_, key) => {
    expect(() => encodeRowKey(key)).toThrow(InvalidInputError)
  })

  it.each<[string, Buffer]>([
    ['nothing', Buffer.alloc(0)],
    ['a hash only', Buffer.from('0000', 'hex')],
    ['another hash', Buffer.concat([Buffer.from('0000', 'hex'), Buffer.from('Sa\0\u0001')])],
    [
      'another hash before a key that was cut',
      Buffer.concat([Buffer.from('0000', 'hex'), encodeRowKey({ partition: { B: new Uint8Array(2048) } }).subarray(2)]),
    ],
    ['an unknown tag', withHash(Buffer.from('Xa\0\u0001'))],
    ['no end', withHash(Buffer.from('Sa'))],
    ['a 00 at the very end', withHash(Buffer.from('Sa\0'))],
    ['an unknown byte after 00', withHash(Buffer.from('Sa\0\u0003'))],
    ['an empty key', withHash(Buffer.from('S\0\u0001'))],
    ['a key that is too long', withHash(Buffer.from(`S${'x'.repeat(2049)}\0\u0001`))],
    ['a text that is not UTF-8', withHash(Buffer.from('53ff0001', 'hex'))],
    ['a cut without its hash', withHash(Buffer.from('53610002ffff', 'hex'))],
    [
      'a third part',
      Buffer.concat([encodeRowKey({ partition: { S: 'a' }, sort: { S: 'b' } }), Buffer.from('Sc\0\u0001')]),
    ],
  ])('are corrupt with %s', (_, bytes) => {
    expect(() => decodeRowKey(bytes)).toThrow(CorruptError)
  })

  it('are checked against a key', () => {
    const key: ItemKey = { partition: { S: 'a' } }
    expect(checkKeyOf(encodeRowKey(key), key)).toBe(key)
    expect(() => checkKeyOf(encodeRowKey(key), { partition: { S: 'b' } })).toThrow(CorruptError)
    expect(() => checkKeyOf(encodeRowKey(key), { partition: { S: '' } })).toThrow(CorruptError)
  })
})
