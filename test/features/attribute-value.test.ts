import { describe, expect, it } from 'vitest'
import { CorruptError, InvalidInputError } from '../../shared/errors.ts'
import { parseItem, parseValue, valueToJson } from '../../shared/features/attribute-json.ts'
import { type AttributeValue, decodeValue, encodeValue } from '../../shared/features/attribute-value.ts'
import { rowVectors as vectors } from '../support/row-vectors.ts'

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex')
const nested = (levels: number): AttributeValue => {
  let value: AttributeValue = { S: 'bottom' }
  for (let level = 0; level < levels; level++) value = level % 2 ? { L: [value] } : { M: { d: value } }
  return value
}

describe('encoded values', () => {
  it.each(vectors.values)('$value is what the other implementation makes of it', ({ value, bytes }) => {
    const encoded = encodeValue(parseValue(value))
    expect(encoded.toString('hex')).toBe(bytes)
    expect(encodeValue(decodeValue(encoded)).toString('hex')).toBe(bytes)
  })

  it('tell all that is empty apart', () => {
    const empties: AttributeValue[] = [
      { S: '' },
      { B: new Uint8Array() },
      { NULL: true },
      { L: [] },
      { M: {} },
      { BOOL: false },
      { N: '0' },
    ]
    expect(new Set(empties.map((value) => encodeValue(value).toString('hex'))).size).toBe(empties.length)
  })

  it('keep names that a JavaScript object treats specially', () => {
    const json = JSON.parse('{"M":{"__proto__":{"S":"kept"},"10":{"N":"1"},"9":{"N":"2"}}}') as unknown
    const decoded = decodeValue(encodeValue(parseValue(json)))
    expect(JSON.parse(JSON.stringify(valueToJson(decoded)))).toEqual(json)
    expect(JSON.stringify(decoded)).toContain('__proto__')
  })

  it('keep a byte order mark', () => {
    expect(decodeValue(encodeValue({ S: '\uFEFFx' }))).toEqual({ S: '\uFEFFx' })
  })

  it('nest 32 levels and more, and not without end', () => {
    expect(decodeValue(encodeValue(nested(32)))).toEqual(nested(32))
    expect(decodeValue(encodeValue(nested(64)))).toEqual(nested(64))
    expect(() => encodeValue(nested(65))).toThrow('nested deeper than 64 levels')
    const pieces = Array.from({ length: 200 }).reduce<Buffer>((inner) => {
      const length = Buffer.alloc(4)
      length.writeUInt32BE(inner.length)
      return Buffer.concat([Buffer.from('L'), length, inner])
    }, Buffer.from('Z'))
    expect(() => decodeValue(pieces)).toThrow(CorruptError)
  })

  it.each<[string, AttributeValue]>([
    ['a lone surrogate', { S: 'a\uD800' }],
    ['a lone surrogate in a name', { M: { '\uDC00': { S: '' } } }],
    ['a lone surrogate in a set', { SS: ['\uD800'] }],
    ['a number out of range', { N: '1e126' }],
    ['an empty set', { SS: [] }],
    ['an empty set of numbers', { NS: [] }],
    ['a member twice', { SS: ['a', 'b', 'a'] }],
    ['a number twice in two spellings', { NS: ['1', '2', '1.0'] }],
    ['a binary twice', { BS: [Uint8Array.of(1), Uint8Array.of(1)] }],
  ])('are refused with %s', (_, value) => {
    expect(() => encodeValue(value)).toThrow(InvalidInputError)
  })

  it.each([
    ['nothing', ''],
    ['an unknown tag', '58 00'],
    ['bytes after true', '54 00'],
    ['bytes after NULL', '5a 5a'],
    ['a text that is not UTF-8', '53 c3'],
    ['an overlong text', '53 c0 80'],
    ['a surrogate in UTF-8', '53 ed a0 80'],
    ['a number that is none', '4e 61'],
    ['an empty number', '4e'],
    ['a number that is not canonical', '4e 31 2e 30'],
    ['a list whose piece is cut', '4c 00000002 5a'],
    ['a list with half a length', '4c 000000'],
    ['a list with an empty piece', '4c 00000000'],
    ['a map with a name only', '4d 00000001 61'],
    ['a map whose names are out of order', '4d 00000001 62 00000001 5a 00000001 61 00000001 5a'],
    ['a map with a name twice', '4d 00000001 61 00000001 5a 00000001 61 00000001 5a'],
    ['a set without members', '73'],
    ['a set out of order', '73 00000001 62 00000001 61'],
    ['a set with a member twice', '62 00000001 61 00000001 61'],
    ['numbers in the order of their text', '6e 00000002 3130 00000001 39'],
    ['a set of numbers that are none', '6e 00000001 61'],
  ])('are corrupt with %s', (_, bytes) => {
    expect(() => decodeValue(hex(bytes))).toThrow(CorruptError)
  })
})

describe('DynamoDB JSON', () => {
  it('reads binaries of events and of the SDK', () => {
    const fromEvent = parseItem({ a: { B: 'AP8=' }, b: { BS: ['AA==', ''] } })
    const fromSdk = parseItem({ a: { B: Buffer.from([0, 255]) }, b: { BS: [Uint8Array.of(0), new Uint8Array()] } })
    expect(fromEvent).toEqual(fromSdk)
    expect(fromEvent).toEqual({ a: { B: Uint8Array.of(0, 255) }, b: { BS: [Uint8Array.of(0), new Uint8Array()] } })
  })

  it('makes numbers canonical, in sets too, and passes over undefined members', () => {
    expect(parseValue({ L: [{ N: '1.50' }, { NS: ['1e2'] }] })).toEqual({ L: [{ N: '1.5' }, { NS: ['100'] }] })
    expect(parseValue({ S: 'a', N: undefined })).toEqual({ S: 'a' })
  })

  it.each<[unknown, string]>([
    [{}, 'item.a: 0 types'],
    [{ S: 'a', N: '1' }, 'item.a: 2 types'],
    ['text', 'item.a: 0 types'],
    [null, 'item.a: 0 types'],
    [[{ S: 'a' }], 'item.a: 0 types'],
    [Uint8Array.of(1), 'item.a: 0 types'],
    [{ S: 1 }, 'item.a: not a text'],
    [{ N: 1 }, 'item.a: not a text'],
    [{ N: 'x' }, 'item.a: not a number: "x"'],
    [{ NS: ['1', 'x'] }, 'item.a[1]: not a number: "x"'],
    [{ B: 'not base64' }, 'item.a: not base64'],
    [{ B: 'AP8' }, 'item.a: not base64'],
    [{ B: 5 }, 'item.a: not a binary'],
    [{ BOOL: 'true' }, 'item.a: a BOOL'],
    [{ NULL: false }, 'item.a: a NULL'],
    [{ L: {} }, 'item.a: not a list'],
    [{ M: [] }, 'item.a: not a map'],
    [{ SS: [1] }, 'item.a[0]: not a text'],
    [{ X: 'a' }, 'item.a: the unknown type "X"'],
    [{ M: { b: { L: [{ S: 'a' }, { N: '1e999' }] } } }, "item.a.b[1]: a number above DynamoDB's range"],
  ])('refuses %j and says where', (value, message) => {
    expect(() => parseItem({ a: value })).toThrow(InvalidInputError)
    expect(() => parseItem({ a: value })).toThrow(message)
  })

  it('refuses an endless nesting before the stack does', () => {
    const deep = Array.from({ length: 20_000 }).reduce<unknown>((inner) => ({ L: [inner] }), { S: '' })
    expect(() => parseValue(deep)).toThrow('nested deeper than 64 levels')
  })
})
