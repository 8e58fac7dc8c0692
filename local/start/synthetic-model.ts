import { createWriteStream } from 'node:fs'
import { once } from 'node:events'
import { finished } from 'node:stream/promises'

/**
 * Safetensors files of seeded BF16 weights with the entropy of real ones: each tensor is Gaussian with its own spread,
 * so that `zstd -3` leaves about 78%. The same seeds give the same bytes on every machine.
 */

export type SyntheticModel = { tensors: { name: string; seed: number }[]; elements: number }

const tableSize = 65_536

const poly = (k: readonly number[], x: number): number => k.reduce((sum, value) => sum * x + value, 0)

/** Inverse of the normal distribution (Acklam's approximation, relative error below 1.2e-9). */
const quantile = (p: number): number => {
  const a = [
    -39.69683028665376, 220.9460984245205, -275.9285104469687, 138.357751867269, -30.66479806614716, 2.506628277459239,
  ]
  const b = [-54.47609879822406, 161.5858368580409, -155.6989798598866, 66.80131188771972, -13.28068155288572]
  const c = [
    -0.007784894002430293, -0.3223964580411365, -2.400758277161838, -2.549732539343734, 4.374664141464968,
    2.938163982698783,
  ]
  const d = [0.007784695709041462, 0.3224671290700398, 2.445134137142996, 3.754408661907416]
  if (p < 0.02425) {
    const q = Math.sqrt(-2 * Math.log(p))
    return poly(c, q) / poly([...d, 1], q)
  }
  if (p > 1 - 0.02425) return -quantile(1 - p)
  const q = p - 0.5
  return (q * poly(a, q * q)) / poly([...b, 1], q * q)
}

/** The normal distribution at 65,536 quantiles, in order. */
export const standardNormal = Float32Array.from({ length: tableSize }, (_, index) =>
  quantile((index + 0.5) / tableSize),
)

/** BF16 of every quantile at one spread, rounded to nearest. */
const bfloatTable = (spread: number): Uint16Array => {
  const floats = standardNormal.map((value) => value * spread)
  const bits = new Uint32Array(floats.buffer)
  return Uint16Array.from(bits, (value) => (value + 0x8000) >>> 16)
}

/** A generator of 32-bit numbers (xorshift32) that never gives 0. */
export const createNumbers = (seed: number): (() => number) => {
  let state = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) | 1
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return state >>> 0
  }
}

const tensorBytes = (seed: number, elements: number): Uint8Array => {
  const next = createNumbers(seed)
  const table = bfloatTable(0.01 + (next() % 1000) / 25_000)
  const out = new Uint16Array(elements)
  for (let index = 0; index < elements; index += 2) {
    const number = next()
    out[index] = table[number & 0xffff] ?? 0
    out[index + 1] = table[number >>> 16] ?? 0
  }
  return new Uint8Array(out.buffer)
}

/** A model of `count` tensors of `elements` each, from one seed. */
export const createModel = (seed: number, count: number, elements: number): SyntheticModel => ({
  elements,
  tensors: Array.from({ length: count }, (_, index) => ({
    name: `model.layers.${Math.floor(index / 6)}.${['q_proj', 'k_proj', 'v_proj', 'o_proj', 'up_proj', 'down_proj'][index % 6]}.weight`,
    seed: seed * 1000 + index,
  })),
})

/** The same model with `count` tensors, chosen by `seed`, trained to other values. */
export const changeTensors = (model: SyntheticModel, count: number, seed: number): SyntheticModel => {
  const next = createNumbers(seed)
  const chosen = new Set<number>()
  while (chosen.size < count) chosen.add(next() % model.tensors.length)
  return {
    ...model,
    tensors: model.tensors.map((tensor, index) =>
      chosen.has(index) ? { ...tensor, seed: tensor.seed + seed * 7919 } : tensor,
    ),
  }
}

const headerOf = (model: SyntheticModel): Buffer => {
  const bytes = model.elements * 2
  const entries = model.tensors.map(({ name }, index) => [
    name,
    { dtype: 'BF16', shape: [model.elements / 1024, 1024], data_offsets: [index * bytes, (index + 1) * bytes] },
  ])
  const json = JSON.stringify(Object.fromEntries([['__metadata__', { format: 'pt' }], ...entries]))
  const text = Buffer.from(json.padEnd(Math.ceil(json.length / 8) * 8))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(text.length))
  return Buffer.concat([length, text])
}

/** A small model as the bytes of a safetensors file. */
export const safetensorsBytes = (model: SyntheticModel): Buffer =>
  Buffer.concat([headerOf(model), ...model.tensors.map(({ seed }) => tensorBytes(seed, model.elements))])

/** Writes the model as a safetensors file, one tensor in memory at a time. */
export const writeModel = async (file: string, model: SyntheticModel): Promise<void> => {
  const out = createWriteStream(file)
  out.write(headerOf(model))
  for (const { seed } of model.tensors) if (!out.write(tensorBytes(seed, model.elements))) await once(out, 'drain')
  out.end()
  await finished(out)
}
