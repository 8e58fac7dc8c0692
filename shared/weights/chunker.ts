import { CorruptError, UnavailableError } from '../errors.ts'
import { joined } from './buffers.ts'
import { createGearCutter } from './gear.ts'

async function* gearChunks(stream: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const cutter = createGearCutter()
  let held: Uint8Array[] = []
  for await (const piece of stream) {
    let from = 0
    while (from < piece.length) {
      const end = cutter.next(piece, from, piece.length)
      held.push(end < 0 ? piece.subarray(from) : piece.subarray(from, end))
      if (end < 0) break
      yield joined(held)
      held = []
      from = end
    }
  }
  if (held.length > 0) yield joined(held)
}

async function* cutChunks(
  stream: AsyncIterable<Uint8Array>,
  cuts: Iterable<{ length: number }>,
): AsyncGenerator<Uint8Array> {
  const lengths = cuts[Symbol.iterator]()
  let chunk: Uint8Array | undefined
  let filled = 0
  let total = 0
  for await (const piece of stream) {
    let from = 0
    while (from < piece.length) {
      if (!chunk) {
        const cut = lengths.next()
        if (cut.done === true) throw new CorruptError(`the stream goes on past its last cut at ${total} bytes`)
        chunk = Buffer.allocUnsafeSlow(cut.value.length)
      }
      const taken = piece.subarray(from, from + chunk.length - filled)
      chunk.set(taken, filled)
      filled += taken.length
      from += taken.length
      total += taken.length
      if (filled < chunk.length) continue
      yield chunk
      chunk = undefined
      filled = 0
    }
  }
  if (chunk || lengths.next().done !== true)
    throw new UnavailableError(`the stream ended after ${total} bytes, before its last cut: read it again`)
}

/**
 * Turns a byte stream into chunks, each a buffer of its own and of exactly its length, in order. By `cuts`, whose
 * lengths are positive, or by content. Holds one chunk beside the source's buffers, which must not be written to again
 * before the chunk they are in has come out. Throws UnavailableError where the stream ends before the cuts do and
 * CorruptError where it goes on after them.
 */
export const chunksOf = (
  stream: AsyncIterable<Uint8Array>,
  how: { cuts: Iterable<{ length: number }> } | 'gear',
): AsyncGenerator<Uint8Array> => (how === 'gear' ? gearChunks(stream) : cutChunks(stream, how.cuts))
