import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { chunksOf } from '../../shared/weights/chunker.ts'
import { sha256Hex } from '../../shared/weights/codec.ts'
import { createGearCutter, gearBytesMax, gearBytesMin } from '../../shared/weights/gear.ts'

const mib = 2 ** 20

async function* streamOf(bytes: Uint8Array, pieceBytes: readonly number[]): AsyncGenerator<Uint8Array> {
  for (let at = 0, index = 0; at < bytes.length; index += 1) {
    const length = pieceBytes[index % pieceBytes.length]!
    yield bytes.subarray(at, at + length)
    at += length
  }
}
const pieceBytes = fc.array(fc.integer({ min: 1, max: 300_000 }), { minLength: 1, maxLength: 5 })
/** Xorshift from a seed: cheaper than arrays of fast-check at this size. */
const noise = (seed: number, bytes: number): Uint8Array => {
  let state = seed | 1
  const words = new Int32Array(Math.ceil(bytes / 4))
  for (let index = 0; index < words.length; index += 1) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    words[index] = state
  }
  return new Uint8Array(words.buffer, 0, bytes)
}
const collect = async (chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array[]> => {
  const all: Uint8Array[] = []
  for await (const chunk of chunks) all.push(chunk)
  return all
}

const idsOf = async (data: Uint8Array): Promise<string[]> =>
  (await collect(chunksOf(streamOf(data, [data.length]), 'gear'))).map(sha256Hex)

describe('chunksOf', () => {
  it('joins to the stream it cut, at the lengths asked for', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 5000 })),
        fc.array(fc.integer({ min: 1, max: 3000 }), { minLength: 1 }),
        async (lengths, pieces) => {
          const bytes = noise(
            7,
            lengths.reduce((sum, length) => sum + length, 0),
          )
          const chunks = await collect(
            chunksOf(streamOf(bytes, pieces), { cuts: lengths.map((length) => ({ length })) }),
          )
          expect(chunks.map((chunk) => chunk.length)).toEqual(lengths)
          expect(Buffer.concat(chunks).equals(bytes)).toBe(true)
        },
      ),
    )
  })

  it('by content joins to the stream too, keeps its bounds and does not depend on how it arrives', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer(), fc.integer({ min: 0, max: 2 * mib }), pieceBytes, async (seed, bytes, pieces) => {
        const data = noise(seed, bytes)
        const chunks = await collect(chunksOf(streamOf(data, pieces), 'gear'))
        expect(Buffer.concat(chunks).equals(data)).toBe(true)
        expect(chunks.every((chunk) => chunk.length <= gearBytesMax)).toBe(true)
        expect(chunks.slice(0, -1).every((chunk) => chunk.length >= gearBytesMin)).toBe(true)
        const whole = createGearCutter()
        let at = 0
        for (const chunk of chunks) {
          const end = whole.next(data, at, data.length)
          expect(end < 0 ? data.length : end).toBe(at + chunk.length)
          at += chunk.length
        }
      }),
      { numRuns: 20 },
    )
  })

  it('finds the same cuts again after bytes were inserted', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer(), fc.integer({ min: 1, max: 2000 }), async (seed, inserted) => {
        const data = noise(seed, 8 * mib)
        const changed = Buffer.concat([noise(seed + 2, inserted), data])
        const before = new Set(await idsOf(data))
        expect((await idsOf(changed)).some((chunk) => before.has(chunk))).toBe(true)
      }),
      { numRuns: 5 },
    )
  })
})
