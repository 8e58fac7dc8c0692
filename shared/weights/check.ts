import type { SourceChecksum, SourceObject, SourcePart } from '../ports.ts'
import { combinePieces, compositeOf, createRangeCrc, createSavableHash } from './checksums.ts'
import type { Check, Piece } from './ledger.ts'

/** How the bytes are compared with the source's own checksum: which one, and what has to be computed for it. */

const combinable = ['CRC64NVME', 'CRC32C', 'CRC32'] as const
const isCombinable = (algorithm: string): algorithm is (typeof combinable)[number] =>
  combinable.some((candidate) => candidate === algorithm)

const hexToBase64 = (hex: string): string => Buffer.from(hex, 'hex').toString('base64')

/** An ETag that is the MD5 of the bytes (or of the parts' MD5s), as a checksum; undefined where encryption hides it. */
const etagChecksum = (object: SourceObject): SourceChecksum | undefined => {
  const match = /^([0-9a-f]{32})(?:-(\d+))?$/.exec(object.etag)
  if (object.etagIsOpaque || !match?.[1]) return undefined
  const value = hexToBase64(match[1])
  if (!match[2]) return { algorithm: 'MD5', type: 'FULL_OBJECT', value }
  return { algorithm: 'MD5', type: 'COMPOSITE', value: `${value}-${match[2]}` }
}

const rank = (checksum: SourceChecksum): number =>
  (isCombinable(checksum.algorithm) ? 0 : 2) + (checksum.type === 'FULL_OBJECT' ? 0 : 1)

/**
 * The cheapest checksum that the source has: one that combines from segments before one that needs a sequential pass.
 * Undefined where there is none.
 */
export const chooseChecksum = (object: SourceObject): SourceChecksum | undefined => {
  const own = object.checksums.toSorted((a, b) => rank(a) - rank(b))[0]
  return own ?? etagChecksum(object)
}

/** Part sizes as run lengths, so that 10,000 equal parts are two numbers. */
export const runLengths = async (parts: AsyncIterable<SourcePart>): Promise<[number, number][]> => {
  const runs: [number, number][] = []
  for await (const part of parts) {
    const last = runs.at(-1)
    if (last?.[0] === part.size) last[1] += 1
    else runs.push([part.size, 1])
  }
  return runs
}

/** Every part as [start, end), in order. A full-object check is one part. */
export function* partRanges(check: Check, size: number): Generator<{ start: number; end: number }> {
  let start = 0
  for (const [bytes, count] of check.parts ?? [[size, 1]])
    for (let index = 0; index < count; index += 1) {
      yield { start, end: start + bytes }
      start += bytes
    }
}

/** The part boundaries strictly inside (from, to): where a segment's digest has to start anew. */
export const boundsWithin = (check: Check, size: number, from: number, to: number): number[] => {
  if (check.type === 'FULL_OBJECT') return []
  const bounds: number[] = []
  let start = 0
  // By runs: a plan asks this for each of its segments, and both can be tens of thousands.
  for (const [bytes, count] of check.parts ?? [[size, 1]]) {
    if (start >= to) break
    const first = start > from || bytes === 0 ? 0 : Math.floor((from - start) / bytes) + 1
    for (let index = first; index < count && start + index * bytes < to; index += 1)
      if (start + index * bytes > from) bounds.push(start + index * bytes)
    start += bytes * count
  }
  return bounds
}

/**
 * Digests a range while it is copied. For a CRC every piece between bounds; for SHA and MD5 the same, of which only those
 * that are whole parts will be of use. `digest` undefined computes nothing.
 */
export const createPieceDigester = (
  digest: { algorithm: Check['algorithm']; bounds: readonly number[] } | null,
  start: number,
  end: number,
  earlier: readonly Piece[] = [],
): { update(bytes: Uint8Array): void; pieces(): Piece[] } => {
  if (!digest) return { update: () => undefined, pieces: () => [] }
  const make = () =>
    isCombinable(digest.algorithm) ? createRangeCrc(digest.algorithm) : createSavableHash(digest.algorithm)
  const bounds = [...digest.bounds.filter((bound) => bound > start && bound < end), end]
  const pieces: Piece[] = [...earlier]
  let current = make()
  let from = start
  let position = start
  const close = (): void => {
    if (position === from) return
    pieces.push({ start: from, length: position - from, value: Buffer.from(current.digest()).toString('base64') })
    current = make()
    from = position
  }
  return {
    update: (bytes) => {
      let used = 0
      while (used < bytes.length) {
        const bound = bounds[0] ?? Number.POSITIVE_INFINITY
        const take = Math.min(bytes.length - used, bound - position)
        current.update(bytes.subarray(used, used + take))
        used += take
        position += take
        if (position < bound) continue
        bounds.shift()
        close()
      }
    },
    pieces: () => {
      close()
      return pieces
    },
  }
}

export type Verdict =
  | { kind: 'verified'; sha256?: string }
  | { kind: 'mismatch'; found: string }
  | { kind: 'missing'; ranges: { start: number; end: number }[] }

const emptyDigest = (algorithm: Check['algorithm']): Uint8Array =>
  (isCombinable(algorithm) ? createRangeCrc(algorithm) : createSavableHash(algorithm)).digest()

const partDigest = (check: Check, pieces: readonly Piece[], size: number): Uint8Array | undefined => {
  if (size === 0) return emptyDigest(check.algorithm)
  if (isCombinable(check.algorithm)) return Buffer.from(combinePieces(check.algorithm, pieces), 'base64')
  return pieces[0] && Buffer.from(pieces[0].value, 'base64')
}

/**
 * Compares digests of pieces, ascending and within parts, with the source's checksum. `missing` names the parts whose
 * digest does not follow from the pieces and needs a second, sequential read.
 */
export const compareChecksum = (check: Check, size: number, pieces: readonly Piece[]): Verdict => {
  const digests: Uint8Array[] = []
  const missing: { start: number; end: number }[] = []
  let next = 0
  for (const part of partRanges(check, size)) {
    const inside: Piece[] = []
    for (; next < pieces.length; next += 1) {
      const piece = pieces[next]
      if (!piece || piece.start >= part.end) break
      inside.push(piece)
    }
    const bytes = part.end - part.start
    const usable = isCombinable(check.algorithm) ? inside : inside.filter((piece) => piece.length === bytes).slice(0, 1)
    const covered = usable.reduce((sum, piece) => sum + piece.length, 0)
    const digest = covered === bytes ? partDigest(check, usable, bytes) : undefined
    if (digest) digests.push(digest)
    else missing.push(part)
  }
  if (missing.length > 0) return { kind: 'missing', ranges: missing }
  const found =
    check.type === 'COMPOSITE'
      ? compositeOf(check.algorithm, digests)
      : Buffer.from(digests[0] ?? emptyDigest(check.algorithm)).toString('base64')
  if (found !== check.value) return { kind: 'mismatch', found }
  const whole = check.algorithm === 'SHA256' && check.type === 'FULL_OBJECT'
  return { kind: 'verified', ...(whole ? { sha256: Buffer.from(found, 'base64').toString('hex') } : {}) }
}
