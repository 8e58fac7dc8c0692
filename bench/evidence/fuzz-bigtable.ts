import { runAgainstReference, runControl } from '../../test/contract/bigtable-fuzz-run.ts'
import { required } from '../../test/contract/bigtable-fuzz.ts'
import { plantedBugs } from '../../test/contract/bigtable-planted.ts'
import { emulatorFile } from '../../test/support/bigtable.ts'
import type { Run, RunResult, Topic } from './topic.ts'

const operationsPerSeed = 24_000
const controlOperations = 5000
const plantedOperations = 5000
const plantedSeed = 1
const atLeastEach = 100

const requireEmulator = (): string => {
  const file = emulatorFile()
  if (file === undefined) throw new Error('gcloud has no cbtemulator here (gcloud components install bigtable)')
  return file
}

const compare = async (seed: number): Promise<RunResult> => {
  const { operations, counts, mismatch } = await runAgainstReference(requireEmulator(), {
    seed,
    operations: operationsPerSeed,
  })
  const seldom = required.filter((kind) => (counts[kind] ?? 0) < atLeastEach)
  const problems = [
    ...(mismatch === undefined ? [] : [mismatch]),
    ...seldom.map((kind) => `${kind} was used ${counts[kind] ?? 0} times, fewer than ${atLeastEach}`),
  ]
  return { figures: { operations, mismatches: mismatch === undefined ? 0 : 1, used: counts }, problems }
}

const findPlanted = async (name: string): Promise<RunResult> => {
  const rules = plantedBugs[name] ?? {}
  const run = { seed: plantedSeed, operations: plantedOperations, rules }
  const { operations, mismatch } = await runAgainstReference(requireEmulator(), run)
  const problems = mismatch === undefined ? [`not found in ${operations} operations`] : []
  return { figures: { foundAfterOperations: operations }, problems }
}

const control: Run = {
  name: 'cbtemulator against itself',
  run: async () => {
    const { operations, mismatch } = await runControl(requireEmulator(), { seed: 1, operations: controlOperations })
    return { figures: { operations }, problems: mismatch === undefined ? [] : [mismatch] }
  },
}

export const fuzzBigtable: Topic = {
  name: 'fuzz-bigtable',
  about: 'random operations, the embedded Bigtable against cbtemulator, and servers with planted bugs',
  seedsDefault: 1,
  runs: (seeds) => [
    control,
    ...Array.from({ length: seeds }, (_, index) => ({ name: `seed ${index + 1}`, run: () => compare(index + 1) })),
    ...Object.keys(plantedBugs).map((name) => ({ name: `planted: ${name}`, run: () => findPlanted(name) })),
  ],
}
