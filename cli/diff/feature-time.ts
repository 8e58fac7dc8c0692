import { LifeboatError } from '../../shared/errors.ts'
import { newestHeartbeat } from '../../shared/proof/heartbeat.ts'
import type { CliContext, GlobalOptions } from '../context.ts'

const readEveryMs = 30_000

/** The feature time of a table as the last heartbeats say it; undefined where the replica or a heartbeat cannot be read. */
export const createFeatureTimes = (
  context: CliContext,
  options: GlobalOptions,
): ((table: string) => Promise<number | undefined>) => {
  let readAt = -Infinity
  let known: number | undefined
  return async (table) => {
    if (context.now() - readAt < readEveryMs) return known
    readAt = context.now()
    try {
      const { store } = await context.openReplica(options)
      const beat = await newestHeartbeat(store, context.now())
      const time = beat?.tables.find((each) => each.table === table)?.featureTime ?? undefined
      known = time === undefined ? undefined : Date.parse(time)
    } catch (error) {
      if (!(error instanceof LifeboatError)) throw error
      known = undefined
    }
    return known
  }
}
