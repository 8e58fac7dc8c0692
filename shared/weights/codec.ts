import { hash } from 'node:crypto'
import { constants, zstdCompress, zstdDecompress, type ZstdOptions } from 'node:zlib'
import { CorruptError, FormatVersionError } from '../errors.ts'
import { decodeBodyHeader, encodeBodyHeader } from './body.ts'
import { discard } from './buffers.ts'
import { crcNumber } from './checksums.ts'

export type EncodedBody = { codec: 'raw' | 'zstd'; body: Uint8Array }

/** Levels 2 and 3 are slower and no smaller on BF16 weights and on chunk lists. */
const levelDefault = 1
/** Decoders must hold windows of 8 MiB at least, RFC 8878 section 3.1.1.1.2; a wider one is only believed as far as the plain length. */
const windowLogFloor = 23
/** node:zlib takes no smaller output piece. */
const outputBytesMin = 64

export const sha256Hex = (bytes: Uint8Array): string => hash('sha256', bytes, 'hex')

/** The unsigned value, as GCS reports it. */
export const crc32c = (bytes: Uint8Array): number => crcNumber('CRC32C', bytes)

/** One output piece that surely suffices: zlib's default of 16 KiB costs a third of the speed. */
const compressBound = (bytes: number): number => bytes + (bytes >> 8) + 512

const compress = (plain: Uint8Array, level: number): Promise<Uint8Array> => {
  const options: ZstdOptions & { pledgedSrcSize: number } = {
    chunkSize: compressBound(plain.length),
    pledgedSrcSize: plain.length,
    params: {
      [constants.ZSTD_c_compressionLevel]: level,
      [constants.ZSTD_c_contentSizeFlag]: 1,
      [constants.ZSTD_c_checksumFlag]: 1,
    },
  }
  return new Promise((resolve, reject) => {
    zstdCompress(plain, options, (error, packed) => (error ? reject(error) : resolve(packed)))
  })
}

/** The stored form of plain bytes, zstd where that is smaller than raw. `level` as zstd's own. */
export const encodeBody = async (plain: Uint8Array, options: { level?: number } = {}): Promise<EncodedBody> => {
  const packed = plain.length > 0 ? await compress(plain, options.level ?? levelDefault) : plain
  const codec = packed.length < plain.length ? 'zstd' : 'raw'
  const payload = codec === 'zstd' ? packed : plain
  const header = encodeBodyHeader({ codec, plainLength: plain.length })
  const body = Buffer.allocUnsafeSlow(header.length + payload.length)
  body.set(header)
  body.set(payload, header.length)
  if (packed !== plain) discard(packed)
  return { codec, body }
}

/** With `info`, node:zlib answers the engine too, whose `bytesWritten` is the input that the frame took. */
type Inflated = { buffer: Uint8Array; engine: { bytesWritten: number } }

const inflate = (payload: Uint8Array, plainLength: number): Promise<Inflated> => {
  const windowLogMax = Math.max(windowLogFloor, Math.ceil(Math.log2(plainLength + 1)))
  const options: ZstdOptions = {
    // One byte to spare: an output piece that is exactly full makes node:zlib allocate another.
    chunkSize: Math.max(outputBytesMin, plainLength + 1),
    maxOutputLength: Math.max(1, plainLength),
    info: true,
    params: { [constants.ZSTD_d_windowLogMax]: windowLogMax },
  }
  return new Promise((resolve, reject) => {
    zstdDecompress(payload, options, (error, result) => {
      if (error) reject(error)
      else resolve(result as unknown as Inflated)
    })
  })
}

const isMemoryShort = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === 'ZSTD_error_memory_allocation'

const decompress = async (payload: Uint8Array, plainLength: number): Promise<Uint8Array> => {
  const { buffer, engine } = await inflate(payload, plainLength).catch((error: unknown) => {
    if (isMemoryShort(error)) throw error
    const why = error instanceof Error ? error.message : String(error)
    throw new CorruptError(`a zstd body of ${payload.length} bytes for ${plainLength} cannot be decoded: ${why}`, {
      cause: error,
    })
  })
  if (engine.bytesWritten !== payload.length)
    throw new CorruptError(
      `a zstd body ends after ${engine.bytesWritten} of ${payload.length} bytes: the rest is not its`,
    )
  if (buffer.length !== plainLength)
    throw new CorruptError(`a zstd body holds ${buffer.length} plain bytes, its header says ${plainLength}`)
  return buffer
}

/**
 * The plain bytes of a self-contained body (a view of it where it is raw); the caller rehashes them. Throws
 * CorruptError on anything but exactly the declared bytes, before allocating where they are more than `plainBytesMax`,
 * and FormatVersionError for a codec that needs a newer program.
 */
export const decodeBody = async (body: Uint8Array, options: { plainBytesMax: number }): Promise<Uint8Array> => {
  const { codec, plainLength, params, payloadOffset } = decodeBodyHeader(body)
  if (codec !== 'raw' && codec !== 'zstd')
    throw new FormatVersionError(`a body of codec ${codec}, which this program cannot decode: upgrade it`)
  if (params.length > 0) throw new CorruptError(`a body of codec ${codec} has ${params.length} bytes of parameters`)
  if (plainLength > options.plainBytesMax)
    throw new CorruptError(`a body of ${plainLength} plain bytes, more than the ${options.plainBytesMax} allowed here`)
  const payload = body.subarray(payloadOffset)
  if (codec === 'zstd') return decompress(payload, plainLength)
  if (payload.length !== plainLength)
    throw new CorruptError(`a raw body holds ${payload.length} bytes, its header says ${plainLength}`)
  return payload
}

/** A part: UTF-8 JSON in a body, addressed by the SHA-256 of the JSON. */
export const partBody = async (json: unknown): Promise<EncodedBody & { id: string }> => {
  const plain = Buffer.from(JSON.stringify(json))
  return { id: sha256Hex(plain), ...(await encodeBody(plain)) }
}

/** The JSON of the part that `id` names. Throws CorruptError where the body holds anything else. */
export const readPartBody = async (
  body: Uint8Array,
  options: { id: string; plainBytesMax: number },
): Promise<unknown> => {
  const plain = await decodeBody(body, options)
  const found = sha256Hex(plain)
  if (found !== options.id) throw new CorruptError(`the part ${options.id} holds the bytes of ${found}`)
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(plain)) as unknown
  } catch (error) {
    throw new CorruptError(`the part ${options.id} is not JSON in UTF-8`, { cause: error })
  }
}
