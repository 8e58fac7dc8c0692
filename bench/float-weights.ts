import { seeded } from '../test/support/weights-world.ts'

/** Matrices as training leaves them: normal, with a scale for each row and column and some elements far out. */

const normals = (seed: number): (() => number) => {
  const next = seeded(seed)
  // Box and Muller's transform gives two at a time.
  let spare: number | undefined
  return () => {
    if (spare !== undefined) {
      const value = spare
      spare = undefined
      return value
    }
    const radius = Math.sqrt(-2 * Math.log(1 - next()))
    const angle = 2 * Math.PI * next()
    spare = radius * Math.sin(angle)
    return radius * Math.cos(angle)
  }
}

export const weightMatrix = (rows: number, columns: number, seed: number): Float32Array => {
  const normal = normals(seed)
  const next = seeded(seed + 1_000_000)
  const deviation = 0.02 * Math.exp(0.3 * normal())
  const ofColumn = Float64Array.from({ length: columns }, () => Math.exp(0.2 * normal()))
  const values = new Float32Array(rows * columns)
  for (let row = 0; row < rows; row += 1) {
    const ofRow = deviation * Math.exp(0.25 * normal())
    for (let column = 0; column < columns; column += 1)
      values[row * columns + column] = normal() * ofRow * (ofColumn[column] ?? 1) * (next() < 0.02 ? 2.5 : 1)
  }
  return values
}

const deviationOf = (values: Float32Array): number =>
  Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / values.length)

/** Every element moved by a normal of `strength` times the matrix's own deviation. */
export const tunedMatrix = (values: Float32Array, strength: number, seed: number): Float32Array => {
  const normal = normals(seed)
  const deviation = deviationOf(values) * strength
  return values.map((value) => value + normal() * deviation)
}

const rounded = (values: Float32Array): Uint16Array => {
  const words = new Uint32Array(Float32Array.from(values).buffer)
  return Uint16Array.from(words, (word) => (word + 0x7fff + ((word >>> 16) & 1)) >>> 16)
}

const scaled = (values: Float32Array, limit: number): Float32Array => {
  const largest = values.reduce((found, value) => Math.max(found, Math.abs(value)), 0)
  return values.map((value) => (value / largest) * limit)
}

/** Nearest E4M3 by its 127 magnitudes. */
const fp8 = (values: Float32Array): Uint8Array => {
  const magnitudes = Float64Array.from({ length: 127 }, (_, bits) => {
    const [exponent, mantissa] = [bits >> 3, bits & 7]
    return exponent === 0 ? mantissa * 2 ** -9 : (1 + mantissa / 8) * 2 ** (exponent - 7)
  })
  return Uint8Array.from(scaled(values, 448), (value) => {
    const size = Math.abs(value)
    let low = 0
    let high = 126
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if ((magnitudes[middle] ?? 0) <= size) low = middle
      else high = middle - 1
    }
    return low | (value < 0 ? 0x80 : 0)
  })
}

/** The elements as each dtype stores them, little endian. */
export const stored: Readonly<Record<string, (values: Float32Array) => Uint8Array>> = {
  BF16: (values) => new Uint8Array(rounded(values).buffer),
  F16: (values) => new Uint8Array(Float16Array.from(values).buffer),
  F32: (values) => new Uint8Array(Float32Array.from(values).buffer),
  'F32 made of BF16': (values) => new Uint8Array(Uint32Array.from(rounded(values), (half) => half << 16).buffer),
  I8: (values) => new Uint8Array(Int8Array.from(scaled(values, 127), Math.round).buffer),
  F8_E4M3: fp8,
}
