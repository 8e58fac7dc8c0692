import { constants, zstdCompressSync, zstdDecompressSync, type ZstdOptions } from 'node:zlib'
import { CorruptError } from '../errors.ts'

/**
 * zstd of whole buffers, bounded. In the caller's thread: a function has one core, on which the way through zlib's own
 * threads takes half as much again.
 */

/** Decoders must hold windows of 8 MiB at least, RFC 8878 section 3.1.1.1.2; a wider one is only believed as far as the plain length. */
const windowLogFloor = 23
/** node:zlib takes no smaller output piece. */
const outputBytesMin = 64

/**
 * `text` looks for what repeats. `noise` only for long runs, and codes bytes by how often they come: a plane of exponents
 * or an integer tensor has nothing else to give, and it takes a third of the time.
 */
export type Content = 'text' | 'noise'

/** One output piece that surely suffices: zlib's default of 16 KiB costs a third of the speed. */
const compressBound = (bytes: number): number => bytes + (bytes >> 8) + 512

const optionsOf = (bytes: number, content: Content, level: number): ZstdOptions & { pledgedSrcSize: number } => ({
  chunkSize: compressBound(bytes),
  pledgedSrcSize: bytes,
  params: {
    [constants.ZSTD_c_compressionLevel]: level,
    ...(content === 'noise' && { [constants.ZSTD_c_minMatch]: 7, [constants.ZSTD_c_hashLog]: 6 }),
    [constants.ZSTD_c_contentSizeFlag]: 1,
    [constants.ZSTD_c_checksumFlag]: 1,
  },
})

export const compress = (plain: Uint8Array, content: Content, level = 1): Uint8Array =>
  zstdCompressSync(plain, optionsOf(plain.length, content, level))

const samples = 8
const sampleBytes = 4096

/** Bytes that a few samples of `plain` take compressed, for one of theirs: above 1 where there is nothing to gain. */
export const probe = (plain: Uint8Array, content: Content): number => {
  const step = Math.max(sampleBytes, Math.floor((plain.length - sampleBytes) / (samples - 1)))
  const taken: Uint8Array[] = []
  for (let at = 0; at < plain.length && taken.length < samples; at += step)
    taken.push(plain.subarray(at, at + sampleBytes))
  const sample = Buffer.concat(taken)
  return compress(sample, content).length / Math.max(1, sample.length)
}

/** With `info`, node:zlib answers the engine too, whose `bytesWritten` is the input that the frame took. */
type Inflated = { buffer: Uint8Array; engine: { bytesWritten: number } }

const inflate = (payload: Uint8Array, plainLength: number): Inflated => {
  const windowLogMax = Math.max(windowLogFloor, Math.ceil(Math.log2(plainLength + 1)))
  const options: ZstdOptions = {
    // One byte to spare: an output piece that is exactly full makes node:zlib allocate another.
    chunkSize: Math.max(outputBytesMin, plainLength + 1),
    maxOutputLength: Math.max(1, plainLength),
    info: true,
    params: { [constants.ZSTD_d_windowLogMax]: windowLogMax },
  }
  return zstdDecompressSync(payload, options) as unknown as Inflated
}

const isMemoryShort = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === 'ZSTD_error_memory_allocation'

/** One frame of exactly `plainLength` bytes that takes all of `payload`; CorruptError for anything else. */
export const decompress = (payload: Uint8Array, plainLength: number): Uint8Array => {
  let inflated: Inflated
  try {
    inflated = inflate(payload, plainLength)
  } catch (error) {
    if (isMemoryShort(error)) throw error
    const why = error instanceof Error ? error.message : String(error)
    throw new CorruptError(`a zstd body of ${payload.length} bytes for ${plainLength} cannot be decoded: ${why}`, {
      cause: error,
    })
  }
  const { buffer, engine } = inflated
  if (engine.bytesWritten !== payload.length)
    throw new CorruptError(
      `a zstd body ends after ${engine.bytesWritten} of ${payload.length} bytes: the rest is not its`,
    )
  if (buffer.length !== plainLength)
    throw new CorruptError(`a zstd body holds ${buffer.length} plain bytes, its header says ${plainLength}`)
  return buffer
}
