import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import * as rowKeys from '../../shared/features/row-key.ts'
import * as versions from '../../shared/features/version.ts'
import * as dynamo from '../support/dynamo-values.ts'
import { orCorrupt } from '../support/or-corrupt.ts'

const { encodeRowKey } = rowKeys
const within = (key: Buffer, { start, end }: { start: Buffer; end: Buffer }): boolean =>
  Buffer.compare(key, start) >= 0 && Buffer.compare(key, end) < 0
const isBeginning = (left: Buffer, right: Buffer): boolean => right.subarray(0, left.length).equals(left)
const sameKey = (left: rowKeys.ItemKey, right: rowKeys.ItemKey): boolean => {
  const sameSort = left.sort && right.sort ? dynamo.sameValue(left.sort, right.sort) : left.sort === right.sort
  return sameSort && dynamo.sameValue(left.partition, right.partition)
}

describe('row keys', () => {
  it('are short, and decode to the key unless they are hashed', () => {
    const counts = { whole: 0, hashed: 0 }
    fc.assert(
      fc.property(dynamo.itemKey, (key) => {
        const rowKey = encodeRowKey(key)
        expect(rowKey.length).toBeLessThanOrEqual(rowKeys.rowKeyBytesMax)
        expect(rowKey.length + 1 + versions.versionBytes).toBeLessThan(4_000)
        const decoded = rowKeys.decodeRowKey(rowKey)
        expect(rowKeys.keyIsHashed(rowKey)).toBe(decoded === undefined)
        counts[decoded ? 'whole' : 'hashed']++
        expect(sameKey(decoded ?? key, key)).toBe(true)
      }),
      { numRuns: 3_000 },
    )
    expect(counts.whole).toBeGreaterThan(1_000)
    expect(counts.hashed).toBeGreaterThan(50)
  })

  it('are equal for equal keys only, and none is the beginning of another in its table', () => {
    const tiny = fc.constantFrom('a', 'b', 'a\0', '\0', '\u0001', 'a#b', 'b#c', '\0\u0001', 'a\0\u0001Sb')
    const tinyKey = fc.tuple(tiny, tiny).map(([a, b]) => ({ partition: { S: a }, sort: { S: b } }))
    const pair = fc.oneof(fc.tuple(tinyKey, tinyKey), fc.tuple(dynamo.itemKey, dynamo.itemKey))
    fc.assert(
      fc.property(pair, ([left, right]) => {
        const [a, b] = [encodeRowKey(left), encodeRowKey(right)]
        expect(a.equals(b)).toBe(sameKey(left, right))
        const oneSchema = (left.sort === undefined) === (right.sort === undefined)
        expect(oneSchema && isBeginning(a, b)).toBe(a.equals(b))
      }),
      { numRuns: 5_000 },
    )
  })

  it('order a partition as DynamoDB orders its sort keys', () => {
    fc.assert(
      fc.property(dynamo.partitionKey, dynamo.keyPair, (partition, [left, right]) => {
        const [a, b] = [encodeRowKey({ partition, sort: left }), encodeRowKey({ partition, sort: right })]
        expect(Buffer.compare(a, b)).toBe(dynamo.compareKeys(left, right))
      }),
      { numRuns: 5_000 },
    )
  })

  it('keep that order for long keys, up to the cut', () => {
    const tail = fc.array(fc.constantFrom(0, 1, 0x61), { minLength: 1, maxLength: 3 })
    const start = fc.integer({ min: 300, max: 600 })
    fc.assert(
      fc.property(start, tail, tail, (zeros, one, two) => {
        const key = (end: number[]): rowKeys.KeyValue => ({
          B: Buffer.concat([Buffer.alloc(zeros), Buffer.from([...end, ...Buffer.alloc(400, 0x7a)])]),
        })
        const [left, right] = [key(one), key(two)]
        const [a, b] = [left, right].map((sort) => encodeRowKey({ partition: { S: 'p' }, sort }))
        expect(Buffer.compare(a!, b!)).toBe(dynamo.compareKeys(left, right))
      }),
    )
  })

  it('are refused, or are those of the key they decode to, after any mutation', () => {
    let refused = 0
    fc.assert(
      fc.property(dynamo.itemKey, fc.nat(), fc.integer({ min: 0, max: 255 }), (key, at, byte) => {
        const rowKey = encodeRowKey(key)
        const changed = Buffer.from(rowKey).fill(byte, at % rowKey.length, (at % rowKey.length) + 1)
        const decoded = orCorrupt(() => ({ key: rowKeys.decodeRowKey(changed) }))
        if (!decoded) refused++
        expect(decoded?.key ? encodeRowKey(decoded.key) : changed).toEqual(changed)
      }),
      { numRuns: 1_000 },
    )
    expect(refused).toBeGreaterThan(300)
  })

  it('of a partition are one range, and of no other partition', () => {
    fc.assert(
      fc.property(dynamo.itemKey, dynamo.itemKey, (one, two) => {
        const range = rowKeys.partitionRange(one.partition)
        expect(within(encodeRowKey(one), range)).toBe(true)
        expect(isBeginning(rowKeys.partitionPrefix(one.partition), encodeRowKey(one))).toBe(true)
        expect(within(encodeRowKey(two), range)).toBe(dynamo.sameValue(one.partition, two.partition))
      }),
      { numRuns: 2_000 },
    )
  })
})

