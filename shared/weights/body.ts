import { CorruptError, FormatVersionError, InvalidInputError } from '../errors.ts'

/**
 * What the replica stores under `chunks/`, `deltas/` and `parts/`, all little endian:
 *
 *     0  4  ASCII `LBC1`
 *     4  1  codec: 0 raw, 1 zstd, 2 exp-zstd, 3 delta
 *     5  1  flags: bit 0, a base follows the parameters; the others are 0
 *     6  2  P, length of the codec's parameters
 *     8  8  length of the plain bytes
 *    16  P  parameters
 *       32  SHA-256 of the base's plain bytes, where flagged
 *           payload, to the end
 */
export type Codec = 'raw' | 'zstd' | 'exp-zstd' | 'delta'
export type BodyHeader = { codec: Codec; plainLength: number; params: Uint8Array; base?: Uint8Array }

export const bodyHeaderBytes = 16

const magic = 'LBC'
const majorVersion = '1'
const codecs: readonly Codec[] = ['raw', 'zstd', 'exp-zstd', 'delta']
const baseBytes = 32
const baseFlag = 1
const paramsBytesMax = 0xffff

/** The header alone, for the payload to follow. Throws InvalidInputError on what the layout cannot hold. */
export const encodeBodyHeader = (header: {
  codec: Codec
  plainLength: number
  params?: Uint8Array
  base?: Uint8Array
}): Uint8Array => {
  const { codec, plainLength, params = new Uint8Array(0), base } = header
  if (!Number.isSafeInteger(plainLength) || plainLength < 0)
    throw new InvalidInputError(`a body's plain length cannot be ${plainLength}`)
  if (params.length > paramsBytesMax)
    throw new InvalidInputError(`a body's parameters are at most ${paramsBytesMax} bytes, not ${params.length}`)
  if (base && base.length !== baseBytes)
    throw new InvalidInputError(`a body's base is ${baseBytes} bytes of SHA-256, not ${base.length}`)
  if ((codec === 'delta') !== (base !== undefined))
    throw new InvalidInputError(`a body of codec ${codec} ${base ? 'has no' : 'needs a'} base`)
  const bytes = new Uint8Array(bodyHeaderBytes + params.length + (base?.length ?? 0))
  const view = new DataView(bytes.buffer)
  bytes.set(Buffer.from(magic + majorVersion, 'latin1'))
  view.setUint8(4, codecs.indexOf(codec))
  view.setUint8(5, base ? baseFlag : 0)
  view.setUint16(6, params.length, true)
  view.setBigUint64(8, BigInt(plainLength), true)
  bytes.set(params, bodyHeaderBytes)
  if (base) bytes.set(base, bodyHeaderBytes + params.length)
  return bytes
}

const readMagic = (body: Uint8Array): void => {
  const found = Buffer.from(body.subarray(0, 4)).toString('latin1')
  if (found === magic + majorVersion) return
  if (/^LBC\d$/.test(found))
    throw new FormatVersionError(`a body of format ${found}; this program reads ${magic}${majorVersion}: upgrade it`)
  throw new CorruptError(`a body begins with ${JSON.stringify(found)}, not ${magic}${majorVersion}`)
}

/**
 * Reads what begins a body; `params` and `base` are views of it. Throws CorruptError naming the wrong field, and
 * FormatVersionError where a newer program wrote the body.
 */
export const decodeBodyHeader = (body: Uint8Array): BodyHeader & { payloadOffset: number } => {
  if (body.length < bodyHeaderBytes)
    throw new CorruptError(`a body of ${body.length} bytes ends inside its header of ${bodyHeaderBytes}`)
  readMagic(body)
  const view = new DataView(body.buffer, body.byteOffset, body.length)
  const codec = codecs[view.getUint8(4)]
  if (!codec) throw new FormatVersionError(`a body of unknown codec ${view.getUint8(4)}: upgrade this program`)
  const flags = view.getUint8(5)
  if ((flags & ~baseFlag) !== 0) throw new CorruptError(`a body has unknown flags 0x${flags.toString(16)}`)
  const hasBase = (flags & baseFlag) !== 0
  if (hasBase !== (codec === 'delta'))
    throw new CorruptError(`a body of codec ${codec} ${hasBase ? 'names a' : 'names no'} base`)
  const paramsEnd = bodyHeaderBytes + view.getUint16(6, true)
  const payloadOffset = paramsEnd + (hasBase ? baseBytes : 0)
  if (payloadOffset > body.length)
    throw new CorruptError(`a body of ${body.length} bytes ends inside its header of ${payloadOffset}`)
  const plainLength = view.getBigUint64(8, true)
  if (plainLength > BigInt(Number.MAX_SAFE_INTEGER)) throw new CorruptError(`a body's plain length is ${plainLength}`)
  return {
    codec,
    plainLength: Number(plainLength),
    params: body.subarray(bodyHeaderBytes, paramsEnd),
    ...(hasBase && { base: body.subarray(paramsEnd, payloadOffset) }),
    payloadOffset,
  }
}
