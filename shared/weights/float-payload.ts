import { CorruptError, FormatVersionError } from '../errors.ts'
import { discard } from './buffers.ts'
import { type Element, elementByCode, mergePlanes, splitPlanes } from './planes.ts'
import { compress, decompress, probe } from './zstd.ts'

/**
 * What follows the header of an `exp-zstd` or `delta` body. Parameters, little endian:
 *
 *     0  1  kind of the elements: 1 BF16, 2 FP16, 3 FP32
 *     1  5  for each plane, the highest first: 1 byte method (0 raw, 1 zstd), 4 bytes stored length
 *
 * The payload is the planes as stored, one after the other, then the bytes that make no whole element.
 */
export type FloatPayload = {
  params: Uint8Array
  /** To be used at once: planes that are not packed are views of the kernels' memory, and the last is one of the plain bytes. */
  pieces: Uint8Array[]
  /** Those of them that are buffers of their own. */
  packed: Uint8Array[]
}

const methodRaw = 0
const methodZstd = 1
const planeParamBytes = 5

/** A probe is of little, and what saves less than a hundredth is not worth its decoding. */
const worthwhile = 0.99

/** The plane as it is stored: itself where nothing helps. */
const packPlane = (plane: Uint8Array, isProbed: boolean): Uint8Array => {
  if (plane.length === 0 || (isProbed && probe(plane, 'noise') > worthwhile)) return plane
  const packed = compress(plane, 'noise')
  if (packed.length < plane.length) return packed
  discard(packed)
  return plane
}

/** Takes `plain` apart, against `base` where there is one. */
export const encodeFloats = (plain: Uint8Array, element: Element, base: Uint8Array | undefined): FloatPayload => {
  const count = Math.floor(plain.length / element.bytes)
  const planes = splitPlanes(plain, element, base)
  const params = Buffer.alloc(1 + planeParamBytes * planes.length)
  params.writeUInt8(element.code, 0)
  const pieces: Uint8Array[] = []
  const packed: Uint8Array[] = []
  for (const [index, plane] of planes.entries()) {
    const stored = packPlane(plane, index > 0)
    params.writeUInt8(stored === plane ? methodRaw : methodZstd, 1 + planeParamBytes * index)
    params.writeUInt32LE(stored.length, 2 + planeParamBytes * index)
    pieces.push(stored)
    if (stored !== plane) packed.push(stored)
  }
  pieces.push(plain.subarray(count * element.bytes))
  return { params, pieces, packed }
}

type Stored = { isPacked: boolean; bytes: Uint8Array }

const readStored = (params: Buffer, payload: Uint8Array, element: Element, plainLength: number): Stored[] => {
  const count = Math.floor(plainLength / element.bytes)
  const stored: Stored[] = []
  let at = 0
  for (let index = 0; index < element.bytes; index += 1) {
    const method = params.readUInt8(1 + planeParamBytes * index)
    const length = params.readUInt32LE(2 + planeParamBytes * index)
    if (method !== methodRaw && method !== methodZstd)
      throw new FormatVersionError(
        `plane ${index} of a body is stored by the unknown method ${method}: upgrade this program`,
      )
    if (method === methodRaw ? length !== count : length >= count)
      throw new CorruptError(`plane ${index} of a body has ${length} bytes stored for ${count} elements`)
    stored.push({ isPacked: method === methodZstd, bytes: payload.subarray(at, at + length) })
    at += length
  }
  const expected = at + (plainLength % element.bytes)
  if (payload.length !== expected)
    throw new CorruptError(`a body's planes and its last bytes take ${expected} bytes, it has ${payload.length}`)
  return stored
}

/**
 * The `plainLength` bytes again, in two pieces of which the first holds until the next body of planes is taken apart or put
 * together; CorruptError for anything but a payload of exactly that, before it allocates.
 */
export const decodeFloats = (
  params: Uint8Array,
  payload: Uint8Array,
  plainLength: number,
  base: Uint8Array | undefined,
): [whole: Uint8Array, rest: Uint8Array] => {
  if (params.length === 0) throw new CorruptError('a body of planes has no parameters')
  const element = elementByCode(params[0])
  if (params.length !== 1 + planeParamBytes * element.bytes)
    throw new CorruptError(`a body of ${element.bytes} planes has ${params.length} bytes of parameters`)
  const view = Buffer.from(params.buffer, params.byteOffset, params.length)
  const stored = readStored(view, payload, element, plainLength)
  const count = Math.floor(plainLength / element.bytes)
  const planes = stored.map(({ isPacked, bytes }) => (isPacked ? decompress(bytes, count) : bytes))
  const whole = mergePlanes(planes, element, count, base)
  for (const [index, plane] of planes.entries()) if (stored[index]?.isPacked) discard(plane)
  return [whole, payload.subarray(payload.length - (plainLength % element.bytes))]
}
