import type { ProofState } from '../proof/proof-state.ts'
import type { Clock } from '../ports.ts'
import type { Brake } from '../weights/deps.ts'
import { readRun } from './records.ts'

const knownForMs = 2000

/** Asks for the state of a run every two seconds. */
export const createBrake = ({ state, clock }: { state: Pick<ProofState, 'read'>; clock: Clock }): Brake => {
  const known = new Map<string, { moves: boolean; atMs: number }>()
  const moves = async (id: string): Promise<boolean> => {
    const last = known.get(id)
    if (last && clock.now() - last.atMs < knownForMs) return last.moves
    const status = (await readRun(state, id))?.status
    const found = status !== 'paused' && status !== 'cancelled'
    known.set(id, { moves: found, atMs: clock.now() })
    return found
  }
  return {
    moves,
    deadline: (run, deadline) => ({
      remainingMs: () => {
        // What it finds counts at the next look; where it cannot be read, the copy goes on.
        moves(run).catch(() => undefined)
        return known.get(run)?.moves === false ? 0 : deadline.remainingMs()
      },
    }),
  }
}
