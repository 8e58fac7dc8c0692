import { describe, expect, it } from 'vitest'
import { emulatorFile } from '../support/bigtable.ts'
import { required } from './bigtable-fuzz.ts'
import { runAgainstReference, runControl } from './bigtable-fuzz-run.ts'
import { plantedBugs } from './bigtable-planted.ts'

// `npm run evidence -- fuzz-bigtable` does the same with more than 20,000 operations.
const operations = 1500
const seed = Number(process.env['LIFEBOAT_SEED'] ?? 20261121)
const file = emulatorFile()

describe('random operations on Bigtable', () => {
  it('the reference does the same as itself', async () => {
    const { mismatch, operations: done } = await runControl(file, { seed, operations })
    expect([mismatch, done]).toEqual([undefined, operations])
  }, 120_000)

  it.skipIf(!file)(
    'the embedded server does the same as cbtemulator',
    async () => {
      const { mismatch, counts, operations: done } = await runAgainstReference(file, { seed, operations })
      expect([mismatch, done]).toEqual([undefined, operations])
      expect(required.filter((kind) => !counts[kind])).toEqual([])
    },
    120_000,
  )

  it.each(Object.keys(plantedBugs))(
    'finds out a server where %s',
    async (name) => {
      const { mismatch } = await runAgainstReference(file, { seed, operations, rules: plantedBugs[name]! })
      expect(mismatch).toBeDefined()
    },
    120_000,
  )
})
