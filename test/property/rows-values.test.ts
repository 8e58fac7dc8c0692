import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { itemToJson, parseItem, parseValue, valueToJson } from '../../shared/features/attribute-json.ts'
import { decodeValue, encodeValue } from '../../shared/features/attribute-value.ts'
import { compareUtf8 } from '../../shared/features/bytes.ts'
import { bigtableLimits, decodeCells, encodeCells, rowCells, rowItemKey } from '../../shared/features/cells.ts'
import { decodeItem, encodeItem, equalItems, itemDigest, omitAttributes } from '../../shared/features/item.ts'
import { compareNumbers, decodeNumber, encodeNumber, normalizeNumber } from '../../shared/features/number.ts'
import { encodeRowKey } from '../../shared/features/row-key.ts'
import * as dynamo from '../support/dynamo-values.ts'
import { orCorrupt } from '../support/or-corrupt.ts'

const runs = { numRuns: 2_000 }

describe('numbers', () => {
  it('keep their value in one canonical text', () => {
    fc.assert(
      fc.property(dynamo.numberText, (text) => {
        const canonical = normalizeNumber(text)
        expect(canonical).toMatch(/^(0|-?([1-9]\d*|0)(\.\d*[1-9])?)$/)
        expect(canonical).not.toBe('-0')
        expect(dynamo.scaled(canonical)).toBe(dynamo.scaled(text))
        expect(normalizeNumber(canonical)).toBe(canonical)
      }),
      runs,
    )
  })

  it('have one text and one encoding however they are spelled', () => {
    fc.assert(
      fc.property(dynamo.numberTwice, ([one, two]) => {
        expect(normalizeNumber(one)).toBe(normalizeNumber(two))
        expect(encodeNumber(one)).toEqual(encodeNumber(two))
      }),
      runs,
    )
  })

  it('order as bytes by value, and none is the beginning of another', () => {
    fc.assert(
      fc.property(dynamo.numberPair, ([left, right]) => {
        const order = dynamo.signOf(dynamo.scaled(left) - dynamo.scaled(right))
        expect(compareNumbers(left, right)).toBe(order)
        const [a, b] = [encodeNumber(left), encodeNumber(right)]
        expect(a.subarray(0, b.length).equals(b.subarray(0, a.length))).toBe(order === 0)
      }),
      runs,
    )
  })

  it('decode from their bytes, whatever follows', () => {
    fc.assert(
      fc.property(dynamo.numberText, dynamo.binary, dynamo.binary, (text, before, after) => {
        const bytes = encodeNumber(text)
        expect(bytes.length).toBeLessThanOrEqual(22)
        const decoded = decodeNumber(Buffer.concat([before, bytes, after]), before.length)
        expect(decoded).toEqual({ text: normalizeNumber(text), end: before.length + bytes.length })
      }),
      runs,
    )
  })

  it('are refused, or encode to the same bytes, from any bytes', () => {
    let accepted = 0
    const near = fc
      .tuple(dynamo.numberText, fc.nat(6), fc.integer({ min: 0, max: 255 }))
      .map(([text, at, byte]) => encodeNumber(text).map((old, index) => (index === at ? byte : old)))
    fc.assert(
      fc.property(fc.oneof(near, fc.uint8Array({ maxLength: 24 })), (bytes) => {
        const decoded = orCorrupt(() => decodeNumber(bytes))
        if (decoded) accepted++
        const again = decoded ? encodeNumber(decoded.text) : Buffer.from(bytes)
        expect(again).toEqual(Buffer.from(bytes.subarray(0, decoded?.end)))
      }),
      runs,
    )
    expect(accepted).toBeGreaterThan(200)
    expect(accepted).toBeLessThan(1_800)
  })
})

describe('texts', () => {
  it('compare as their UTF-8 does', () => {
    fc.assert(
      fc.property(dynamo.text, dynamo.text, (left, right) => {
        const bytes = Buffer.compare(Buffer.from(left), Buffer.from(right))
        expect(dynamo.signOf(compareUtf8(left, right))).toBe(bytes)
      }),
      runs,
    )
  })
})

