import { ChangeMessageVisibilityBatchCommand, type SQSClient } from '@aws-sdk/client-sqs'
import type { SQSRecord } from 'aws-lambda'
import type { Telemetry } from '../../ports.ts'
import { translated } from './errors.ts'

/**
 * How soon a message comes again after its function was killed. The queue's own timeout has to be six times the
 * function's, 24 minutes for a segment, which is more than the RPO; so the function holds its messages by a short lease
 * and renews it while it works.
 */
export const leaseSecondsDefault = 60

export type Leases = {
  release(record: SQSRecord): void
  /** Resolves when no renewal is under way that could still change how soon a released message comes again. */
  settled(): Promise<void>
  /** Resolves when nothing runs on. */
  stop(): Promise<void>
}

/** Leases every message of a batch, now and every third of the lease until it is released. A renewal that fails is only logged. */
export const holdMessages = (
  sqs: SQSClient,
  queueUrl: string,
  records: readonly SQSRecord[],
  telemetry: Telemetry,
  leaseSeconds = leaseSecondsDefault,
): Leases => {
  const held = new Map(records.map((record) => [record.messageId, record.receiptHandle]))
  const ended = new AbortController()
  const renew = async (): Promise<void> => {
    const Entries = [...held.values()].map((ReceiptHandle, index) => ({
      Id: String(index),
      ReceiptHandle,
      VisibilityTimeout: leaseSeconds,
    }))
    if (Entries.length === 0) return
    try {
      const { Failed = [] } = await translated(`lease in ${queueUrl}`, () =>
        sqs.send(new ChangeMessageVisibilityBatchCommand({ QueueUrl: queueUrl, Entries }), {
          abortSignal: ended.signal,
        }),
      )
      for (const { Code, Message } of Failed)
        telemetry.log('warn', 'the lease of a message was not renewed', { error: `${Code}: ${Message ?? ''}` })
    } catch (error) {
      if (!ended.signal.aborted) telemetry.log('warn', 'the lease of a message was not renewed', { error })
    }
  }
  let renewing = renew()
  const timer = setInterval(
    () => {
      renewing = renewing.then(renew)
    },
    (leaseSeconds * 1000) / 3,
  )
  return {
    release: (record) => void held.delete(record.messageId),
    settled: () => renewing,
    stop: async () => {
      clearInterval(timer)
      ended.abort()
      await renewing
    },
  }
}
