import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { emulatorFile } from '../../test/support/bigtable.ts'
import { convergeRun } from '../../test/stack/rows-converge.ts'
import { roundTrip } from '../../test/stack/rows-round-trip.ts'
import { runVitest } from './run-vitest.ts'
import type { Run, RunResult, Topic } from './topic.ts'

const roundTripItems = 10_000
const hotKeyChanges = 100_000
const operationsPerSeed = 4000

const inFolder = async (work: (dir: string) => Promise<RunResult>): Promise<RunResult> => {
  const dir = await mkdtemp(join(tmpdir(), 'lifeboat-rows-'))
  try {
    return await work(dir)
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}

const roundTripRun: Run = {
  name: `${roundTripItems} items through DynamoDB, stream, Bigtable and back`,
  run: () =>
    inFolder(async (dir) => {
      const { items, types, problems } = await roundTrip(dir, { seed: 1, count: roundTripItems })
      const missing = items === roundTripItems ? [] : [`${items} items came back`]
      return { figures: { items, types }, problems: [...problems, ...missing] }
    }),
}

const hotKeyRun: Run = {
  name: `a key with ${hotKeyChanges} changes at every second`,
  run: async () => {
    const env = { CHANGES: String(hotKeyChanges) }
    const { problems } = await runVitest('test/contract/as-of-hot-key.test.ts', env)
    return { figures: { changes: hotKeyChanges }, problems }
  },
}

const converge = (seed: number, target: 'embedded' | 'cbtemulator'): Run => ({
  name: `converges on ${target} with faults, seed ${seed}`,
  run: () =>
    inFolder(async (dir) => {
      const emulator = target === 'cbtemulator' ? emulatorFile() : undefined
      if (target === 'cbtemulator' && emulator === undefined) throw new Error('gcloud has no cbtemulator here')
      const options = { seed, operations: operationsPerSeed, dir, ...(emulator !== undefined && { emulator }) }
      const { problems, seed: _seed, ...figures } = await convergeRun(options)
      return { figures, problems }
    }),
})

export const rows: Topic = {
  name: 'rows',
  about:
    'feature rows over real sockets: round trip, a hot key at every second, convergence with lost replies and 503s',
  seedsDefault: 3,
  runs: (seeds) => [
    roundTripRun,
    hotKeyRun,
    ...Array.from({ length: seeds }, (_, index) => [
      converge(index + 1, 'embedded'),
      converge(index + 1, 'cbtemulator'),
    ]).flat(),
  ],
}
