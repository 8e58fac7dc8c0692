import type { WeightsDeps } from './deps.ts'
import type { ObjectRow } from './ledger.ts'
import { recordFailure } from './outcome.ts'
import { touchRelease } from './plan.ts'

/** How a plan ends without a manifest. */

const attemptsMax = 2

const end = async (
  deps: WeightsDeps,
  row: ObjectRow,
  state: 'superseded' | 'refused',
  reason: string,
): Promise<void> => {
  const current = await deps.objects.get(row.traceId)
  if (current?.state !== 'copying' || current.planId !== row.planId) return
  // The row comes last: a call that is cut off before leaves it copying, and everything is done again.
  const { bucket, key, etag } = row.source
  await recordFailure(deps, { state, traceId: row.traceId, reason, bucket, key, version: row.version, etag })
  if (row.release) await touchRelease(deps, { ...row, state }, row.release)
  await deps.objects.update(row.traceId, row.planId, { state, reason })
}

/** The version was replaced or removed in the source: out of the lag, and the current object is planned at once. */
export const supersede = async (deps: WeightsDeps, row: ObjectRow, why: string): Promise<void> => {
  await end(deps, row, 'superseded', `replaced or removed in the source while it was copied: ${why}`)
  await deps.objectsQueue.send([{ lifeboat: 1, kind: 'plan', bucket: row.source.bucket, key: row.source.key }])
}

/** Ends the plan of a version that the source no longer has: nothing else would, once its units are lost or of no use. */
export const endReplaced = async (deps: WeightsDeps, traceId: string): Promise<void> => {
  const row = await deps.objects.get(traceId)
  if (row?.state === 'copying')
    await end(deps, row, 'superseded', 'replaced or removed in the source before it was copied whole')
}

/** Ends the plan of a version whose backfill was cancelled or has ended otherwise; another backfill plans it anew. */
export const endCancelled = async (deps: WeightsDeps, row: ObjectRow): Promise<void> =>
  end(deps, row, 'superseded', `backfill ${row.backfill ?? ''} ended before this was copied whole`)

/** Plans the version again: the same plan, or another under the next attempt. */
export const orderPlan = async (deps: WeightsDeps, row: ObjectRow, attempt?: number): Promise<void> => {
  const { bucket, key, versionId } = row.source
  await deps.objectsQueue.send([
    {
      lifeboat: 1,
      kind: 'plan',
      bucket,
      key,
      traceId: row.traceId,
      ...(attempt === undefined ? {} : { attempt }),
      ...(versionId === undefined ? {} : { versionId }),
    },
  ])
}

/** Copies the version anew under another plan. */
export const replan = async (deps: WeightsDeps, row: ObjectRow): Promise<void> => orderPlan(deps, row, row.attempt + 1)

/** The bytes are not those that the source's checksum speaks of: one copy anew may be a memory flip, twice is refused. */
export const mismatch = async (deps: WeightsDeps, row: ObjectRow, reason: string): Promise<'replanned' | 'refused'> => {
  deps.telemetry.count('ValidationFailures', 1)
  if (row.attempt + 1 < attemptsMax) {
    deps.telemetry.log('warn', `copied anew: ${reason}`, { stage: 'commit', traceId: row.traceId })
    await replan(deps, row)
    return 'replanned'
  }
  await end(deps, row, 'refused', reason)
  return 'refused'
}
