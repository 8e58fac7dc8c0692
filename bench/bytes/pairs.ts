import { mkdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { LocalFile } from '../../local/start/publish.ts'
import { createNumbers } from '../../local/start/synthetic-model.ts'
import { bytesPerElement, type Dtype } from './dtypes.ts'
import { createModelWeights, embedding, type ModelShape } from './model.ts'
import { type FileTensor, writeSafetensors } from './safetensors-file.ts'
import { fileTensorsOf, type Weights } from './weights.ts'

/** Pairs of versions of one model: what publishers do to a model that is there already. */

/** Files by name. */
export type Version = Readonly<Record<string, readonly FileTensor[]>>

/**
 * `kind` names what the first version is: pairs of the same kind begin with the same bytes.
 * `versions` makes both when it is called.
 */
export type Pair = {
  id: string
  kind: string
  change: string
  versions: () => [before: Version, after: Version]
}

const fileName = 'model.safetensors'
const shardName = (index: number, count: number): string =>
  `model-${String(index + 1).padStart(5, '0')}-of-${String(count).padStart(5, '0')}.safetensors`

const tensorsOf = (weights: readonly Weights[]): FileTensor[] => weights.flatMap(fileTensorsOf)
const oneFile = (weights: readonly Weights[], name = fileName): Version => ({ [name]: tensorsOf(weights) })
const sizeOf = ({ rows, columns, dtype }: Weights): number => rows * columns * bytesPerElement[dtype]

/** Fisher and Yates, by seed. */
const shuffled = <T>(items: readonly T[], seed: number): T[] => {
  const next = createNumbers(seed)
  const out = [...items]
  for (let last = out.length - 1; last > 0; last -= 1) {
    const chosen = next() % (last + 1)
    const [a, b] = [out[last], out[chosen]]
    if (a !== undefined && b !== undefined) [out[last], out[chosen]] = [b, a]
  }
  return out
}

export const updateAll = (weights: readonly Weights[], strength: number, seed: number): Weights[] =>
  weights.map((one) => ({ ...one, update: { strength, seed } }))

/** Matrices of layers, at random, until `share` of the bytes is reached and never passed. */
export const updateShare = (weights: readonly Weights[], share: number, strength: number, seed: number): Weights[] => {
  let left = weights.reduce((sum, one) => sum + sizeOf(one), 0) * share
  const chosen = new Set<string>()
  for (const one of shuffled(weights, seed)) {
    if (one.rows === 1 || !one.name.includes('.layers.') || sizeOf(one) > left) continue
    left -= sizeOf(one)
    chosen.add(one.name)
  }
  return weights.map((one) => (chosen.has(one.name) ? { ...one, update: { strength, seed } } : one))
}

const editEmbedding = (weights: readonly Weights[], edit: (found: Weights) => Weights): Weights[] =>
  weights.map((one) => (one.name === embedding ? edit(one) : one))

/** Rows at the end of the first tensor; all that comes after it moves. */
export const growVocabulary = (weights: readonly Weights[], rows: number): Weights[] =>
  editEmbedding(weights, (found) => ({ ...found, rows: found.rows + rows }))

export const updateRows = (weights: readonly Weights[], count: number, strength: number, seed: number): Weights[] =>
  editEmbedding(weights, (found) => {
    const next = createNumbers(seed)
    const rows = new Set<number>()
    while (rows.size < Math.min(count, found.rows)) rows.add(next() % found.rows)
    return { ...found, update: { strength, seed, rows } }
  })

/** Every `count`th tensor into the same shard. */
const dealt = (weights: readonly Weights[], count: number): Version =>
  Object.fromEntries(
    Array.from({ length: count }, (_, shard) => [
      shardName(shard, count),
      tensorsOf(weights.filter((_weights, index) => index % count === shard)),
    ]),
  )

/** Equal halves in the order of the file. */
const halved = (weights: readonly Weights[]): Version => {
  const middle = Math.ceil(weights.length / 2)
  return {
    [shardName(0, 2)]: tensorsOf(weights.slice(0, middle)),
    [shardName(1, 2)]: tensorsOf(weights.slice(middle)),
  }
}

const ofBfloats = (shape: ModelShape): Pair[] => {
  const kind = 'BF16'
  const model = createModelWeights(shape, { dtype: 'BF16', seed: 1 })
  const pair = (id: string, change: string, after: () => Version): Pair => ({
    id,
    kind,
    change,
    versions: () => [oneFile(model), after()],
  })
  return [
    pair('share', '5% of the tensors by 1%', () => oneFile(updateShare(model, 0.05, 0.01, 11))),
    pair('all-0.1', 'every tensor by 0.1%', () => oneFile(updateAll(model, 0.001, 12))),
    pair('all-1', 'every tensor by 1%', () => oneFile(updateAll(model, 0.01, 13))),
    pair('all-5', 'every tensor by 5%', () => oneFile(updateAll(model, 0.05, 14))),
    pair('all-10', 'every tensor by 10%', () => oneFile(updateAll(model, 0.1, 15))),
    pair('grown', '64 rows more in the vocabulary', () => oneFile(growVocabulary(model, 64))),
    {
      ...pair('moved', 'tensors moved from 2 shards into 3', () => dealt(shuffled(model, 16), 3)),
      kind: 'BF16, 2 shards',
      versions: () => [halved(model), dealt(shuffled(model, 16), 3)],
    },
    pair('rows', '100 rows of the vocabulary by 1%', () => oneFile(updateRows(model, 100, 0.01, 17))),
    pair('renamed', 'another file name', () => oneFile(model, 'renamed.safetensors')),
  ]
}

const ofOther = (shape: ModelShape, id: string, kind: string, made: { dtype: Dtype; as?: 'BF16' }): Pair => {
  // Four bytes an element: half of the layers make a file as large.
  const layers = made.dtype === 'F32' ? shape.layers / 2 : shape.layers
  const model = createModelWeights({ ...shape, layers }, { ...made, seed: 2 })
  return {
    id,
    kind,
    change: 'every tensor by 1%',
    versions: () => [oneFile(model), oneFile(updateAll(model, 0.01, 21))],
  }
}

/** Every pair of generated weights. */
export const generatedPairs = (shape: ModelShape): Pair[] => [
  ...ofBfloats(shape),
  ofOther(shape, 'fp16', 'FP16', { dtype: 'F16' }),
  ofOther(shape, 'fp32', 'FP32', { dtype: 'F32' }),
  ofOther(shape, 'bf16-in-fp32', 'BF16 stored as FP32', { dtype: 'F32', as: 'BF16' }),
  ofOther(shape, 'int8', 'INT8', { dtype: 'I8' }),
  ofOther(shape, 'fp8', 'FP8 (E4M3)', { dtype: 'F8_E4M3' }),
]

/** Both versions on disk, each in a folder of its own; `size` of all files. */
export type Folder = { dir: string; files: LocalFile[]; size: number }

const writeVersion = async (dir: string, version: Version): Promise<Folder> => {
  await mkdir(dir, { recursive: true })
  const files: LocalFile[] = []
  for (const [path, tensors] of Object.entries(version)) {
    const file = join(dir, path)
    await writeSafetensors(file, tensors)
    files.push({ path, file, size: (await stat(file)).size })
  }
  return { dir, files, size: files.reduce((sum, { size }) => sum + size, 0) }
}

export const writePair = async (dir: string, pair: Pair): Promise<[before: Folder, after: Folder]> => {
  const [before, after] = pair.versions()
  return [await writeVersion(join(dir, 'v1'), before), await writeVersion(join(dir, 'v2'), after)]
}
