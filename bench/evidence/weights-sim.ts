import { runVitest } from './run-vitest.ts'
import type { Topic } from './topic.ts'

const blockSeeds = 1000

/** In vitest, whose mocks take the compression's threads, and with them all that no seed decides, out of the simulation. */
export const weightsSim: Topic = {
  name: 'weights-sim',
  about: 'random histories of publishes, duplicates, crashes and deletes on the pipeline in memory',
  seedsDefault: 10_000,
  runs: (seeds) =>
    Array.from({ length: Math.ceil(seeds / blockSeeds) }, (_, block) => {
      const first = block * blockSeeds + 1
      const histories = Math.min(blockSeeds, seeds - block * blockSeeds)
      return {
        name: `seeds ${first} to ${first + histories - 1}`,
        run: async () => {
          const env = { FIRST: String(first), HISTORIES: String(histories) }
          const { problems } = await runVitest('test/sim/weights-sim.test.ts', env)
          return { figures: { histories }, problems }
        },
      }
    }),
}
