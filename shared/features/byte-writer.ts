import { checkWellFormed } from './bytes.ts'

/** Bytes that grow. */
export type ByteWriter = {
  byte(value: number): void
  bytes(value: Uint8Array): void
  /** In UTF-8. Throws InvalidInputError on a lone surrogate. */
  text(value: string): void
  /** Begins a piece that has its length before it, as 4 big-endian bytes; `endPiece` takes what this answers. */
  beginPiece(): number
  endPiece(begin: number): void
  /** A copy of everything written, which is then forgotten. */
  finish(): Buffer
  /** Forgets what was written. */
  reset(): void
}

/** Up to here a loop is faster than a call of the runtime. */
const shortTextMax = 40

/** Writes the ASCII that `text` begins with; answers how much that is. */
const writeAscii = (buffer: Buffer, start: number, text: string): number => {
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at)
    if (unit > 0x7f) return at
    buffer[start + at] = unit
  }
  return text.length
}

export const createByteWriter = (capacity = 64): ByteWriter => {
  let buffer = Buffer.allocUnsafe(capacity)
  let length = 0
  const reserve = (more: number): number => {
    if (length + more > buffer.length) {
      const grown = Buffer.allocUnsafe(Math.max(2 * buffer.length, length + more))
      buffer.copy(grown, 0, 0, length)
      buffer = grown
    }
    length += more
    return length - more
  }
  return {
    byte(value) {
      const at = reserve(1)
      buffer[at] = value
    },
    bytes(value) {
      const at = reserve(value.length)
      buffer.set(value, at)
    },
    text(value) {
      // At most 3 bytes a code unit; what is too much is given back.
      const at = reserve(3 * value.length)
      const ascii = value.length <= shortTextMax ? writeAscii(buffer, at, value) : 0
      if (ascii < value.length) checkWellFormed(value)
      length = at + (ascii < value.length ? buffer.write(value, at, 'utf8') : ascii)
    },
    beginPiece: () => reserve(4),
    endPiece(begin) {
      buffer.writeUInt32BE(length - begin - 4, begin)
    },
    finish() {
      const written = Buffer.allocUnsafe(length)
      buffer.copy(written, 0, 0, length)
      length = 0
      return written
    },
    reset() {
      length = 0
    },
  }
}
