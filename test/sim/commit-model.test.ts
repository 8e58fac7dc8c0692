import { describe, expect, test } from 'vitest'
import { designRules, losingRules } from './commit-actions.ts'
import { exploreCommit } from './commit-model.ts'

describe('commit against collection, every interleaving', () => {
  test('the design loses nothing in any state', { timeout: 180_000 }, () => {
    const found = exploreCommit({ rules: designRules })
    console.log(`commit model: ${found.states} states, ${found.losses} losses`)
    expect(found).toMatchObject({ complete: true, losses: 0 })
    expect(found.states).toBeGreaterThan(1_000_000)
    expect(found.bothSealed).toBeGreaterThan(0)
    expect(found.collected).toBeGreaterThan(0)
  })

  test.each(Object.entries(losingRules))('%s loses data', { timeout: 60_000 }, (_name, rules) => {
    expect(exploreCommit({ rules, stopAtLoss: true }).losses).toBe(1)
  })

  test('a pending manifest after the copy but before the last look costs work, not data', { timeout: 180_000 }, () => {
    const found = exploreCommit({ rules: { ...designRules, pendingBefore: 'look' } })
    expect(found).toMatchObject({ complete: true, losses: 0 })
  })

  test('a bound ends the run and says so', () => {
    expect(exploreCommit({ rules: designRules, statesMax: 1000 })).toMatchObject({ states: 1000, complete: false })
  })
})
