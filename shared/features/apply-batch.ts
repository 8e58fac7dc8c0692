import { isRetryable } from '../errors.ts'
import type { Deadline } from '../weights/deps.ts'
import { type Applied, applyChanges } from './apply.ts'
import { positionOf } from './change.ts'
import type { RowsDeps } from './deps.ts'
import { changeTraceId } from './trace.ts'

/** From which sequence number Lambda hands the rest of the batch over again; empty when all of it is done. */
export type BatchAnswer = { batchItemFailures: { itemIdentifier: string }[] }

const traceOf = (record: unknown): string => {
  const { arn, sequenceNumber } = positionOf(record)
  return changeTraceId(arn, sequenceNumber)
}

const timeOf = (record: unknown): number => {
  const { dynamodb } = (record ?? {}) as { dynamodb?: { ApproximateCreationDateTime?: unknown } }
  return typeof dynamodb?.ApproximateCreationDateTime === 'number' ? dynamodb.ApproximateCreationDateTime : NaN
}

/** How old the oldest change of a batch is: its times are floored to the second, so up to one second is added. */
const lagOf = (records: readonly unknown[], nowMs: number): number | undefined => {
  const oldest = Math.min(...records.map(timeOf).filter((time) => !Number.isNaN(time)))
  return Number.isFinite(oldest) ? Math.max(0, nowMs / 1000 - oldest) : undefined
}

const countApplied = ({ telemetry }: RowsDeps, { applied, stale, removedByTtl }: Applied): void => {
  telemetry.count('RowsApplied', applied)
  telemetry.count('RowsStale', stale)
  telemetry.count('RowsDeletedByTtl', removedByTtl)
}

/** Applies a batch of a shard, and counts and logs what became of it; a lag is told only of a batch that is done. */
export const applyBatch = async (
  deps: RowsDeps,
  records: readonly unknown[],
  deadline: Deadline,
): Promise<BatchAnswer> => {
  if (records.length === 0) return { batchItemFailures: [] }
  const outcome = await applyChanges(deps, records, deadline)
  const { failedFrom, error, ...counts } = outcome
  const { telemetry, clock } = deps
  countApplied(deps, outcome)
  const fields = {
    stage: 'apply',
    changes: records.length,
    ...counts,
    traceId: traceOf(records[0]),
    lastTraceId: traceOf(records.at(-1)),
  }
  if (failedFrom !== undefined) {
    telemetry.count('ApplyFailures', 1)
    const failure = { failedFrom, retryable: isRetryable(error), ...(error === undefined ? {} : { error }) }
    telemetry.log('warn', 'changes not all applied: Lambda hands over the rest again', { ...fields, ...failure })
    return { batchItemFailures: [{ itemIdentifier: failedFrom }] }
  }
  const lagSeconds = lagOf(records, clock.now())
  if (lagSeconds !== undefined) telemetry.count('RowLagSeconds', lagSeconds, 'Seconds')
  telemetry.log('info', 'changes applied', { ...fields, ...(lagSeconds === undefined ? {} : { lagSeconds }) })
  return { batchItemFailures: [] }
}
