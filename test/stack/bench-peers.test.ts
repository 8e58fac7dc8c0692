import { expect, test } from 'vitest'
import { createModelWeights } from '../../bench/bytes/model.ts'
import { type Pair, updateShare, writePair } from '../../bench/bytes/pairs.ts'
import { competeLifeboat } from '../../bench/bytes/lifeboat.ts'
import { fileTensorsOf, type Weights } from '../../bench/bytes/weights.ts'
import { withFolder } from '../../bench/local-stack.ts'

/** The bench's own run of the pipeline: what it says of two versions, each restored by the command. */

const model = createModelWeights({ layers: 2, width: 768, inner: 1024, vocabulary: 100 }, { dtype: 'BF16', seed: 5 })

const pairTo = (after: readonly Weights[], name: string): Pair => ({
  id: 'test',
  kind: 'BF16',
  change: 'test',
  versions: () => [{ 'model.safetensors': model.flatMap(fileTensorsOf) }, { [name]: after.flatMap(fileTensorsOf) }],
})

const run = (pair: Pair) =>
  withFolder(async (dir) => {
    const versions = await writePair(dir, pair)
    const { versions: kept, bodyBytes } = await competeLifeboat(`${dir}/lifeboat`, versions)
    return { size: versions[0].size, kept, bodyBytes }
  })

const timeout = 180_000

test('another name keeps records alone', { timeout }, async () => {
  const renamed = await run(pairTo(model, 'renamed.safetensors'))
  expect(renamed.bodyBytes[0]).toBeGreaterThan(renamed.size / 2)
  expect(renamed.bodyBytes[0]).toBeLessThan(renamed.size)
  expect(renamed.bodyBytes[1]).toBe(0)
  expect(renamed.kept[1].bytes).toBeGreaterThan(0)
  expect(renamed.kept[1].bytes).toBeLessThan(50_000)
})

test('a changed tensor keeps no more than itself', { timeout }, async () => {
  const changed = await run(pairTo(updateShare(model, 0.1, 0.01, 6), 'model.safetensors'))
  expect(changed.bodyBytes[1]).toBeGreaterThan(0)
  expect(changed.bodyBytes[1]).toBeLessThan(changed.size * 0.1)
})