describe('values', () => {
  it('decode to what was encoded', () => {
    fc.assert(
      fc.property(fc.oneof(dynamo.value, dynamo.deepValue), (value) => {
        const decoded = decodeValue(encodeValue(value))
        expect(dynamo.sameValue(decoded, value)).toBe(true)
        expect(encodeValue(decoded)).toEqual(encodeValue(value))
      }),
      runs,
    )
  })

  it('come through DynamoDB JSON unchanged, from the wire and from the SDK', () => {
    fc.assert(
      fc.property(dynamo.item, (item) => {
        const wire: unknown = JSON.parse(JSON.stringify(itemToJson(item)))
        expect(dynamo.sameItem(parseItem(wire), item)).toBe(true)
        expect(parseItem(item)).toEqual(parseItem(wire))
        expect(itemToJson(parseItem(wire))).toEqual(itemToJson(parseItem(item)))
      }),
      { numRuns: 1_000 },
    )
  })

  it('are refused, or encode to the same bytes, after any mutation', () => {
    let refused = 0
    fc.assert(
      fc.property(dynamo.value, fc.nat(), fc.integer({ min: 0, max: 255 }), fc.nat(2), (value, at, byte, kind) => {
        const bytes = encodeValue(value)
        const place = at % bytes.length
        const changed = [
          () => Buffer.from(bytes).fill(byte, place, place + 1),
          () => bytes.subarray(0, place),
          () => Buffer.concat([bytes, Buffer.from([byte])]),
        ][kind]!()
        const decoded = orCorrupt(() => decodeValue(changed))
        if (decoded === undefined) refused++
        expect(decoded === undefined ? changed : encodeValue(decoded)).toEqual(changed)
      }),
      runs,
    )
    expect(refused).toBeGreaterThan(200)
  })
})

describe('items', () => {
  it('have equal bytes and digests exactly where DynamoDB holds them for equal', () => {
    const counts = { equal: 0, different: 0 }
    const pair = fc.oneof(
      fc.tuple(dynamo.tinyItem, dynamo.tinyItem),
      dynamo.item.map((item) => [item, dynamo.respellItem(item)] as const),
    )
    fc.assert(
      fc.property(pair, ([left, right]) => {
        const equal = dynamo.sameItem(left, right)
        counts[equal ? 'equal' : 'different']++
        expect(equalItems(left, right)).toBe(equal)
        expect(itemDigest(left) === itemDigest(right)).toBe(equal)
      }),
      { numRuns: 5_000 },
    )
    expect(counts.equal).toBeGreaterThan(500)
    expect(counts.different).toBeGreaterThan(500)
  })

  it('decode from their bytes', () => {
    fc.assert(
      fc.property(dynamo.item, (item) => {
        expect(dynamo.sameItem(decodeItem(encodeItem(item)), item)).toBe(true)
      }),
      { numRuns: 500 },
    )
  })
})

describe('cells', () => {
  it('decode to the item without what is left out', () => {
    const long = fc.constantFrom('n'.repeat(16_000), 'n'.repeat(16_001), 'é'.repeat(8_001), '\u{1F600}'.repeat(9_000))
    const withLong = fc
      .tuple(dynamo.item, long, dynamo.value)
      .map(([item, name, value]) => ({ ...item, [name]: value }))
    fc.assert(
      fc.property(fc.oneof(dynamo.item, withLong), fc.nat(5), (item, count) => {
        const omit = new Set(Object.keys(item).slice(0, count))
        const cells = encodeCells(item, omit)
        const kept = omitAttributes(item, omit)
        expect(cells.size).toBe(Object.keys(kept).length)
        expect(dynamo.sameItem(decodeCells(cells), kept)).toBe(true)
        for (const [qualifier, cell] of cells) {
          expect(qualifier).toMatch(/^[\0-\u00FF]{1,16000}$/)
          expect(cell.length).toBeLessThanOrEqual(bigtableLimits.cellBytesMax)
        }
      }),
      { numRuns: 500 },
    )
  })

  it('never share a column between two names', () => {
    fc.assert(
      fc.property(dynamo.attributeName, dynamo.attributeName, (left, right) => {
        const [one, two] = [left, right].map((name) => [...encodeCells({ [name]: { NULL: true } }).keys()][0])
        expect(one === two).toBe(left === right)
      }),
      runs,
    )
  })

  it('tell the key of every row, also of one that was deleted', () => {
    let hashed = 0
    fc.assert(
      fc.property(dynamo.itemKey, fc.option(dynamo.item, { nil: undefined }), (key, item) => {
        const rowKey = encodeRowKey(key)
        const cells = rowCells({ rowKey, key, item })
        if (cells.size > Object.keys(item ?? {}).length) hashed++
        expect(encodeRowKey(rowItemKey({ key: rowKey, cells }))).toEqual(rowKey)
        expect(dynamo.sameItem(decodeCells(cells), item ?? {})).toBe(true)
      }),
      { numRuns: 1_000 },
    )
    expect(hashed).toBeGreaterThan(20)
  })
})

describe('parsed values', () => {
  it('are canonical: what comes out goes in again unchanged', () => {
    fc.assert(
      fc.property(dynamo.value, (value) => {
        const json = valueToJson(decodeValue(encodeValue(value)))
        expect(valueToJson(parseValue(json))).toEqual(json)
      }),
      { numRuns: 500 },
    )
  })
})
