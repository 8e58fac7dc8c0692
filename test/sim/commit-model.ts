/**
 * An exhaustive model of commit against collection (docs/format.md, "Commit"): one chunk, two plans that need it, two
 * collectors. Each step is one request to a server; every interleaving of every number of crashes, duplicate messages,
 * collector rounds and later plans is explored, because the state is finite:
 *
 * - Generations and metagenerations only grow, so a holder of an old pair can do no more than find it unequal. The
 *   state keeps who still holds the current one (`current`) and who does not (`outdated`), never the number.
 * - A collector whose pair is outdated can no longer write, and reading changes nothing: it counts as idle.
 */

import { actionsOf, type CommitRules } from './commit-actions.ts'
import {
  none,
  current,
  sealed,
  lost,
  firstListing,
  decide,
  encodeCollector,
  encode,
  decode,
  freshPlan,
  idleCollector,
  type State,
} from './commit-state.ts'

/** Collectors that can no longer write are idle, and of states that differ by who is first only one is kept. */
const canonical = (s: State, rules: CommitRules): number => {
  s.collectors.forEach((collector, j) => {
    const reading = collector.step >= firstListing && collector.step <= decide
    const canWrite =
      rules.condemn === 'after listing' ||
      collector.holdsMetageneration ||
      (rules.deleteOn === 'generation' && collector.holdsGeneration)
    if (reading && !canWrite) s.collectors[j] = idleCollector()
  })
  for (const p of s.plans) if (p.looked[0] > p.looked[1]) p.looked.reverse()
  if (encodeCollector(s.collectors[0]) > encodeCollector(s.collectors[1])) s.collectors.reverse()
  return encode(s)
}

const start = (present: 0 | 1): State => ({
  present,
  condemned: 0,
  retained: 0,
  index: present ? current : none,
  plans: [freshPlan(), freshPlan()],
  collectors: [idleCollector(), idleCollector()],
})

export type Exploration = {
  states: number
  /** States in which a sealed manifest names a generation that is gone, or was overwritten; not explored further. */
  losses: number
  /** States in which both plans are sealed, and in which the chunk is gone: a model that never gets there proves nothing. */
  bothSealed: number
  collected: number
  complete: boolean
}

/**
 * Explores every state that can be reached from an empty replica and from one that holds the chunk.
 * `statesMax` bounds the run (`complete` is then false); `stopAtLoss` ends it at the first loss.
 */
export const exploreCommit = (options: {
  rules: CommitRules
  statesMax?: number
  stopAtLoss?: boolean
}): Exploration => {
  const { rules, statesMax = Infinity, stopAtLoss = false } = options
  const actions = actionsOf(rules)
  const queue = [canonical(start(0), rules), canonical(start(1), rules)]
  const seen = new Set(queue)
  const found: Exploration = { states: 0, losses: 0, bothSealed: 0, collected: 0, complete: false }
  for (let code = queue.pop(); code !== undefined; code = queue.pop()) {
    if (found.states === statesMax || (stopAtLoss && found.losses > 0)) return found
    const s = decode(code)
    found.states += 1
    found.collected += s.present ? 0 : 1
    found.bothSealed += s.plans.every((p) => p.verdict === sealed) ? 1 : 0
    if (s.plans.some((p) => p.verdict === lost)) {
      found.losses += 1
      continue
    }
    for (const act of actions) {
      const after = decode(code)
      if (!act(after)) continue
      const next = canonical(after, rules)
      if (seen.has(next)) continue
      seen.add(next)
      queue.push(next)
    }
  }
  return { ...found, complete: true }
}
