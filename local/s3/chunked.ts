import { S3Error } from './errors.ts'

const lineEnd = Buffer.from('\r\n')
const lineBytesMax = 16 * 1024

const incomplete = (): S3Error => new S3Error(400, 'IncompleteBody', 'The request body terminated unexpectedly')

/** Takes lines and byte runs from a stream without copying what it hands on. */
const createReader = (source: AsyncIterable<Uint8Array>) => {
  const iterator = source[Symbol.asyncIterator]()
  let held: Buffer = Buffer.alloc(0)
  const more = async (): Promise<void> => {
    const { done, value } = await iterator.next()
    if (done) throw incomplete()
    const next = Buffer.from(value.buffer, value.byteOffset, value.byteLength)
    held = held.length > 0 ? Buffer.concat([held, next]) : next
  }
  return {
    line: async (): Promise<string> => {
      let at = held.indexOf(lineEnd)
      while (at < 0) {
        if (held.length > lineBytesMax) throw new S3Error(400, 'InvalidChunkSizeError', 'A chunk header is too long')
        await more()
        at = held.indexOf(lineEnd)
      }
      const line = held.toString('latin1', 0, at)
      held = held.subarray(at + 2)
      return line
    },
    upTo: async (bytes: number): Promise<Buffer> => {
      if (held.length === 0) await more()
      const taken = held.subarray(0, bytes)
      held = held.subarray(taken.length)
      return taken
    },
    /** Reads what follows the last trailer, so that the connection can serve the next request. */
    drain: async (): Promise<void> => {
      while (!(await iterator.next()).done) continue
    },
  }
}

/**
 * The plain bytes of an `aws-chunked` body: `<hex size>[;chunk-signature=...]\r\n<bytes>\r\n`, ended by a chunk of size
 * 0 and trailer lines, which go into `trailers` in lower case. Signatures are not checked.
 */
export async function* decodeChunked(
  source: AsyncIterable<Uint8Array>,
  trailers: Map<string, string>,
): AsyncGenerator<Uint8Array> {
  const reader = createReader(source)
  for (;;) {
    const size = /^([0-9a-fA-F]{1,12})(;.*)?$/.exec(await reader.line())?.[1]
    if (size === undefined) throw new S3Error(400, 'InvalidChunkSizeError', 'A chunk size is not hexadecimal')
    let left = Number.parseInt(size, 16)
    if (left === 0) break
    while (left > 0) {
      const bytes = await reader.upTo(left)
      left -= bytes.length
      yield bytes
    }
    if ((await reader.line()) !== '') throw incomplete()
  }
  for (let line = await reader.line(); line !== ''; line = await reader.line()) {
    const colon = line.indexOf(':')
    if (colon < 0)
      throw new S3Error(400, 'MalformedTrailerError', 'The request contained trailing data that was not well-formed')
    trailers.set(line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim())
  }
  await reader.drain()
}
