import { hash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { createGearCutter, gearBytesMax, gearBytesMin, gearBytesNormal, gearTable } from '../../shared/weights/gear.ts'
import vectors from '../vectors/weights.json' with { type: 'json' }

const { input, sha256, cuts, table } = vectors.gear

/** SHA-256 of the text `<seed> <i>` for i = 0, 1, ... one after the other, as make.py has it. */
const pseudoRandom = (seed: string, bytes: number): Buffer =>
  Buffer.concat(
    Array.from({ length: Math.ceil(bytes / 32) }, (_, i) => hash('sha256', `${seed} ${i}`, 'buffer')),
  ).subarray(0, bytes)

const data = Buffer.concat(
  input.map(([kind, seed, bytes]) =>
    kind === 'random' ? pseudoRandom(String(seed), Number(bytes)) : Buffer.alloc(Number(bytes)),
  ),
)

const cutAll = (bytes: Uint8Array, pieceBytes: number): number[] => {
  const cutter = createGearCutter()
  const lengths: number[] = []
  let start = 0
  for (let from = 0; from < bytes.length;) {
    const to = Math.min(bytes.length, (Math.floor(from / pieceBytes) + 1) * pieceBytes)
    const end = cutter.next(bytes, from, to)
    from = end < 0 ? to : end
    if (end < 0) continue
    lengths.push(end - start)
    start = end
  }
  return start < bytes.length ? [...lengths, bytes.length - start] : lengths
}

/** The first 32 bytes of the data whose hash has so many zero bits at its top. */
const windowWith = (zeroBits: number, zeroBitsMax = 32): Uint8Array => {
  let h = 0
  for (let at = 0; at < data.length; at += 1) {
    h = ((h << 1) + (gearTable[data[at] ?? 0] ?? 0)) | 0
    // An odd entry for the oldest byte, so that leaving that byte out would change the hash.
    if (at < 31 || ((gearTable[data[at - 31] ?? 0] ?? 0) & 1) === 0) continue
    if (Math.clz32(h) >= zeroBits && Math.clz32(h) <= zeroBitsMax) return data.subarray(at - 31, at + 1)
  }
  throw new Error(`no hash with ${zeroBits} zero bits`)
}
const firstCut = (window: Uint8Array, end: number): number | undefined => {
  const bytes = new Uint8Array(gearBytesNormal + 2 ** 16)
  bytes.set(window, end - window.length)
  const cut = createGearCutter().next(bytes, 0, bytes.length)
  return cut < 0 ? undefined : cut
}

describe('gear', () => {
  it('has the table of the other implementation', () => {
    expect(gearTable.slice(0, 4)).toEqual(table.first)
    expect(gearTable.slice(-4)).toEqual(table.last)
    expect(hash('sha256', Buffer.from(Int32Array.from(gearTable).buffer))).toBe(table.sha256)
  })

  it('cuts where the other implementation does, however the bytes arrive', () => {
    expect(hash('sha256', data)).toBe(sha256)
    for (const pieceBytes of [data.length, 65_536, 16_381]) expect(cutAll(data, pieceBytes)).toEqual(cuts)
  })

  it('begins afresh after a cut', () => {
    expect(cutAll(data.subarray(cuts[0]), data.length)).toEqual(cuts.slice(1))
  })

  it('cuts bytes that are all the same at the maximum only', () => {
    for (let value = 0; value < 256; value += 1) {
      const h = Array.from({ length: 32 }).reduce((sum: number) => ((sum << 1) + (gearTable[value] ?? 0)) | 0, 0)
      expect(h >>> 14).not.toBe(0)
    }
    expect(cutAll(new Uint8Array(gearBytesMax + 1), 65_536)).toEqual([gearBytesMax, 1])
  })

  describe('at its bounds', () => {
    it('are 256 KiB, 832 KiB and 4 MiB', () => {
      expect([gearBytesMin, gearBytesNormal, gearBytesMax]).toEqual([262_144, 851_968, 4_194_304])
    })

    it('cuts at the minimum and not before', () => {
      expect(firstCut(windowWith(22), gearBytesMin)).toBe(gearBytesMin)
      expect(firstCut(windowWith(22), gearBytesMin - 1)).toBeUndefined()
    })

    it('asks for 22 zero bits as far as the normal length and for 18 after it', () => {
      expect(firstCut(windowWith(22), gearBytesNormal)).toBe(gearBytesNormal)
      expect(firstCut(windowWith(18, 21), gearBytesNormal)).toBeUndefined()
      expect(firstCut(windowWith(18, 21), gearBytesNormal + 1)).toBe(gearBytesNormal + 1)
      expect(firstCut(windowWith(17, 17), gearBytesNormal + 1)).toBeUndefined()
    })
  })
})
