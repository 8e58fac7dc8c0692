/** Below this a buffer may share its memory with others (Node's pool is 8 KiB), and giving it back would gain nothing. */
const discardBytesMin = 256 * 2 ** 10

/** The memory behind `bytes` where no others can share it: what may be given back, or handed to another thread. */
export const ownMemory = ({ buffer }: Uint8Array): ArrayBuffer[] =>
  buffer instanceof ArrayBuffer && buffer.byteLength >= discardBytesMin ? [buffer] : []

/**
 * Gives the memory behind `bytes`, all of its ArrayBuffer, back at once: the caller must own it alone and nothing may still
 * read it. Any view of it has length 0 afterwards. V8 sees memory outside its heap only as pressure: left to the collector,
 * chunks cost a full collection for every few of them, two fifths of the CPU of a copy.
 */
export const discard = (bytes: Uint8Array): void => {
  for (const buffer of ownMemory(bytes)) buffer.transfer(0)
}

/** The pieces in one buffer of its own: unpooled, so that one kept for a while keeps nothing else alive. */
export const joined = (pieces: readonly Uint8Array[]): Uint8Array => {
  const bytes = Buffer.allocUnsafeSlow(pieces.reduce((sum, piece) => sum + piece.length, 0))
  let at = 0
  for (const piece of pieces) {
    bytes.set(piece, at)
    at += piece.length
  }
  return bytes
}
