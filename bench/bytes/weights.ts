import { createNumbers, standardNormal } from '../../local/start/synthetic-model.ts'
import { type Dtype, encodeFloats, roundToBfloat } from './dtypes.ts'
import type { FileTensor } from './safetensors-file.ts'

/**
 * Gaussian weights by seed: each tensor with its own spread, each row and column with its own scale, so that exponents are
 * spread as in real models. A row is made on its own, from the stream of its tensor.
 */

/** What a later version did to a tensor. `strength` is the update's standard deviation over the tensor's own; `rows` are all where absent. */
export type Update = { strength: number; seed: number; rows?: ReadonlySet<number> }

/** `as` is how the values are rounded before they are stored, where that is not the dtype itself. */
export type Weights = {
  name: string
  dtype: Dtype
  as?: 'BF16'
  rows: number
  columns: number
  seed: number
  mean?: number
  update?: Update
}

const rowScaleSpread = 0.25
const columnScaleSpread = 0.2
/** Of a product of the two log-normal scales and a standard normal. */
const deviation = Math.exp(rowScaleSpread ** 2 + columnScaleSpread ** 2)
/** FP8 is scaled so that the largest values of any tensor fit. */
const smallScale = 448 / 12
const blockBytes = 2 ** 20

/** A quantile between two of the table, by 32 random bits: full mantissas, as training leaves them. */
const normalOf = (number: number): number => {
  const index = number >>> 16
  const low = standardNormal[index] ?? 0
  const high = standardNormal[index === 0xffff ? index : index + 1] ?? 0
  return low + (high - low) * ((number & 0xffff) / 0x10000)
}

const spreadOf = (seed: number): number => 0.01 + (createNumbers(seed)() % 1000) / 25_000

const largest = (values: Float32Array): number => {
  let most = 0
  for (let index = 0; index < values.length; index += 1) most = Math.max(most, Math.abs(values[index] ?? 0))
  return most
}

type Row = { values: Float32Array; scale: number }

/** The values of each row; an update is to what was stored, where that is BF16. `scale` is what an INT8 row is divided by. */
function* rowsOf(weights: Weights): Generator<Row> {
  const { rows, columns, seed, dtype, as, mean = 0, update } = weights
  const spread = spreadOf(seed)
  const next = createNumbers(seed * 2 + 1)
  const change = createNumbers((update?.seed ?? 0) * 2 + 3 + seed)
  const columnScales = Float32Array.from({ length: columns }, () => Math.exp(columnScaleSpread * normalOf(next())))
  const step = (update?.strength ?? 0) * spread * deviation
  for (let row = 0; row < rows; row += 1) {
    const rowScale = spread * Math.exp(rowScaleSpread * normalOf(next()))
    const values = new Float32Array(columns)
    for (let column = 0; column < columns; column += 1)
      values[column] = mean + rowScale * (columnScales[column] ?? 0) * normalOf(next())
    if (dtype === 'BF16' || as === 'BF16') roundToBfloat(values)
    const scale = dtype === 'I8' ? largest(values) / 127 : 1
    if (step > 0 && (update?.rows?.has(row) ?? true)) {
      for (let column = 0; column < columns; column += 1)
        values[column] = (values[column] ?? 0) + step * normalOf(change())
      if (as === 'BF16') roundToBfloat(values)
    }
    yield { values, scale }
  }
}

const encodeRow = ({ values, scale }: Row, dtype: Dtype, spread: number): Uint8Array => {
  if (dtype === 'I8') {
    const out = new Int8Array(values.length)
    for (let index = 0; index < out.length; index += 1)
      out[index] = Math.max(-127, Math.min(127, Math.round((values[index] ?? 0) / scale)))
    return new Uint8Array(out.buffer)
  }
  if (dtype === 'F8_E4M3')
    for (let index = 0; index < values.length; index += 1) values[index] = ((values[index] ?? 0) / spread) * smallScale
  return encodeFloats(values, dtype)
}

/** Joins small pieces into blocks of about 1 MiB. */
function* inBlocks(pieces: Iterable<Uint8Array>): Generator<Uint8Array> {
  let held: Uint8Array[] = []
  let bytes = 0
  for (const piece of pieces) {
    held.push(piece)
    bytes += piece.length
    if (bytes < blockBytes) continue
    yield Buffer.concat(held)
    held = []
    bytes = 0
  }
  yield Buffer.concat(held)
}

function* encodedRows(weights: Weights): Generator<Uint8Array> {
  const spread = spreadOf(weights.seed)
  for (const row of rowsOf(weights)) yield encodeRow(row, weights.dtype, spread)
}

function* rowScales(weights: Weights): Generator<Uint8Array> {
  const { update: _update, ...plain } = weights
  for (const { scale } of rowsOf(plain)) yield encodeFloats(Float32Array.of(scale), 'F32')
}

/** Ready to be written; an INT8 tensor is followed by the scales of its rows. */
export const fileTensorsOf = (weights: Weights): FileTensor[] => {
  const { name, dtype, rows, columns } = weights
  const shape = rows === 1 ? [columns] : [rows, columns]
  const tensor: FileTensor = { name, dtype, shape, blocks: () => inBlocks(encodedRows(weights)) }
  if (dtype !== 'I8') return [tensor]
  return [tensor, { name: `${name}_scale`, dtype: 'F32', shape: [rows], blocks: () => inBlocks(rowScales(weights)) }]
}
