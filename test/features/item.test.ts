import { describe, expect, it } from 'vitest'
import { CorruptError } from '../../shared/errors.ts'
import { itemToJson, parseItem } from '../../shared/features/attribute-json.ts'
import { decodeItem, encodeItem, equalItems, itemDigest, omitAttributes } from '../../shared/features/item.ts'
import { rowVectors as vectors } from '../support/row-vectors.ts'

describe('items', () => {
  it.each(vectors.items)('$digest is what the other implementation makes', ({ item, bytes, digest }) => {
    const parsed = parseItem(item)
    expect(encodeItem(parsed).toString('hex')).toBe(bytes)
    expect(itemDigest(parsed)).toBe(digest)
    expect(equalItems(decodeItem(Buffer.from(bytes, 'hex')), parsed)).toBe(true)
  })

  it('are equal whatever the order of names and members, and the spelling of numbers', () => {
    const one = parseItem({
      a: { SS: ['x', 'y'] },
      b: { NS: ['1', '2.50'] },
      c: { M: { d: { N: '0' }, e: { NULL: true } } },
    })
    const two = parseItem({
      c: { M: { e: { NULL: true }, d: { N: '-0.0' } } },
      b: { NS: ['2.5', '1e0'] },
      a: { SS: ['y', 'x'] },
    })
    expect(equalItems(one, two)).toBe(true)
    expect(JSON.stringify(itemToJson(decodeItem(encodeItem(one))))).toBe(
      JSON.stringify(itemToJson(decodeItem(encodeItem(two)))),
    )
  })

  it.each([
    ['absent and NULL', {}, { a: { NULL: true } }],
    ['absent and empty', {}, { a: { S: '' } }],
    ['NULL and empty', { a: { NULL: true } }, { a: { S: '' } }],
    ['number and text', { a: { N: '1' } }, { a: { S: '1' } }],
    ['text and binary', { a: { S: 'a' } }, { a: { B: 'YQ==' } }],
    ['list and set', { a: { L: [{ S: 'a' }] } }, { a: { SS: ['a'] } }],
    ['lists in another order', { a: { L: [{ S: 'a' }, { S: 'b' }] } }, { a: { L: [{ S: 'b' }, { S: 'a' }] } }],
    ['numbers that one float stands for', { a: { N: '9007199254740993' } }, { a: { N: '9007199254740992' } }],
    ['composed and decomposed text', { a: { S: '\u00E9' } }, { a: { S: 'e\u0301' } }],
  ])('differ: %s', (_, left, right) => {
    expect(equalItems(parseItem(left), parseItem(right))).toBe(false)
  })

  it('leave attributes out', () => {
    const item = parseItem({ a: { S: '1' }, secret: { S: '2' } })
    expect(omitAttributes(item, new Set(['secret', 'other']))).toEqual({ a: { S: '1' } })
    expect(omitAttributes(item, new Set())).toEqual(item)
  })

  it('are corrupt where they are no map', () => {
    expect(() => decodeItem(Buffer.from('Sa'))).toThrow(CorruptError)
    expect(() => decodeItem(new Uint8Array())).toThrow(CorruptError)
  })
})
