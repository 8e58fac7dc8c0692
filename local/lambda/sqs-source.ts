import { DeleteMessageBatchCommand, type Message, ReceiveMessageCommand, type SQSClient } from '@aws-sdk/client-sqs'
import { setTimeout as sleep } from 'node:timers/promises'
import { failedOf } from './batch-answer.ts'
import { matchesPattern } from './event-pattern.ts'
import type { Outcome } from './instance.ts'
import type { SqsMapping } from './stack.ts'

const longPollSeconds = 1
const payloadBytesMax = 6 * 2 ** 20

type SqsRecord = { messageId: string; receiptHandle: string; body: string; [field: string]: unknown }

const toRecord = (message: Message, mapping: SqsMapping, region: string): SqsRecord => ({
  messageId: message.MessageId ?? '',
  receiptHandle: message.ReceiptHandle ?? '',
  body: message.Body ?? '',
  attributes: message.Attributes ?? {},
  messageAttributes: Object.fromEntries(
    Object.entries(message.MessageAttributes ?? {}).map(([name, value]) => [
      name,
      {
        dataType: value.DataType,
        ...(value.StringValue === undefined ? {} : { stringValue: value.StringValue }),
        ...(value.BinaryValue === undefined ? {} : { binaryValue: Buffer.from(value.BinaryValue).toString('base64') }),
        stringListValues: [],
        binaryListValues: [],
      },
    ]),
  ),
  md5OfBody: message.MD5OfBody,
  eventSource: 'aws:sqs',
  eventSourceARN: mapping.sourceArn,
  awsRegion: region,
})

const parsedBody = (body: string): unknown => {
  try {
    return JSON.parse(body) as unknown
  } catch {
    return body
  }
}

const passes = (record: SqsRecord, { filters }: SqsMapping): boolean =>
  filters.length === 0 ||
  filters.some((pattern) => matchesPattern(pattern, { ...record, body: parsedBody(record.body) }))

const remove = async (sqs: SQSClient, QueueUrl: string, records: SqsRecord[]): Promise<void> => {
  for (let at = 0; at < records.length; at += 10) {
    const Entries = records
      .slice(at, at + 10)
      .map((record, index) => ({ Id: String(index), ReceiptHandle: record.receiptHandle }))
    await sqs.send(new DeleteMessageBatchCommand({ QueueUrl, Entries }))
  }
}

export type Source = {
  stop(): Promise<void>
  /** True while a batch is being received, run or answered for. */
  busy(): boolean
}

/**
 * Polls a queue for a function as an event source mapping does: up to `concurrency` batches at once. What succeeded or
 * is filtered out is deleted; what failed comes back when its visibility timeout ends.
 */
export const startSqsSource = (options: {
  sqs: SQSClient
  mapping: SqsMapping
  region: string
  concurrency: number
  invoke: (event: unknown) => Promise<Outcome>
  onError: (error: unknown) => void
}): Source => {
  const { sqs, mapping, region, concurrency, invoke, onError } = options
  const QueueUrl = mapping.queueUrl
  const stopping = new AbortController()
  let working = 0

  const receive = async (most: number, waitSeconds: number): Promise<Message[]> => {
    const answer = await sqs.send(
      new ReceiveMessageCommand({
        QueueUrl,
        MaxNumberOfMessages: Math.min(10, most),
        WaitTimeSeconds: waitSeconds,
        MessageSystemAttributeNames: ['All'],
        MessageAttributeNames: ['All'],
      }),
    )
    return answer.Messages ?? []
  }

  /** Fills the batch until its size, its window or the payload limit is reached. */
  const fill = async (first: Message[]): Promise<Message[]> => {
    const messages = [...first]
    const until = Date.now() + mapping.batchWindowMs
    const size = (): number => messages.reduce((total, message) => total + (message.Body?.length ?? 0), 0)
    while (
      messages.length < mapping.batchSize &&
      Date.now() < until &&
      size() < payloadBytesMax &&
      !stopping.signal.aborted
    ) {
      const more = await receive(mapping.batchSize - messages.length, 0)
      messages.push(...more)
      if (more.length === 0) await sleep(Math.min(50, Math.max(0, until - Date.now())))
    }
    return messages
  }

  const runBatch = async (messages: Message[]): Promise<void> => {
    const records = messages.map((message) => toRecord(message, mapping, region))
    const wanted = records.filter((record) => passes(record, mapping))
    const ids = wanted.map((record) => record.messageId)
    const outcome: Outcome = wanted.length > 0 ? await invoke({ Records: wanted }) : { ok: true, payload: 'null' }
    const failed = failedOf(outcome, ids, mapping.partialFailures)
    await remove(
      sqs,
      QueueUrl,
      records.filter((record) => !failed.has(record.messageId)),
    )
  }

  const poll = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      try {
        const first = await receive(mapping.batchSize, longPollSeconds)
        if (first.length === 0) continue
        working += 1
        try {
          await runBatch(await fill(first))
        } finally {
          working -= 1
        }
      } catch (error) {
        if (!stopping.signal.aborted) onError(error)
        await sleep(200)
      }
    }
  }
  const polls = Array.from({ length: Math.min(concurrency, mapping.concurrencyMax) }, poll)
  return {
    busy: () => working > 0,
    stop: async () => {
      stopping.abort()
      await Promise.all(polls)
    },
  }
}
