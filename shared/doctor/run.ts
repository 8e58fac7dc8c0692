import { mapInOrder, toArray } from '../bounded.ts'
import { type Check, type Checked, unknown } from './check.ts'

const checksAtOnce = 8

const runOne = async (check: Check): Promise<Checked> => {
  const { id, side, subject, title } = check
  const about = { id, side, subject, title }
  try {
    return { ...about, ...(await check.run()) }
  } catch (error) {
    // Denied, unreachable, not understood: whatever kept it from being looked at is the reason.
    return { ...about, ...unknown(error instanceof Error ? error.message : String(error)) }
  }
}

/** Runs every check, each on its own: one that fails says nothing of another. Answers in the order of `checks`. */
export const runChecks = (checks: readonly Check[]): Promise<Checked[]> =>
  toArray(mapInOrder(checks, checksAtOnce, runOne))
