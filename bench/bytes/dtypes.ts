/** How values become the bytes of a safetensors tensor: little-endian, rounded to nearest, ties to even. */

export type FloatDtype = 'BF16' | 'F16' | 'F32' | 'F8_E4M3'
export type Dtype = FloatDtype | 'I8'

export const bytesPerElement: Record<Dtype, number> = { BF16: 2, F16: 2, F32: 4, F8_E4M3: 1, I8: 1 }

const bitsOf = (values: Float32Array): Uint32Array => new Uint32Array(values.buffer, values.byteOffset, values.length)

/** A loop of its own: TypedArray.from takes many times as long. */
const mapBits = <T extends Uint8Array | Uint16Array>(
  values: Float32Array,
  out: T,
  map: (bits: number) => number,
): T => {
  const bits = bitsOf(values)
  for (let index = 0; index < bits.length; index += 1) out[index] = map(bits[index] ?? 0)
  return out
}

/** Of finite values. */
const toBfloat = (values: Float32Array): Uint16Array =>
  mapBits(values, new Uint16Array(values.length), (bits) => (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16)

/** Half a float's bits shifted right by `shift`, rounded to even. */
const shiftRounded = (bits: number, shift: number): number =>
  (bits + (1 << (shift - 1)) - 1 + ((bits >>> shift) & 1)) >>> shift

/** Of values below 65,520 in size. */
const halfBits = (bits: number): number => {
  const sign = (bits >>> 16) & 0x8000
  const exponent = ((bits >>> 23) & 0xff) - 112
  if (exponent > 0) return sign | shiftRounded((exponent << 23) | (bits & 0x7fffff), 13)
  const shift = 14 - exponent
  return shift > 24 ? sign : sign | shiftRounded((bits & 0x7fffff) | 0x800000, shift)
}

/** E4M3 of a non-negative value: 3 bits of mantissa, exponents from -6, at most 448, no infinity. */
const smallBits = (value: number): number => {
  const exponent = Math.max(-6, Math.floor(Math.log2(Math.max(value, 2 ** -20))))
  const scaled = value / 2 ** (exponent - 3)
  const floor = Math.floor(scaled)
  const rest = scaled - floor
  const mantissa = floor + (rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? 1 : 0)
  // A mantissa of 16 carries into the exponent by itself; below 8 it is subnormal.
  return Math.min(0x7e, (exponent + 6) * 8 + mantissa)
}

const bfloatValue = (bits: number): number => new Float32Array(new Uint32Array([bits << 16]).buffer)[0] ?? 0

/** By the upper 16 bits of a float without its sign. */
const smallTable = Uint8Array.from({ length: 0x8000 }, (_, bits) => smallBits(Math.min(448, bfloatValue(bits) || 0)))

const toSmall = (values: Float32Array): Uint8Array =>
  mapBits(
    values,
    new Uint8Array(values.length),
    (bits) => ((bits >>> 24) & 0x80) | (smallTable[(bits >>> 16) & 0x7fff] ?? 0),
  )

const asBytes = ({ buffer, byteOffset, byteLength }: Uint16Array | Float32Array): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength)

/** FP8 by way of BF16. The result may share its memory with `values`. */
export const encodeFloats = (values: Float32Array, dtype: FloatDtype): Uint8Array => {
  if (dtype === 'F32') return asBytes(values)
  if (dtype === 'F8_E4M3') return toSmall(values)
  return asBytes(dtype === 'BF16' ? toBfloat(values) : mapBits(values, new Uint16Array(values.length), halfBits))
}

/** Rounds in place to what a BF16 can hold. */
export const roundToBfloat = (values: Float32Array): void => {
  const bits = bitsOf(values)
  const rounded = toBfloat(values)
  for (let index = 0; index < bits.length; index += 1) bits[index] = (rounded[index] ?? 0) << 16
}
