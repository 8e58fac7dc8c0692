import { createHash } from 'node:crypto'
import { array, assert, constantFrom, integer, property } from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { SourceChecksum, SourcePart } from '../../shared/ports.ts'
import {
  boundsWithin,
  chooseChecksum,
  compareChecksum,
  createPieceDigester,
  partRanges,
  runLengths,
} from '../../shared/weights/check.ts'
import { compositeOf, createRangeCrc } from '../../shared/weights/checksums.ts'
import type { Check, Piece } from '../../shared/weights/ledger.ts'
import { bucketName, createWorld, noise } from '../support/weights-world.ts'

type Algorithm = Check['algorithm']

const sum = (algorithm: Algorithm, type: SourceChecksum['type'] = 'FULL_OBJECT'): SourceChecksum => ({
  algorithm,
  type,
  value: 'x',
})
const object = createWorld().source.put(bucketName, 'k', noise(10), { checksum: null })
const digestOf = (algorithm: Algorithm, bytes: Uint8Array): Uint8Array => {
  if (algorithm === 'SHA1' || algorithm === 'SHA256' || algorithm === 'MD5')
    return createHash(algorithm.toLowerCase()).update(bytes).digest()
  const crc = createRangeCrc(algorithm)
  crc.update(bytes)
  return crc.digest()
}
const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64')

const checkOf = (algorithm: Algorithm, parts: readonly Uint8Array[] | undefined, bytes: Uint8Array): Check =>
  parts
    ? {
        algorithm,
        type: 'COMPOSITE',
        value: compositeOf(
          algorithm,
          parts.map((part) => digestOf(algorithm, part)),
        ),
        parts: parts.map((part): [number, number] => [part.length, 1]),
      }
    : { algorithm, type: 'FULL_OBJECT', value: base64(digestOf(algorithm, bytes)) }

/** What the copy of each segment computes, fed in small buffers. */
const piecesOf = (check: Check, bytes: Uint8Array, cuts: readonly number[]): Piece[] => {
  const pieces: Piece[] = []
  for (let start = 0, turn = 0; start < bytes.length; turn += 1) {
    const end = Math.min(bytes.length, start + (cuts[turn % cuts.length] ?? 1))
    const digest = { algorithm: check.algorithm, bounds: boundsWithin(check, bytes.length, start, end) }
    const digester = createPieceDigester(digest, start, end)
    for (let at = start; at < end; at += 7) digester.update(bytes.subarray(at, Math.min(end, at + 7)))
    pieces.push(...digester.pieces())
    start = end
  }
  return pieces
}

describe('compareChecksum', () => {
  const histories = [
    constantFrom<Algorithm[]>('CRC64NVME', 'CRC32', 'CRC32C', 'SHA1', 'SHA256', 'MD5'),
    constantFrom(true, false),
    integer({ min: 0, max: 300 }),
    integer({ min: 1, max: 120 }),
    array(integer({ min: 1, max: 90 }), { minLength: 1, maxLength: 5 }),
  ] as const

  it('verifies what any cutting gives, after the second reads that it asks for, and nothing else', () => {
    const law = property(...histories, (algorithm, isByPart, size, partBytes, cuts) => {
      const bytes = noise(size)
      const count = Math.max(1, Math.ceil(size / partBytes))
      const parts = Array.from({ length: count }, (_, at) => bytes.subarray(at * partBytes, (at + 1) * partBytes))
      const check = checkOf(algorithm, isByPart ? parts : undefined, bytes)
      const pieces = piecesOf(check, bytes, cuts)
      const first = compareChecksum(check, size, pieces)
      const ranges = first.kind === 'missing' ? first.ranges : []
      const read = ranges.map(({ start, end }) => ({
        start,
        length: end - start,
        value: base64(digestOf(algorithm, bytes.subarray(start, end))),
      }))
      const all = [...pieces, ...read].toSorted((a, b) => a.start - b.start)
      expect(compareChecksum(check, size, all).kind).toBe('verified')
      expect(compareChecksum({ ...check, value: `${check.value}!` }, size, all).kind).toBe('mismatch')
    })
    assert(law, { numRuns: 300 })
  })
})

describe('chooseChecksum', () => {
  it.each([
    [[sum('SHA256'), sum('CRC32C', 'COMPOSITE')], 'CRC32C'],
    [[sum('CRC32', 'COMPOSITE'), sum('CRC64NVME')], 'CRC64NVME'],
    [[sum('SHA1', 'COMPOSITE'), sum('SHA256')], 'SHA256'],
  ])('prefers what needs no second read: %j', (checksums, expected) => {
    expect(chooseChecksum({ ...object, checksums })?.algorithm).toBe(expected)
  })

  it('takes the ETag for an MD5 where nothing else is there and it is one', () => {
    const value = createHash('md5').update(noise(10)).digest('base64')
    expect(chooseChecksum(object)).toEqual({ algorithm: 'MD5', type: 'FULL_OBJECT', value })
    const parts = { ...object, etag: `${object.etag}-7` }
    expect(chooseChecksum(parts)).toEqual({ algorithm: 'MD5', type: 'COMPOSITE', value: `${value}-7` })
    expect(chooseChecksum({ ...object, etagIsOpaque: true })).toBeUndefined()
    expect(chooseChecksum({ ...object, etag: 'something-else' })).toBeUndefined()
  })
})

async function* sizesOf(sizes: readonly number[]): AsyncGenerator<SourcePart> {
  for (const [index, size] of sizes.entries()) yield { number: index + 1, size }
}

describe('parts', () => {
  it('are kept as run lengths', async () => {
    const parts = await runLengths(sizesOf([10, 10, 5]))
    expect(parts).toEqual([
      [10, 2],
      [5, 1],
    ])
    expect([...partRanges({ ...sum('SHA1', 'COMPOSITE'), parts }, 25)]).toEqual([
      { start: 0, end: 10 },
      { start: 10, end: 20 },
      { start: 20, end: 25 },
    ])
  })
})
