import { hazards, seldom } from '../../test/sim/rows-hazards.ts'
import { mutants } from '../../test/sim/rows-mutants.ts'
import { findControl, findMutant, runHistories } from '../../test/sim/rows-run.ts'
import type { Run, RunResult, Topic } from './topic.ts'

const blockHistories = 5000
const mutantSeedsMax = 5000
const controlSeeds = 2000

const runBlock = async (first: number, count: number): Promise<RunResult> => {
  const { histories, wrong, problems, answers, steps, ...tally } = await runHistories(first, count)
  const few = seldom(tally.hazards, histories).map((hazard) => `fewer than 1% have ${hazard}`)
  const counts = Object.fromEntries(hazards.map((hazard) => [hazard, tally.hazards.get(hazard) ?? 0]))
  return { figures: { histories, divergent: wrong, steps, answers, hazards: counts }, problems: [...problems, ...few] }
}

const mutantRuns: Run[] = mutants.map((mutant) => ({
  name: `wrong design: ${mutant.name}`,
  run: async () => {
    const foundBySeed = await findMutant(mutant, mutantSeedsMax)
    if (foundBySeed === undefined) return { figures: {}, problems: [`not found by ${mutantSeedsMax} seeds`] }
    // Text, since a sum of seeds says nothing.
    return { figures: { foundBySeed: String(foundBySeed), mutantsFound: 1 }, problems: [] }
  },
}))

const controlRun: Run = {
  name: 'the right design, put in as the wrong ones are',
  run: async () => {
    const found = await findControl(controlSeeds)
    return { figures: { controlSeeds }, problems: found === 0 ? [] : [`${found} histories are wrong`] }
  },
}

export const rowsSim: Topic = {
  name: 'rows-sim',
  about:
    'random histories of a table, its streams, backfill, rereads and redrive on the row store in memory, and wrong designs',
  seedsDefault: 100_000,
  runs: (seeds) => [
    ...Array.from({ length: Math.ceil(seeds / blockHistories) }, (_, block) => {
      const first = block * blockHistories + 1
      const count = Math.min(blockHistories, seeds - block * blockHistories)
      return { name: `seeds ${first} to ${first + count - 1}`, run: () => runBlock(first, count) }
    }),
    ...mutantRuns,
    controlRun,
  ],
}
