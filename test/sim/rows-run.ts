import { type Hazard, hazards } from './rows-hazards.ts'
import { runHistory } from './rows-history.ts'

import { control, type Mutant } from './rows-mutants.ts'

/** Many histories, one after the other. */

export type Tally = {
  histories: number
  /** Histories that ended with something wrong, and the first of them in words. */
  wrong: number
  problems: string[]
  hazards: Map<Hazard, number>
  answers: { known: number; unknown: number; due: number }
  steps: number
}

const problemsListedMax = 5

/** The histories of `count` seeds from `first` on. A problem names its seed. */
export const runHistories = async (first: number, count: number): Promise<Tally> => {
  const tally: Tally = {
    histories: 0,
    wrong: 0,
    problems: [],
    hazards: new Map(hazards.map((hazard) => [hazard, 0])),
    answers: { known: 0, unknown: 0, due: 0 },
    steps: 0,
  }
  for (let seed = first; seed < first + count; seed += 1) {
    const outcome = await runHistory(seed).catch((error: unknown) => {
      throw new Error(`the history of SEED=${seed} fails`, { cause: error })
    })
    tally.histories += 1
    tally.steps += outcome.steps
    for (const hazard of outcome.hazards) tally.hazards.set(hazard, (tally.hazards.get(hazard) ?? 0) + 1)
    for (const name of ['known', 'unknown', 'due'] as const) tally.answers[name] += outcome[name]
    if (outcome.problems.length === 0) continue
    tally.wrong += 1
    if (tally.problems.length < problemsListedMax)
      tally.problems.push(`SEED=${seed}: ${outcome.problems.map(({ kind, text }) => `${kind}: ${text}`).join('; ')}`)
  }
  return tally
}

/** The first seed, of 1 to `seedsMax`, whose history shows what a mutant does wrong. */
export const findMutant = async ({ design, shows }: Mutant, seedsMax: number): Promise<number | undefined> => {
  for (let seed = 1; seed <= seedsMax; seed += 1) {
    const { problems } = await runHistory(seed, design)
    if (problems.some(({ kind }) => kind === shows)) return seed
  }
  return undefined
}

/** Seeds, of 1 to `seeds`, of which something is found with a store that the mutants' way of wrapping leaves as it is. */
export const findControl = async (seeds: number): Promise<number> => {
  let found = 0
  for (let seed = 1; seed <= seeds; seed += 1) {
    const { problems } = await runHistory(seed, control)
    if (problems.length > 0) found += 1
  }
  return found
}
