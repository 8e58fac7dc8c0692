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

export type Leases = { release(record: SQSRecord): void; stop(): void }

/** Leases every message of a batch, now and every third of the lease until it is released. A renewal that fails is only logged. */
export const holdMessages = (
  sqs: SQSClient,
  queueUrl: string,
  records: readonly SQSRecord[],
  telemetry: Telemetry,
  leaseSeconds = leaseSecondsDefault,
): Leases => {
  const held = new Map(records.map((record) => [record.messageId, record.receiptHandle]))
  const renew = async (): Promise<void> => {
    const Entries = [...held.values()].map((ReceiptHandle, index) => ({
      Id: String(index),
      ReceiptHandle,
      VisibilityTimeout: leaseSeconds,
    }))
    if (Entries.length === 0) return
    try {
      await translated(`lease in ${queueUrl}`, () =>
        sqs.send(new ChangeMessageVisibilityBatchCommand({ QueueUrl: queueUrl, Entries })),
      )
    } catch (error) {
      telemetry.log('warn', 'the lease of a message was not renewed', { error })
    }
  }
  void renew()
  const timer = setInterval(() => void renew(), (leaseSeconds * 1000) / 3)
  return {
    release: (record) => void held.delete(record.messageId),
    stop: () => clearInterval(timer),
  }
}
