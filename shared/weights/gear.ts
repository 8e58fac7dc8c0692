import { hash } from 'node:crypto'

export const gearBytesMin = 256 * 2 ** 10
/** Up to this length a cut needs 22 zero bits, past it 18: random data is then cut at 1 MiB on average. */
export const gearBytesNormal = 832 * 2 ** 10
export const gearBytesMax = 4 * 2 ** 20

const strictMask = -(2 ** 10)
const looseMask = -(2 ** 14)
const windowBytes = 32

const table = Int32Array.from({ length: 256 }, (_, i) => hash('sha256', `gear/1 ${i}`, 'buffer').readInt32LE(0))

/**
 * Entry i is the first four bytes, as a little-endian signed integer, of the SHA-256 of the ASCII text `gear/1 <i>`.
 * The loop reads its own array: V8 makes an exported one a third slower.
 */
export const gearTable: readonly number[] = [...table]

const rolled = (hashed: number, byte: number | undefined): number => ((hashed << 1) + (table[byte ?? 0] ?? 0)) | 0

/**
 * Content-defined cuts. `next` takes [from, to) of `buffer` as the continuation of the current chunk and answers the
 * position just past the chunk's last byte, or -1 where the chunk goes on past `to`. After a cut it begins afresh, so
 * that restarting at any cut gives the same cuts.
 */
export type GearCutter = { next(buffer: Uint8Array, from: number, to: number): number }

/**
 * A chunk ends at its first length L of at least 256 KiB where h(L) & mask = 0, or at 4 MiB, with
 * h(L) = sum over k < 32 of table[byte L-1-k] << k, modulo 2^32. The mask is the top 22 bits while L is at most 832 KiB,
 * then the top 18 (FastCDC's normalised chunking, https://www.usenix.org/conference/atc16/technical-sessions/presentation/xia).
 */
export const createGearCutter = (): GearCutter => {
  let length = 0
  let hashed = 0

  /** Four bytes a step with one branch: the loop is then bound by the chain of additions alone. */
  const scan = (buffer: Uint8Array, from: number, to: number, mask: number): number => {
    let at = from
    let h = hashed
    for (; at + 4 <= to; at += 4) {
      const h1 = rolled(h, buffer[at])
      const h2 = rolled(h1, buffer[at + 1])
      const h3 = rolled(h2, buffer[at + 2])
      const h4 = rolled(h3, buffer[at + 3])
      if ((h1 & mask) === 0 || (h2 & mask) === 0 || (h3 & mask) === 0 || (h4 & mask) === 0) break
      h = h4
    }
    for (; at < to; at += 1) {
      h = rolled(h, buffer[at])
      if ((h & mask) === 0) return at + 1
    }
    hashed = h
    return -1
  }

  const next = (buffer: Uint8Array, from: number, to: number): number => {
    let at = from
    const reach = (lengthEnd: number): number => Math.max(at, Math.min(to, at + lengthEnd - length))
    const advance = (end: number): void => {
      length += end - at
      at = end
    }
    const cutAt = (end: number): number => {
      length = 0
      hashed = 0
      return end
    }
    advance(reach(gearBytesMin - windowBytes))
    const warm = reach(gearBytesMin - 1)
    for (let i = at; i < warm; i += 1) hashed = rolled(hashed, buffer[i])
    advance(warm)
    const normal = reach(gearBytesNormal)
    const strictCut = scan(buffer, at, normal, strictMask)
    if (strictCut >= 0) return cutAt(strictCut)
    advance(normal)
    const last = reach(gearBytesMax)
    const looseCut = scan(buffer, at, last, looseMask)
    if (looseCut >= 0) return cutAt(looseCut)
    advance(last)
    return length === gearBytesMax ? cutAt(last) : -1
  }
  return { next }
}
