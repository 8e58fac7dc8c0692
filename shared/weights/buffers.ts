/** Below this a buffer may share its memory with others (Node's pool is 8 KiB), and giving it back would gain nothing. */
const discardBytesMin = 256 * 2 ** 10

/**
 * Gives the memory behind `bytes`, all of its ArrayBuffer, back at once: the caller must own it alone and nothing may still
 * read it. Any view of it has length 0 afterwards. V8 sees memory outside its heap only as pressure: left to the collector,
 * chunks cost a full collection for every few of them, two fifths of the CPU of a copy.
 */
export const discard = (bytes: Uint8Array): void => {
  const { buffer } = bytes
  if (buffer instanceof ArrayBuffer && buffer.byteLength >= discardBytesMin) buffer.transfer(0)
}