const versionOf = ({
  epoch,
  number,
  nonce,
}: {
  epoch: number
  number: bigint
  nonce: bigint
}): versions.ChangeVersion =>
  versions.changeVersion({ epoch, sequenceNumber: String(number), nonce: nonce.toString(16).padStart(16, '0') })

describe('versions', () => {
  const sequenceNumber = fc.oneof(
    fc.bigInt({ min: 0n, max: 10n ** 40n - 1n }),
    fc.bigInt({ min: 10n ** 21n - 2n, max: 10n ** 21n + 2n }),
    fc.bigInt({ min: 0n, max: 3n }),
  )
  const part = fc.record({
    epoch: fc.oneof(fc.nat(2), fc.integer({ min: 0, max: 9_999_999_999 })),
    number: sequenceNumber,
    nonce: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  })
  it('order as text and as bytes by epoch, then sequence number, then nonce', () => {
    const close = part.chain((one) =>
      fc.tuple(
        fc.constant(one),
        fc.record({
          epoch: fc.constantFrom(one.epoch, 1),
          number: fc.oneof(fc.constant(one.number), sequenceNumber),
          nonce: fc.constantFrom(one.nonce, 0n),
        }),
      ),
    )
    fc.assert(
      fc.property(fc.oneof(close, fc.tuple(part, part)), ([left, right]) => {
        const expected =
          dynamo.signOf(left.epoch - right.epoch) ||
          dynamo.signOf(left.number - right.number) ||
          dynamo.signOf(left.nonce - right.nonce)
        const [a, b] = [versionOf(left), versionOf(right)]
        expect(versions.compareVersions(a, b)).toBe(expected)
        expect(Buffer.compare(Buffer.from(a), Buffer.from(b))).toBe(expected)
        expect(versions.newerVersion(a, b)).toBe(expected < 0 ? b : a)
      }),
      { numRuns: 3_000 },
    )
  })

  it('parse to what they were made of', () => {
    fc.assert(
      fc.property(part, (change) => {
        const version = versionOf(change)
        expect(version).toHaveLength(versions.versionBytes)
        const parsed = versions.parseVersion(version)
        expect({ ...parsed, number: BigInt(parsed.sequenceNumber) }).toMatchObject({
          epoch: change.epoch,
          number: change.number,
        })
        expect(versions.changeVersion(parsed)).toBe(version)
        expect(versions.compareVersions(version, versions.backfillVersion)).toBeGreaterThanOrEqual(0)
      }),
    )
  })
})
