import { seeded } from './weights-world.ts'

/** Safetensors files of floats that look like weights, and versions of them. */

export type FloatTensor = { dtype: 'BF16' | 'F16' | 'F32'; shape: number[]; values: Float32Array }
export type FloatModel = Record<string, FloatTensor>

const countOf = (shape: readonly number[]): number => shape.reduce((product, size) => product * size, 1)

/** A sum of uniforms: near enough to a normal distribution of this deviation. */
export const gaussian = (count: number, deviation: number, seed: number): Float32Array => {
  const next = seeded(seed)
  const one = (): number => {
    let sum = -3
    for (let i = 0; i < 6; i += 1) sum += next()
    return sum * 1.41 * deviation
  }
  return Float32Array.from({ length: count }, one)
}

export const floatTensor = (dtype: FloatTensor['dtype'], shape: number[], seed: number): FloatTensor => ({
  dtype,
  shape,
  values: gaussian(countOf(shape), 0.02, seed),
})

/** The same tensor after some training: every value moved by `strength` of the values' deviation. */
export const tuned = (tensor: FloatTensor, strength: number, seed: number): FloatTensor => {
  const moves = gaussian(tensor.values.length, 0.02 * strength, seed)
  return { ...tensor, values: tensor.values.map((value, index) => value + (moves[index] ?? 0)) }
}

/** More rows, of which the first are the same. */
export const grown = (tensor: FloatTensor, rows: number, seed: number): FloatTensor => {
  const [before = 0, ...rest] = tensor.shape
  const values = new Float32Array(countOf([before + rows, ...rest]))
  values.set(tensor.values)
  values.set(gaussian(rows * countOf(rest), 0.02, seed), tensor.values.length)
  return { ...tensor, shape: [before + rows, ...rest], values }
}

const bytesOf = ({ dtype, values }: FloatTensor): Buffer => {
  if (dtype === 'F32') return Buffer.from(Float32Array.from(values).buffer)
  if (dtype === 'F16') return Buffer.from(Float16Array.from(values).buffer)
  const bits = new Uint32Array(Float32Array.from(values).buffer)
  return Buffer.from(Uint16Array.from(bits, (word) => (word + 0x7fff + ((word >>> 16) & 1)) >>> 16).buffer)
}

export const floatFile = (model: FloatModel): Buffer => {
  let offset = 0
  const header: Record<string, unknown> = {}
  const data: Buffer[] = []
  for (const [name, tensor] of Object.entries(model)) {
    const bytes = bytesOf(tensor)
    header[name] = {
      dtype: tensor.dtype,
      shape: tensor.shape,
      data_offsets: [offset, offset + bytes.length],
    }
    offset += bytes.length
    data.push(bytes)
  }
  const json = Buffer.from(JSON.stringify(header))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(json.length))
  return Buffer.concat([length, json, ...data])
}
