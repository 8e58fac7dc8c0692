import { findingOf, repairRow } from './rows-difference.ts'
import { firstLook } from './rows-phases.ts'
import { type Difference, settleSuspects } from './rows-suspects.ts'
import { addFinding, type CompareDeps, type RowsWork } from './rows-work.ts'
import type { Finding } from './report.ts'

/**
 * Compares a table with its replica. Every item of the source is compared with its row in one pass, a page at a time; then the
 * keys of the replica are summed by bucket, and only where the sums differ from the source's are rows looked up in the source.
 * What differed is looked at again until it is equal, or differs in truth (rows-suspects.ts), and is then repaired where asked.
 */

/** The scan waits while so many are to be looked at again: memory, and the state between calls, are bounded. */
const suspectsMax = 10_000
/** Without a repair so many say enough. */
const differencesMax = 10_000

/** `page`: go on; `found`: a difference was found, and is to be put down; `waiting`: nothing can be done for some seconds. */
export type Step = { kind: 'page' | 'waiting' } | { kind: 'found'; difference: Difference; finding: Finding }

async function* settle(deps: CompareDeps, work: RowsWork): AsyncGenerator<Step> {
  const { rule, run } = work
  for await (const difference of settleSuspects(deps, work)) {
    const repaired = run.repair ? await repairRow(deps, rule, difference) : 'no'
    run.counts[difference.kind] += 1
    if (repaired === 'yes') run.counts.repaired += 1
    const finding = findingOf(rule, difference, repaired)
    addFinding(work, finding)
    yield { kind: 'found', difference, finding }
  }
}

const isTooMuch = ({ run }: RowsWork): boolean => !run.repair && run.findingsTotal >= differencesMax

/** Goes on with the work until it is done; every step is a place to stop at, and the work can then be put down. */
export async function* compareRows(deps: CompareDeps, work: RowsWork): AsyncGenerator<Step> {
  const { run } = work
  if (run.phase !== 'settle' && run.phase !== 'done')
    for await (const _ of firstLook(deps, work)) {
      do {
        yield* settle(deps, work)
        if (isTooMuch(work)) break
        yield { kind: work.suspects.size < suspectsMax ? 'page' : 'waiting' }
      } while (work.suspects.size >= suspectsMax)
      if (isTooMuch(work)) break
    }
  while (work.suspects.size > 0 && !isTooMuch(work)) {
    yield* settle(deps, work)
    if (work.suspects.size > 0) yield { kind: 'waiting' }
  }
  if (isTooMuch(work)) {
    const detail = `the comparison ended early; ${work.suspects.size} rows more differed at the first look`
    run.findings.unshift({ kind: 'too-many', subject: work.rule.name, detail, repaired: 'no' })
  }
  run.phase = 'done'
}
