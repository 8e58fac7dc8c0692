import { hash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { CorruptError, InvalidInputError } from '../../shared/errors.ts'
import { parseItem } from '../../shared/features/attribute-json.ts'
import { encodeValue, type Item } from '../../shared/features/attribute-value.ts'
import { bigtableLimits, decodeCells, encodeCells, rowCells, rowItemKey } from '../../shared/features/cells.ts'
import { encodeRowKey, type ItemKey } from '../../shared/features/row-key.ts'
import { rowVectors as vectors } from '../support/row-vectors.ts'

const latin1Hex = (qualifier: string): string => Buffer.from(qualifier, 'latin1').toString('hex')
const hexOf = (cells: ReadonlyMap<string, Uint8Array>): string[][] =>
  [...cells]
    .map(([qualifier, cell]) => [latin1Hex(qualifier), Buffer.from(cell).toString('hex')])
    .sort(([left = ''], [right = '']) => (left < right ? -1 : 1))

const many = (count: number): Item =>
  Object.fromEntries(Array.from({ length: count }, (_, at) => [at.toString(36), { NULL: true }]))

describe('cells', () => {
  it.each(vectors.items)('of $digest are what the other implementation makes', ({ item, cells }) => {
    const encoded = encodeCells(parseItem(item))
    expect(hexOf(encoded)).toEqual(cells)
    expect(hexOf(encodeCells(decodeCells(encoded)))).toEqual(cells)
  })

  it.each(vectors.longNames)(
    'of a name of $times times $text',
    ({ text, times, value, qualifierDigest, cellDigest, hashed }) => {
      const item = parseItem({ [text.repeat(times)]: value })
      const [[qualifier, cell] = ['', new Uint8Array()]] = encodeCells(item)
      expect(qualifier.startsWith('\u00FFn')).toBe(hashed)
      expect(hash('sha256', Buffer.from(qualifier, 'latin1'), 'hex')).toBe(qualifierDigest)
      expect(hash('sha256', cell, 'hex')).toBe(cellDigest)
      expect(decodeCells(new Map([[qualifier, cell]]))).toEqual(item)
    },
  )

  it('leave out what the configuration omits, and nothing else', () => {
    const item = parseItem({ id: { S: 'a' }, secret: { S: 'b' }, secrets: { S: 'c' } })
    expect([...encodeCells(item, new Set(['secret'])).keys()]).toEqual(['id', 'secrets'])
  })

  it('can be read with no knowledge but the tag', () => {
    const cells = encodeCells(parseItem({ name: { S: 'Zoë' }, score: { N: '0.50' } }))
    expect(Buffer.from(cells.get('name')!).toString('utf8')).toBe('SZoë')
    expect(Buffer.from(cells.get('score')!).toString('utf8')).toBe('N0.5')
  })

  it.each<[string, Partial<typeof bigtableLimits>]>([
    ['attribute "big" cannot be stored: 101 bytes', { cellBytesMax: 100 }],
    ['attribute "big" cannot be stored: with those before it the item has more than 105 bytes', { rowBytesMax: 105 }],
    ['attribute "big" cannot be stored: Bigtable changes no more than 1 columns', { cellsMax: 1 }],
  ])('are refused: %s', (message, limits) => {
    const item = parseItem({ id: { S: 'a' }, big: { S: 'x'.repeat(100) } })
    expect(() => encodeCells(item, new Set(), { ...bigtableLimits, ...limits })).toThrow(InvalidInputError)
    expect(() => encodeCells(item, new Set(), { ...bigtableLimits, ...limits })).toThrow(message)
    const exact = { cellBytesMax: 101, rowBytesMax: 108, cellsMax: 2 }
    expect(encodeCells(item, new Set(), exact).size).toBe(2)
  })

  it('name the attribute that cannot be encoded', () => {
    expect(() => encodeCells({ good: { S: '' }, bad: { L: [{ SS: [] }] } })).toThrow(
      'attribute "bad" cannot be stored: a set',
    )
    expect(() => encodeCells({ ['\uD800']: { S: '' } })).toThrow(InvalidInputError)
  })

  it('are those of an item of the largest number of attributes that Bigtable changes at once', () => {
    expect(encodeCells(many(99_990)).size).toBe(99_990)
    expect(() => encodeCells(many(99_991))).toThrow(InvalidInputError)
  })

  it.each<[string, [string, Uint8Array]]>([
    ['an unknown reserved qualifier', ['\u00FFx', Buffer.from('Z')]],
    ['a qualifier that is not UTF-8', ['\u00C3', Buffer.from('Z')]],
    ['a value that is none', ['a', Buffer.from('X')]],
    ['a long name that is cut', ['\u00FFn', Buffer.from('0000', 'hex')]],
    [
      'a long name under another hash',
      [`\u00FFn${'0'.repeat(32)}`, [...encodeCells({ ['n'.repeat(16_001)]: { NULL: true } }).values()][0]!],
    ],
    [
      'a short name in the place of a long one',
      [`\u00FFn${hash('sha256', 'a', 'buffer').toString('latin1')}`, Buffer.from('00000001615a', 'hex')],
    ],
  ])('are corrupt with %s', (_, cell) => {
    expect(() => decodeCells(new Map([cell]))).toThrow(CorruptError)
  })
})

describe('rows', () => {
  const short: ItemKey = { partition: { S: 'a' }, sort: { N: '1' } }
  const long: ItemKey = { partition: { S: 'a' }, sort: { B: new Uint8Array(1024) } }
  const item = parseItem({ v: { S: 'x' } })

  it('keep a key that was cut, also when the item is gone', () => {
    const rowKey = encodeRowKey(long)
    const cells = rowCells({ rowKey, key: long, item })
    expect([...cells.keys()].map(latin1Hex)).toEqual(['76', 'ff6b'])
    expect(rowItemKey({ key: rowKey, cells })).toEqual(long)
    expect(decodeCells(cells)).toEqual(item)
    const tombstone = rowCells({ rowKey, key: long, item: undefined })
    expect([...tombstone.keys()].map(latin1Hex)).toEqual(['ff6b'])
    expect(rowItemKey({ key: rowKey, cells: tombstone })).toEqual(long)
    expect(decodeCells(tombstone)).toEqual({})
  })

  it('of other keys have no column for it', () => {
    const rowKey = encodeRowKey(short)
    expect([...rowCells({ rowKey, key: short, item, omit: new Set(['v']) }).keys()]).toEqual([])
    expect(rowCells({ rowKey, key: short, item: undefined }).size).toBe(0)
    expect(rowItemKey({ key: rowKey, cells: new Map() })).toEqual(short)
  })

  it.each<[string, Uint8Array | undefined]>([
    ['no column', undefined],
    ['a column that is no list', encodeValue({ S: 'a' })],
    ['a column without keys', encodeValue({ L: [] })],
    ['a column that is no key', encodeValue({ L: [{ S: 'a' }, { BOOL: true }] })],
    ["another row's key", encodeValue({ L: [{ S: 'a' }, { S: 'b' }] })],
    ['a key that cannot be', encodeValue({ L: [{ S: '' }] })],
  ])('whose key was cut are corrupt with %s', (_, cell) => {
    const cells = new Map(cell ? [['\u00FFk', cell]] : [])
    expect(() => rowItemKey({ key: encodeRowKey(long), cells })).toThrow(CorruptError)
  })
})
