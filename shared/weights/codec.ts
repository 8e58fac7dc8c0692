import { createHash, hash } from 'node:crypto'
import { CorruptError } from '../errors.ts'
import { type Codec, decodeBodyHeader, encodeBodyHeader } from './body.ts'
import { discard, joined } from './buffers.ts'
import { crcNumber } from './checksums.ts'
import { decodeFloats, encodeFloats, type FloatPayload } from './float-payload.ts'
import { elementOf } from './planes.ts'
import { compress, type Content, decompress, probe } from './zstd.ts'

export type EncodedBody = { codec: Codec; body: Uint8Array }

/** Levels 2 and 3 are slower and no smaller on BF16 weights and on chunk lists. */
const levelDefault = 1

export const sha256Hex = (bytes: Uint8Array): string => hash('sha256', bytes, 'hex')

/** The unsigned value, as GCS reports it. */
export const crc32c = (bytes: Uint8Array): number => crcNumber('CRC32C', bytes)

/** A chunk that a delta is against: its SHA-256 in hex, and bytes that were proved to have it. */
export type Base = { id: string; plain: Uint8Array }

const bodyOf = (
  header: { codec: Codec; plainLength: number; params?: Uint8Array; base?: Uint8Array },
  pieces: readonly Uint8Array[],
): EncodedBody => {
  return { codec: header.codec, body: joined([encodeBodyHeader(header), ...pieces]) }
}

const floatBody = (
  header: { codec: Codec; plainLength: number; base?: Uint8Array },
  { params, pieces, packed }: FloatPayload,
): EncodedBody => {
  const encoded = bodyOf({ ...header, params }, pieces)
  for (const plane of packed) discard(plane)
  return encoded
}

/** Integers and floats of one byte: only how often a value comes tells something. */
const noisy = /^(F8_|I8$|U8$|F4$|F6_)/

/** Bytes as they stand, zstd where that is smaller than raw. */
const encodeBytes = (plain: Uint8Array, content: Content, level: number): EncodedBody => {
  const packed = plain.length > 0 ? compress(plain, content, level) : plain
  const codec = packed.length < plain.length ? 'zstd' : 'raw'
  const encoded = bodyOf({ codec, plainLength: plain.length }, [codec === 'zstd' ? packed : plain])
  if (packed !== plain) discard(packed)
  return encoded
}

/** What of its plain bytes a sample must take less of, as it stands, before that is tried beside the planes. */
const repeatsBelow = 0.5

/**
 * The stored form of plain bytes that stands alone: by the elements' `dtype`, as safetensors names it, where it is known;
 * raw where nothing is smaller. `level` is zstd's own, for bytes of no known dtype.
 */
export const encodeBody = (
  plain: Uint8Array,
  options: { level?: number; dtype?: string | undefined } = {},
): EncodedBody => {
  const { level = levelDefault, dtype } = options
  const plainLength = plain.length
  const element = elementOf(dtype)
  if (!element || plainLength < element.bytes) {
    const isNoise = dtype !== undefined && noisy.test(dtype) && probe(plain, 'text') > repeatsBelow
    return encodeBytes(plain, isNoise ? 'noise' : 'text', level)
  }
  const floats = floatBody({ codec: 'exp-zstd', plainLength }, encodeFloats(plain, element, undefined))
  const isRepeating = probe(plain, 'text') < repeatsBelow
  if (!isRepeating && floats.body.length < plainLength) return floats
  const bytes = encodeBytes(plain, 'text', level)
  const [kept, other] = bytes.body.length <= floats.body.length ? [bytes, floats] : [floats, bytes]
  discard(other.body)
  return kept
}

/** The stored form as the difference to a base of the same dtype; undefined where the dtype has none. */
export const encodeDelta = (
  plain: Uint8Array,
  { dtype, base }: { dtype: string | undefined; base: Base },
): EncodedBody | undefined => {
  const element = elementOf(dtype)
  if (!element) return undefined
  const header = { codec: 'delta' as const, plainLength: plain.length, base: Buffer.from(base.id, 'hex') }
  return floatBody(header, encodeFloats(plain, element, base.plain))
}

/** The base that a body names is the one given. */
const baseOf = (named: Uint8Array | undefined, base: Base | undefined): Uint8Array | undefined => {
  if (!named) return undefined
  const id = Buffer.from(named).toString('hex')
  if (!base) throw new CorruptError(`a body is the difference to sha256:${id}, and stands where one must stand alone`)
  if (base.id !== id) throw new CorruptError(`a body is the difference to sha256:${id}, not to sha256:${base.id}`)
  return base.plain
}

type DecodeOptions = { plainBytesMax: number; base?: Base | undefined }

/** Views of the body and of what the next call writes over, but where they are `copied`: a buffer of their own. */
type Decoded = { pieces: Uint8Array[]; copied: boolean }

const decodePieces = (body: Uint8Array, options: DecodeOptions): Decoded => {
  const { codec, plainLength, params, base, payloadOffset } = decodeBodyHeader(body)
  if (plainLength > options.plainBytesMax)
    throw new CorruptError(`a body of ${plainLength} plain bytes, more than the ${options.plainBytesMax} allowed here`)
  const payload = body.subarray(payloadOffset)
  if (codec === 'exp-zstd' || codec === 'delta')
    return { pieces: decodeFloats(params, payload, plainLength, baseOf(base, options.base)), copied: false }
  if (params.length > 0) throw new CorruptError(`a body of codec ${codec} has ${params.length} bytes of parameters`)
  if (codec === 'zstd') return { pieces: [decompress(payload, plainLength)], copied: true }
  if (payload.length !== plainLength)
    throw new CorruptError(`a raw body holds ${payload.length} bytes, its header says ${plainLength}`)
  return { pieces: [payload], copied: false }
}

/**
 * The plain bytes of a body (a view of it where it is raw); the caller rehashes them, and has proved those of `base`,
 * without which a delta is refused. Throws CorruptError on anything but exactly the declared bytes, before allocating where
 * they are more than `plainBytesMax`.
 */
export const decodeBody = (body: Uint8Array, options: DecodeOptions): Uint8Array => {
  const { pieces } = decodePieces(body, options)
  const [only] = pieces
  return pieces.length === 1 && only ? only : joined(pieces)
}

/** What a body decodes to, as its SHA-256 in hex alone; throws as decodeBody does. */
export const hashBody = (body: Uint8Array, options: DecodeOptions): string => {
  const { pieces, copied } = decodePieces(body, options)
  const digest = createHash('sha256')
  for (const piece of pieces) digest.update(piece)
  if (copied) for (const piece of pieces) discard(piece)
  return digest.digest('hex')
}

/** A part: UTF-8 JSON in a body, addressed by the SHA-256 of the JSON. */
export const partBody = (json: unknown): EncodedBody & { id: string } => {
  const plain = Buffer.from(JSON.stringify(json))
  return { id: sha256Hex(plain), ...encodeBody(plain) }
}

/** The JSON of the part that `id` names. Throws CorruptError where the body holds anything else. */
export const readPartBody = (body: Uint8Array, options: { id: string; plainBytesMax: number }): unknown => {
  const plain = decodeBody(body, options)
  const found = sha256Hex(plain)
  if (found !== options.id) throw new CorruptError(`the part ${options.id} holds the bytes of ${found}`)
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(plain)) as unknown
  } catch (error) {
    throw new CorruptError(`the part ${options.id} is not JSON in UTF-8`, { cause: error })
  }
}
