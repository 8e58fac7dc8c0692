import type { Deadline } from '../weights/deps.ts'
import type { LagDeps } from './lag-deps.ts'

/** What became of one part of a measurement: the others go on where it fails. */
export type Attempt<T> = { value: T } | { error: unknown; reason: string }
export type Attempts = <T>(part: string, work: () => Promise<T>) => Promise<Attempt<T>>

const leastMs = 500

/** A part that hangs has failed, too, when `reserveMs` are left of the call. */
export const createAttempts =
  ({ limited }: Pick<LagDeps, 'limited'>, deadline: Deadline, reserveMs: number): Attempts =>
  async (part, work) => {
    try {
      return { value: await limited(work(), Math.max(leastMs, deadline.remainingMs() - reserveMs)) }
    } catch (error) {
      return { error, reason: `${part}: ${error instanceof Error ? error.message : String(error)}` }
    }
  }
