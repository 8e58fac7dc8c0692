import { describe, expect, it } from 'vitest'
import { seldom } from './rows-hazards.ts'
import { runHistory } from './rows-history.ts'
import { mutants } from './rows-mutants.ts'
import { findControl, findMutant, runHistories } from './rows-run.ts'

const only = process.env['SEED']
const histories = only === undefined ? Number(process.env['HISTORIES'] ?? 3000) : 1
const first = Number(only ?? process.env['FIRST'] ?? 1)
/** Enough that each hazard's part can be told. */
const historiesForParts = 1000
const mutantSeedsMax = 2000

describe('rows under random histories', () => {
  it('replays a seed to the same history', async () => {
    for (const seed of [3, 14, 159]) expect(await runHistory(seed)).toEqual(await runHistory(seed))
  })

  it(
    `converge, and answer truly of the past, in the histories of seeds ${first} to ${first + histories - 1}`,
    { timeout: Math.max(120_000, histories * 100) },
    async () => {
      const tally = await runHistories(first, histories)
      const { known, unknown, due } = tally.answers
      console.log(`rows simulator: ${histories} histories, ${known} answers known, ${due} due, ${unknown} unknown`)
      expect({ wrong: tally.wrong, problems: tally.problems }).toEqual({ wrong: 0, problems: [] })
      if (histories < historiesForParts) return
      expect(seldom(tally.hazards, histories)).toEqual([])
      expect(due).toBeGreaterThan(histories * 3)
      expect(known).toBeGreaterThan(unknown)
    },
  )
})

describe.skipIf(only !== undefined)('designs that are wrong', () => {
  it.each(mutants)('$name is found', { timeout: 120_000 }, async (mutant) => {
    const seed = await findMutant(mutant, mutantSeedsMax)
    console.log(`rows simulator: ${mutant.name} is found by seed ${seed}`)
    expect(seed).toBeDefined()
  })

  it('finds nothing where the mutants change nothing', { timeout: 120_000 }, async () => {
    expect(await findControl(300)).toBe(0)
  })
})
