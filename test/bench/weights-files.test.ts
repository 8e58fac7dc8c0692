import { createHash } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createModelWeights, embedding } from '../../bench/bytes/model.ts'
import {
  generatedPairs,
  growVocabulary,
  updateAll,
  updateRows,
  updateShare,
  writePair,
} from '../../bench/bytes/pairs.ts'
import { tensorBytes, writeSafetensors } from '../../bench/bytes/safetensors-file.ts'
import { fileTensorsOf, type Weights } from '../../bench/bytes/weights.ts'
import { parseSafetensors } from '../../shared/weights/safetensors.ts'

const shape = { layers: 2, width: 64, inner: 160, vocabulary: 500 }
const model = createModelWeights(shape, { dtype: 'BF16', seed: 3 })
let dir = ''

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'lifeboat-weights-files-'))
})
afterEach(async () => rm(dir, { recursive: true }))

const write = async (weights: readonly Weights[], name = 'model.safetensors'): Promise<Buffer> => {
  const file = join(dir, name)
  await writeSafetensors(file, weights.flatMap(fileTensorsOf))
  return readFile(file)
}

/** The bytes of each tensor, as the parser that the plan uses finds them. */
const tensorsIn = (file: Buffer): Map<string, Buffer> => {
  const headerEnd = 8 + Number(file.readBigUInt64LE())
  const parsed = parseSafetensors(file.subarray(0, headerEnd), file.length)
  if (!parsed.ok) throw new Error(parsed.reason)
  return new Map(parsed.tensors.map(({ name, start, end }) => [name, file.subarray(start, end)]))
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')
const bfloats = (bytes: Buffer): number[] =>
  Array.from({ length: bytes.length / 2 }, (_, index) => {
    const bits = Buffer.from([0, 0, bytes[2 * index]!, bytes[2 * index + 1]!])
    return bits.readFloatLE()
  })
const floats = (bytes: Buffer): number[] =>
  Array.from({ length: bytes.length / 4 }, (_, at) => bytes.readFloatLE(4 * at))
const deviation = (values: readonly number[]): number =>
  Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / values.length)
const changedNames = (before: Map<string, Buffer>, after: Map<string, Buffer>): string[] =>
  [...after].filter(([name, bytes]) => !before.get(name)?.equals(bytes)).map(([name]) => name)

test.for([
  ['BF16', 2],
  ['F16', 2],
  ['F32', 4],
  ['F8_E4M3', 1],
  ['I8', 1],
] as const)('the same seed gives the same valid file of %s, another seed another', async ([dtype, width]) => {
  const made = createModelWeights(shape, { dtype, seed: 3 })
  const file = await write(made)
  expect(sha256(await write(made))).toBe(sha256(file))
  expect(sha256(await write(createModelWeights(shape, { dtype, seed: 4 })))).not.toBe(sha256(file))
  const tensors = tensorsIn(file)
  expect(tensors.get(embedding)).toHaveLength(500 * 64 * width)
  expect([...tensors.values()].reduce((sum, { length }) => sum + length, 0)).toBe(
    made.flatMap(fileTensorsOf).reduce((sum, tensor) => sum + tensorBytes(tensor), 0),
  )
})

test('a tensor that is not as long as its shape says is refused', async () => {
  const tensor = { name: 'a', dtype: 'F32', shape: [3], blocks: () => [new Uint8Array(8)] } as const
  await expect(writeSafetensors(join(dir, 'a'), [tensor])).rejects.toThrow('a has 8 bytes, its shape says 12')
})

test('BF16 stored as FP32 leaves the lower half of every value zero', async () => {
  const file = await write(createModelWeights(shape, { dtype: 'F32', as: 'BF16', seed: 3 }))
  const bytes = tensorsIn(file).get(embedding)!
  expect(bytes.every((byte, index) => index % 4 >= 2 || byte === 0)).toBe(true)
  expect(bytes.some((byte, index) => index % 4 === 2 && byte !== 0)).toBe(true)
})

test('INT8 uses its whole range in every row and keeps the scales beside', async () => {
  const tensors = tensorsIn(await write(createModelWeights(shape, { dtype: 'I8', seed: 3 })))
  const rows = tensors.get(embedding)!
  for (let row = 0; row < 500; row += 1) {
    const values = new Int8Array(rows.subarray(row * 64, (row + 1) * 64))
    expect(values.some((value) => Math.abs(value) === 127)).toBe(true)
  }
  expect(tensors.get(`${embedding}_scale`)).toHaveLength(500 * 4)
})

test.for([0.01, 0.1])('an update of %s is as large beside the tensor', async (strength) => {
  const all = createModelWeights(shape, { dtype: 'F32', seed: 3 })
  const [before, after] = [tensorsIn(await write(all)), tensorsIn(await write(updateAll(all, strength, 5)))]
  expect(changedNames(before, after)).toHaveLength(before.size)
  const [old, now] = [floats(before.get(embedding)!), floats(after.get(embedding)!)]
  const found = deviation(now.map((value, index) => value - old[index]!)) / deviation(old)
  expect(found).toBeGreaterThan(strength * 0.9)
  expect(found).toBeLessThan(strength * 1.1)
})

test('a share of the tensors is changed and no more of the bytes', async () => {
  const before = tensorsIn(await write(model))
  const after = tensorsIn(await write(updateShare(model, 0.1, 0.01, 11)))
  const changed = changedNames(before, after)
  const bytes = changed.reduce((sum, name) => sum + after.get(name)!.length, 0)
  const all = [...after.values()].reduce((sum, { length }) => sum + length, 0)
  expect(bytes / all).toBeGreaterThan(0.05)
  expect(bytes / all).toBeLessThanOrEqual(0.1)
})

test('a grown vocabulary begins with the rows that it had, and nothing else changes', async () => {
  const before = tensorsIn(await write(model))
  const after = tensorsIn(await write(growVocabulary(model, 7)))
  expect(changedNames(before, after)).toEqual([embedding])
  expect(after.get(embedding)).toHaveLength(507 * 128)
  expect(
    after
      .get(embedding)!
      .subarray(0, 500 * 128)
      .equals(before.get(embedding)!),
  ).toBe(true)
})

test('as many rows change as asked', async () => {
  const before = bfloats(tensorsIn(await write(model)).get(embedding)!)
  const after = bfloats(tensorsIn(await write(updateRows(model, 100, 0.05, 17))).get(embedding)!)
  const changed = new Set(after.flatMap((value, index) => (value === before[index] ? [] : [Math.floor(index / 64)])))
  expect(changed.size).toBe(100)
})

test('moved tensors and a rename keep every tensor', async () => {
  for (const id of ['moved', 'renamed']) {
    const pair = generatedPairs(shape).find((one) => one.id === id)!
    const versions = await writePair(join(dir, id), pair)
    const [before, after] = await Promise.all(
      versions.map(async ({ files }) => {
        const found = await Promise.all(files.map(async ({ file }) => [...tensorsIn(await readFile(file))]))
        return found.flat().map(([name, bytes]) => `${name} ${sha256(bytes)}`)
      }),
    )
    expect(before!.toSorted()).toEqual(after!.toSorted())
    expect(versions[0].files.map(({ path }) => path)).not.toEqual(versions[1].files.map(({ path }) => path))
  }
})

test('every pair has an id of its own', () => {
  const ids = generatedPairs(shape).map(({ id }) => id)
  expect(new Set(ids).size).toBe(ids.length)
})
