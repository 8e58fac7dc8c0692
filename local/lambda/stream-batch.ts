import { failedOf } from './batch-answer.ts'
import type { Outcome } from './instance.ts'
import type { StreamRecord } from './stream-client.ts'

export type BatchPolicy = { bisect: boolean; retriesMax: number; recordAgeMaxMs: number; partialFailures: boolean }
export type GivenUp = {
  records: StreamRecord[]
  condition: 'RetryAttemptsExhausted' | 'RecordAgeExceeded'
  /** How often these records were handed to the function. */
  invocations: number
  outcome: Outcome | undefined
}
export type BatchPorts = {
  invoke(records: StreamRecord[]): Promise<Outcome>
  /** The last record of those that need no more work. */
  checkpoint(sequenceNumber: string): void
  giveUp(given: GivenUp): Promise<void>
  /** Throws to end the batch where it is: what has no checkpoint comes again. */
  backOff(retry: number): Promise<void>
  now(): number
}

type Piece = { records: StreamRecord[]; retries: number; invocations: number; outcome: Outcome | undefined }

const sequenceOf = (record: StreamRecord): string => record.dynamodb.SequenceNumber

/**
 * Runs one batch of a shard to its end, in order, as Lambda does: what failed is tried again from the lowest failed
 * record, halved first where `bisect` is on (halving costs no retry), until it succeeds, is too old or out of retries.
 */
export const runStreamBatch = async (
  records: readonly StreamRecord[],
  policy: BatchPolicy,
  ports: BatchPorts,
): Promise<void> => {
  const pieces: Piece[] = [{ records: [...records], retries: 0, invocations: 0, outcome: undefined }]
  const leave = async (piece: Piece, count: number, condition: GivenUp['condition']): Promise<void> => {
    const given = piece.records.splice(0, count)
    await ports.giveUp({ records: given, condition, invocations: piece.invocations, outcome: piece.outcome })
    const last = given.at(-1)
    if (last) ports.checkpoint(sequenceOf(last))
  }
  const expired = (record: StreamRecord): boolean =>
    policy.recordAgeMaxMs > 0 &&
    ports.now() - record.dynamodb.ApproximateCreationDateTime * 1000 > policy.recordAgeMaxMs

  for (let piece = pieces[0]; piece; piece = pieces[0]) {
    const fresh = piece.records.findIndex((record) => !expired(record))
    const old = fresh < 0 ? piece.records.length : fresh
    if (old > 0) await leave(piece, old, 'RecordAgeExceeded')
    const last = piece.records.at(-1)
    if (!last) {
      pieces.shift()
      continue
    }
    piece.outcome = await ports.invoke(piece.records)
    piece.invocations += 1
    const ids = piece.records.map(sequenceOf)
    const failed = failedOf(piece.outcome, ids, policy.partialFailures)
    const lowest = ids.findIndex((id) => failed.has(id))
    if (lowest < 0) {
      ports.checkpoint(sequenceOf(last))
      pieces.shift()
      continue
    }
    if (lowest > 0) {
      ports.checkpoint(ids[lowest - 1] ?? '')
      piece.records.splice(0, lowest)
    } else if (policy.bisect && piece.records.length > 1) {
      const { retries, invocations, outcome } = piece
      const second = piece.records.splice(Math.ceil(piece.records.length / 2))
      pieces.splice(1, 0, { records: second, retries, invocations, outcome })
    } else if (policy.retriesMax >= 0 && piece.retries >= policy.retriesMax) {
      await leave(piece, piece.records.length, 'RetryAttemptsExhausted')
      continue
    } else {
      piece.retries += 1
    }
    await ports.backOff(piece.retries)
  }
}
