import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  type Cut,
  cutsWithin,
  cutTensors,
  fixedSegments,
  planSegments,
  tensorsWithin,
} from '../../shared/weights/cut.ts'
import { parseSafetensors, type Tensor } from '../../shared/weights/safetensors.ts'

const mib = 2 ** 20
const size = fc.oneof(
  fc.constantFrom(0, 1, mib - 1, mib, mib + 1, 4 * mib, 4 * mib + 1),
  fc.integer({ min: 0, max: 3000 }),
  fc.integer({ min: 0, max: 40 * mib }),
)
const file = fc
  .record({
    headerBytes: fc.oneof(fc.integer({ min: 8, max: 5000 }), fc.integer({ min: 8, max: 10 * mib })),
    tensors: fc.array(fc.record({ size, dtype: fc.constantFrom('BF16', 'F32', 'U8') }), { maxLength: 40 }),
  })
  .map(({ headerBytes, tensors }) => {
    let end = headerBytes
    const placed = tensors.map((tensor, index): Tensor => {
      const start = end
      end += tensor.size
      return { name: `t${index}`, dtype: tensor.dtype, shape: [tensor.size], start, end }
    })
    return { dataStart: headerBytes, tensors: placed, fileSize: end }
  })

/** Where the pieces end, or -1 where one is empty, overlaps or leaves a hole. */
const tiledEnd = (pieces: readonly { offset: number; length: number }[]): number =>
  pieces.reduce((end, piece) => (piece.offset === end && piece.length > 0 ? end + piece.length : -1), 0)
const asPieces = (segments: readonly { offset: number; size: number }[]): { offset: number; length: number }[] =>
  segments.map(({ offset, size: length }) => ({ offset, length }))
/** The cuts of the data alone, by their place in it. */
const dataCuts = (cuts: Iterable<Cut>, dataStart: number): Cut[] =>
  [...cuts].filter((cut) => cut.offset >= dataStart).map((cut) => ({ ...cut, offset: cut.offset - dataStart }))

describe('cutTensors', () => {
  it('covers the file, begins a cut at every large tensor and never reaches over two of them', () => {
    fc.assert(
      fc.property(file, ({ dataStart, tensors, fileSize }) => {
        const cuts = [...cutTensors(dataStart, tensors, fileSize)]
        expect(tiledEnd(cuts)).toBe(fileSize)
        const starts = new Set(cuts.map((cut) => cut.offset))
        const large = tensors.filter((tensor) => tensor.end - tensor.start >= mib)
        expect(large.every((tensor) => starts.has(tensor.start))).toBe(true)
        for (const cut of cuts) {
          const inside = tensorsWithin(tensors, cut.offset, cut.offset + cut.length)
          expect(cut.length).toBeLessThanOrEqual(inside.length > 1 ? mib : 4 * mib)
          expect(cut.tensor).toBe(inside.length === 1 ? inside[0]!.name : undefined)
          const dtypes = new Set(inside.map((tensor) => tensor.dtype))
          expect(cut.dtype).toBe(dtypes.size === 1 ? [...dtypes][0] : undefined)
        }
      }),
    )
  })

  it('cuts a tensor the same wherever it lies', () => {
    fc.assert(
      fc.property(file, fc.integer({ min: 1, max: 10 * mib }), ({ dataStart, tensors, fileSize }, shift) => {
        const moved = tensors.map((tensor) => ({ ...tensor, start: tensor.start + shift, end: tensor.end + shift }))
        expect(dataCuts(cutTensors(dataStart + shift, moved, fileSize + shift), dataStart + shift)).toEqual(
          dataCuts(cutTensors(dataStart, tensors, fileSize), dataStart),
        )
      }),
    )
  })
})

