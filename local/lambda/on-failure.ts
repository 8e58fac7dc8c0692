import { PutObjectCommand } from '@aws-sdk/client-s3'
import { SendMessageCommand } from '@aws-sdk/client-sqs'
import { randomUUID } from 'node:crypto'
import type { Clients } from './clients.ts'
import type { Stack, StreamMapping } from './stack.ts'
import type { GivenUp } from './stream-batch.ts'

const arrival = (seconds: number | undefined): string => new Date((seconds ?? 0) * 1000).toISOString()

/** What Lambda says about a batch that it gave up: https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html */
const invocationRecord = (mapping: StreamMapping, shardId: string, given: GivenUp, now: Date) => {
  const { records, condition, invocations, outcome } = given
  const first = records[0]?.dynamodb
  const last = records.at(-1)?.dynamodb
  return {
    requestContext: {
      requestId: randomUUID(),
      functionArn: mapping.functionArn,
      condition,
      approximateInvokeCount: invocations,
    },
    responseContext: {
      statusCode: 200,
      executedVersion: '$LATEST',
      functionError: outcome && !outcome.ok ? 'Unhandled' : null,
    },
    version: '1.0',
    timestamp: now.toISOString(),
    DDBStreamBatchInfo: {
      shardId,
      startSequenceNumber: first?.SequenceNumber,
      endSequenceNumber: last?.SequenceNumber,
      approximateArrivalOfFirstRecord: arrival(first?.ApproximateCreationDateTime),
      approximateArrivalOfLastRecord: arrival(last?.ApproximateCreationDateTime),
      batchSize: records.length,
      streamArn: mapping.sourceArn,
    },
  }
}

/**
 * Sends a batch that was given up where the mapping says: to a bucket with the records whole, to a queue with their
 * positions only. Without a destination it is dropped, as Lambda does.
 */
export const sendFailedBatch = async (
  clients: Clients,
  stack: Stack,
  mapping: StreamMapping,
  shardId: string,
  given: GivenUp,
): Promise<void> => {
  const destination = mapping.onFailure
  if (destination === undefined) return
  const now = new Date()
  const record = invocationRecord(mapping, shardId, given, now)
  const queue = stack.queues.find((candidate) => candidate.arn === destination)
  if (queue) {
    await clients.sqs.send(new SendMessageCommand({ QueueUrl: queue.url, MessageBody: JSON.stringify(record) }))
    return
  }
  if (!destination.startsWith('arn:aws:s3:::')) throw new Error(`the destination ${destination} does not run here`)
  const time = now.toISOString()
  const Key = `aws/lambda/${mapping.logicalId}/${shardId}/${time.slice(0, 10).replaceAll('-', '/')}/${time.slice(0, 19).replaceAll(':', '.')}-${randomUUID()}`
  const Body = JSON.stringify({ ...record, payload: JSON.stringify({ Records: given.records }) })
  await clients.s3.send(new PutObjectCommand({ Bucket: destination.slice('arn:aws:s3:::'.length), Key, Body }))
}
