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
      checkWellFormed(value)
      // At most 3 bytes a code unit; what is too much is given back.
      const at = reserve(3 * value.length)
      length = at + buffer.write(value, at, 'utf8')
    },
    beginPiece: () => reserve(4),
    endPiece(begin) {
      buffer.writeUInt32BE(length - begin - 4, begin)
    },
    finish() {
      const written = Buffer.from(buffer.subarray(0, length))
      length = 0
      return written
    },
    reset() {
      length = 0
    },
  }
}