describe('planSegments', () => {
  const max = fc.integer({ min: 4 * mib, max: 64 * mib })

  it('tiles the file, and each segment’s cuts follow from the tensors in it alone', () => {
    fc.assert(
      fc.property(file, max, ({ dataStart, tensors, fileSize }, segmentBytesMax) => {
        const cuts = [...cutTensors(dataStart, tensors, fileSize)]
        const segments = [...planSegments(cuts, segmentBytesMax)]
        expect(tiledEnd(asPieces(segments))).toBe(fileSize)
        const again: Cut[] = []
        for (const { offset, size: bytes, cuts: count } of segments) {
          expect(bytes).toBeLessThanOrEqual(segmentBytesMax)
          const known = tensorsWithin(tensors, offset, offset + bytes)
          const within = [...cutsWithin(offset < dataStart ? dataStart : 0, known, offset, offset + bytes)]
          expect(within).toHaveLength(count)
          again.push(...within)
        }
        expect(again).toEqual(cuts)
      }),
    )
  })

  it('gives any range between two cuts those cuts', () => {
    fc.assert(
      fc.property(file, fc.nat(), fc.nat(), ({ dataStart, tensors, fileSize }, from, count) => {
        const cuts = [...cutTensors(dataStart, tensors, fileSize)]
        const first = from % cuts.length
        const range = cuts.slice(first, first + 1 + (count % (cuts.length - first)))
        const start = range[0]!.offset
        const end = range.at(-1)!.offset + range.at(-1)!.length
        expect([...cutsWithin(dataStart, tensors, start, end)]).toEqual(range)
      }),
    )
  })

  it('splits a tensor that fits only where its segment was less than half full', () => {
    fc.assert(
      fc.property(file, max, ({ dataStart, tensors, fileSize }, segmentBytesMax) => {
        for (const { offset } of planSegments(cutTensors(dataStart, tensors, fileSize), segmentBytesMax)) {
          const split = tensors.find((tensor) => tensor.start < offset && offset < tensor.end)
          if (!split || split.end - split.start > segmentBytesMax) continue
          const before = [...planSegments(cutTensors(dataStart, tensors, fileSize), segmentBytesMax)].findLast(
            (segment) => segment.offset < offset,
          )!
          expect((split.start - before.offset) * 2).toBeLessThan(segmentBytesMax)
        }
      }),
    )
  })

  it('tiles files of unknown structure', () => {
    fc.assert(
      fc.property(fc.nat(10_000), fc.integer({ min: 1, max: 3000 }), (fileSize, segmentBytes) => {
        const segments = [...fixedSegments(fileSize, segmentBytes)]
        expect(tiledEnd(asPieces(segments))).toBe(fileSize)
      }),
    )
  })
})

describe('parseSafetensors', () => {
  it('reads back what a writer wrote', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.string({ unit: 'binary' }).filter((name) => name !== '__metadata__')),
        fc.array(fc.nat(50)),
        (names, sizes) => {
          let at = 0
          const entries = names.map(
            (name, index): [string, { dtype: string; shape: number[]; data_offsets: number[] }] => {
              const begin = at
              at += sizes[index] ?? 0
              return [name, { dtype: 'U8', shape: [at - begin], data_offsets: [begin, at] }]
            },
          )
          const json = Buffer.from(JSON.stringify(Object.fromEntries(entries)))
          const header = Buffer.concat([Buffer.alloc(8), json])
          header.writeBigUInt64LE(BigInt(json.length))
          const parsed = parseSafetensors(header, header.length + at)
          if (!parsed.ok) throw new Error(parsed.reason)
          expect(parsed.tensors.map((tensor) => tensor.name).sort()).toEqual([...names].sort())
          for (const tensor of parsed.tensors) {
            const entry = entries.find(([name]) => name === tensor.name)![1]
            expect([tensor.start - header.length, tensor.end - header.length]).toEqual(entry.data_offsets)
          }
        },
      ),
    )
  })

  it('answers any bytes, and what it accepts tiles the file', () => {
    const tensorish = fc.record({
      dtype: fc.constantFrom('U8', 'BF16', 'X'),
      shape: fc.array(fc.nat(4)),
      data_offsets: fc.array(fc.nat(6)),
    })
    const headers = fc.oneof(
      fc.uint8Array(),
      fc.json().map((json) => Buffer.from(json)),
      fc.dictionary(fc.string(), fc.oneof(tensorish, fc.jsonValue())).map((json) => Buffer.from(JSON.stringify(json))),
    )
    fc.assert(
      fc.property(headers, fc.nat(12), (json, dataBytes) => {
        const header = Buffer.concat([Buffer.alloc(8), json])
        header.writeBigUInt64LE(BigInt(json.length))
        const fileSize = header.length + dataBytes
        const parsed = parseSafetensors(header, fileSize)
        const outcome = parsed.ok
          ? tiledEnd([...cutTensors(parsed.dataStart, parsed.tensors, fileSize)])
          : parsed.reason
        expect([fileSize, expect.stringMatching(/./)]).toContainEqual(outcome)
      }),
      { numRuns: 500 },
    )
  })
})
