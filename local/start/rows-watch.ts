import { join } from 'node:path'
import { createMetricsTail, numbersOf, total } from './watch.ts'

/** What `apply-changes` says of itself in its metrics since the start. Stale: older than what the row had, or coalesced. */
export type RowCounters = {
  applied: number
  stale: number
  deletedByTtl: number
  quarantined: number
  lagLastSeconds: number
  lagMaxSeconds: number
}

/** Counts the metrics below the runner's folder. */
export const createRowCounters = (dir: string): (() => Promise<RowCounters>) => {
  const tail = createMetricsTail(join(dir, 'lambda', 'logs', 'lifeboat-local-applyChanges.jsonl'))
  const counted = { applied: 0, stale: 0, deletedByTtl: 0, quarantined: 0, lagLastSeconds: 0, lagMaxSeconds: 0 }
  return async () => {
    await tail((line) => {
      counted.applied += total(line['RowsApplied'])
      counted.stale += total(line['RowsStale'])
      counted.deletedByTtl += total(line['RowsDeletedByTtl'])
      counted.quarantined += total(line['ChangesQuarantined'])
      const lags = numbersOf(line['RowLagSeconds'])
      counted.lagLastSeconds = lags.at(-1) ?? counted.lagLastSeconds
      counted.lagMaxSeconds = Math.max(counted.lagMaxSeconds, ...lags)
    })
    return { ...counted }
  }
}

/** Changes of which something became. */
export const settled = ({ applied, stale, quarantined }: RowCounters): number => applied + stale + quarantined
