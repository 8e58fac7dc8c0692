import { describe, expect, it } from 'vitest'
import { runHistory } from './weights-history.ts'

const only = process.env['SEED']
const histories = Number(process.env['HISTORIES'] ?? 2000)
const first = Number(only ?? process.env['FIRST'] ?? 1)
const last = only === undefined ? first + histories - 1 : first

describe('the weights pipeline under random histories', () => {
  it('replays a seed to the same history', async () => {
    for (const seed of [3, 14, 159]) expect(await runHistory(seed)).toEqual(await runHistory(seed))
  })

  it(
    `keeps its promises in the histories of seeds ${first} to ${last}`,
    { timeout: Math.max(300_000, histories * 200) },
    async () => {
      let killed = 0
      for (let seed = first; seed <= last; seed += 1) {
        const outcome = await runHistory(seed).catch((error: unknown) => {
          throw new Error(`the history of SEED=${seed} fails`, { cause: error })
        })
        killed += outcome.killed
        expect({ seed, problems: outcome.problems }).toEqual({ seed, problems: [] })
      }
      console.log(`weights simulator: seeds ${first} to ${last}, ${killed} calls killed`)
      expect(killed).toBeGreaterThanOrEqual(only === undefined ? histories / 4 : 0)
    },
  )
})
