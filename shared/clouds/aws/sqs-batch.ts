import { SendMessageCommand, type SQSClient } from '@aws-sdk/client-sqs'
import type { SQSBatchResponse, SQSEvent, SQSRecord } from 'aws-lambda'
import { isRetryable } from '../../errors.ts'
import type { Random, Telemetry } from '../../ports.ts'
import { translated } from './errors.ts'
import { queueNameOf } from './queue-counts.ts'
import { holdMessages } from './sqs-lease.ts'
import { retryIn } from './sqs-queue.ts'

const retryFirstSeconds = 5
const retryMaxSeconds = 900
/** The queue gives a message up at the sixth receive: before that, one that waits for a cloud goes on as a new message. */
const sendAgainFrom = 4
const againSeconds = 120

/** 5 s, 10 s, 20 s ... with jitter of half to all of it, by how often the message was received. */
export const backoffSeconds = (receiveCount: number, random: Random): number =>
  Math.min(retryMaxSeconds, retryFirstSeconds * 2 ** Math.max(0, receiveCount - 1)) * (0.5 + random.next() / 2)

type Options = {
  sqs: SQSClient
  queueUrl: string
  random: Random
  telemetry: Telemetry
  leaseSeconds?: number | undefined
  handle: (record: SQSRecord) => Promise<void>
}

/** Whether a batch, which is of one queue, is of this one. */
export const isOfQueue = (event: SQSEvent, queueUrl: string): boolean =>
  event.Records[0]?.eventSourceARN.split(':').at(-1) === queueNameOf(queueUrl)

/** Sends a copy for later; the original is acknowledged only when that is accepted. A duplicate does no harm. */
const sendAgain = async ({ sqs, queueUrl, random, telemetry }: Options, record: SQSRecord): Promise<boolean> => {
  const DelaySeconds = Math.round(againSeconds * (0.5 + random.next() / 2))
  try {
    await translated(`send again to ${queueUrl}`, () =>
      sqs.send(new SendMessageCommand({ QueueUrl: queueUrl, MessageBody: record.body, DelaySeconds })),
    )
    telemetry.count('MessagesSentAgain', 1)
    return true
  } catch (error) {
    telemetry.log('warn', 'the message could not be sent again', { messageId: record.messageId, error })
    return false
  }
}

/**
 * Handles every record of a batch on its own and answers which failed. A failure that a retry may cure is made visible
 * again soon, and an outage is waited out however long it takes; any other failure waits out its lease and ends in the
 * dead-letter queue, where the alarm sees it.
 */
export const handleSqsBatch = async (event: SQSEvent, options: Options): Promise<SQSBatchResponse> => {
  const leases = holdMessages(options.sqs, options.queueUrl, event.Records, options.telemetry, options.leaseSeconds)
  const handleOne = async (record: SQSRecord): Promise<string | undefined> => {
    try {
      await options.handle(record).finally(() => leases.release(record))
      return undefined
    } catch (error) {
      const receiveCount = Number(record.attributes.ApproximateReceiveCount)
      options.telemetry.count('MessagesFailed', 1)
      options.telemetry.log('error', 'message failed', {
        messageId: record.messageId,
        receiveCount,
        error,
        retryable: isRetryable(error),
      })
      if (!isRetryable(error)) return record.messageId
      if (receiveCount >= sendAgainFrom && (await sendAgain(options, record))) return undefined
      const seconds = backoffSeconds(receiveCount, options.random)
      await leases.settled()
      await retryIn(options.sqs, options.queueUrl, record.receiptHandle, seconds).catch((cause: unknown) =>
        options.telemetry.log('warn', 'the message keeps its whole visibility timeout', { error: cause }),
      )
      return record.messageId
    }
  }
  try {
    const failed = await Promise.all(event.Records.map(handleOne))
    return { batchItemFailures: failed.flatMap((id) => (id === undefined ? [] : [{ itemIdentifier: id }])) }
  } finally {
    await leases.stop()
  }
}
