import type { Deadline, WeightsDeps } from './deps.ts'
import { commitObject, resendUnits } from './commit.ts'
import type { ObjectRow } from './ledger.ts'
import { evaluateRelease } from './release.ts'

/** A plan without progress is sent again after a third of the RPO, then after twice as long each time. */
const rpoMsPerMinute = 60_000 / 3
const doublingsMax = 6
const reserveMs = 60_000

/** How long nothing may be heard of work before it counts as lost. */
export const quietMs = (deps: Pick<WeightsDeps, 'config'>): number => deps.config.rpo.objectsMinutes * rpoMsPerMinute

/** Sends a plan's units again where none was done since the sweep looked last. True when it did. */
const nudge = async (deps: WeightsDeps, row: ObjectRow): Promise<boolean> => {
  const now = deps.clock.now()
  if (row.left !== (row.seenLeft ?? row.segments)) {
    await deps.objects.update(row.traceId, row.planId, { seenLeft: row.left, seenAt: now })
    return false
  }
  const nudges = row.nudges ?? 0
  const since = Math.max(row.plannedAt, row.seenAt ?? 0, row.nudgedAt ?? 0)
  if (now - since <= quietMs(deps) * 2 ** Math.min(nudges, doublingsMax)) return false
  await deps.objects.update(row.traceId, row.planId, { nudgedAt: now, nudges: nudges + 1 })
  await resendUnits(deps, row)
  return true
}

async function* inTurn({ objects }: WeightsDeps): AsyncGenerator<ObjectRow> {
  yield* objects.pending('live')
  yield* objects.pending('backfill')
}

export type Swept = {
  pending: number
  committed: number
  resent: number
  failed: number
  releases: number
  finished: boolean
}

/**
 * Finds what no trigger announced: objects whose units are all done, plans whose units were lost, releases that wait for
 * time to pass. One failure does not keep the rest from being looked at.
 */
export const sweep = async (deps: WeightsDeps, deadline: Deadline): Promise<Swept> => {
  const swept: Swept = { pending: 0, committed: 0, resent: 0, failed: 0, releases: 0, finished: true }
  const guarded = async (work: () => Promise<void>, fields: Record<string, unknown>): Promise<void> => {
    try {
      await work()
    } catch (error) {
      swept.failed += 1
      deps.telemetry.log('error', 'the sweep passed over one', { ...fields, error })
    }
  }
  // A long backlog of objects must not keep releases from being looked at: those that wait for time have only the sweep.
  const objectsEndMs = (deadline.remainingMs() + reserveMs) / 2
  for await (const row of inTurn(deps)) {
    if (deadline.remainingMs() < objectsEndMs) {
      swept.finished = false
      break
    }
    swept.pending += 1
    await guarded(
      async () => {
        if (row.left === 0) swept.committed += (await commitObject(deps, row.traceId, deadline)) === 'sealed' ? 1 : 0
        // A backfill sends its own units again: it may be paused.
        else if (row.backfill === undefined && (await nudge(deps, row))) swept.resent += 1
      },
      { traceId: row.traceId },
    )
  }
  for await (const release of deps.releases.open()) {
    if (deadline.remainingMs() < reserveMs) return { ...swept, finished: false }
    swept.releases += 1
    await guarded(() => evaluateRelease(deps, release.bucket, release, { sweep: true }), { model: release.model })
  }
  return swept
}
