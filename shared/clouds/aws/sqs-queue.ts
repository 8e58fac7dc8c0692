import { ChangeMessageVisibilityCommand, SendMessageBatchCommand, type SQSClient } from '@aws-sdk/client-sqs'
import { forEachBounded } from '../../bounded.ts'
import { UnavailableError } from '../../errors.ts'
import type { WorkQueue } from '../../ports.ts'
import { translated } from './errors.ts'

/** https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html, with room to spare. */
const batchMessagesMax = 10
const batchBytesMax = 200 * 1024
const batchesInFlight = 8

async function* batches<T>(messages: Iterable<T> | AsyncIterable<T>): AsyncGenerator<string[]> {
  let batch: string[] = []
  let bytes = 0
  for await (const message of messages) {
    const body = JSON.stringify(message)
    const size = Buffer.byteLength(body)
    if (batch.length > 0 && (batch.length === batchMessagesMax || bytes + size > batchBytesMax)) {
      yield batch
      batch = []
      bytes = 0
    }
    batch.push(body)
    bytes += size
  }
  if (batch.length > 0) yield batch
}

/** Messages as JSON on an SQS queue. An entry that the batch answer names as failed is an error: nothing is dropped. */
export const createSqsQueue = <T>(client: SQSClient, queueUrl: string): WorkQueue<T> => ({
  send: async (messages) => {
    let sent = 0
    await forEachBounded(batches(messages), batchesInFlight, async (bodies) => {
      const Entries = bodies.map((MessageBody, index) => ({ Id: String(index), MessageBody }))
      const output = await translated(`send to ${queueUrl}`, () =>
        client.send(new SendMessageBatchCommand({ QueueUrl: queueUrl, Entries })),
      )
      const [failed] = output.Failed ?? []
      if (failed) throw new UnavailableError(`send to ${queueUrl}: ${failed.Code}: ${failed.Message ?? ''}`)
      sent += bodies.length
    })
    return sent
  },
})

/** Makes a failed message visible again after `seconds`, instead of after the queue's whole timeout. */
export const retryIn = async (
  client: SQSClient,
  queueUrl: string,
  receiptHandle: string,
  seconds: number,
): Promise<void> => {
  await translated(`change visibility in ${queueUrl}`, () =>
    client.send(
      new ChangeMessageVisibilityCommand({
        QueueUrl: queueUrl,
        ReceiptHandle: receiptHandle,
        VisibilityTimeout: Math.round(seconds),
      }),
    ),
  )
}
