import {
  CreateQueueCommand,
  DeleteMessageBatchCommand,
  ReceiveMessageCommand,
  SendMessageBatchCommand,
  SQSClient,
} from '@aws-sdk/client-sqs'
import type { SQSRecord } from 'aws-lambda'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startSqs } from '../../local/sqs/server.ts'
import { backoffSeconds, handleSqsBatch } from '../../shared/clouds/aws/sqs-batch.ts'
import { createSqsQueue } from '../../shared/clouds/aws/sqs-queue.ts'
import { createMemoryQueue } from '../../shared/clouds/memory/queue.ts'
import { createMemoryTelemetry } from '../../shared/clouds/memory/telemetry.ts'
import { CorruptError, UnavailableError } from '../../shared/errors.ts'
import type { WorkQueue } from '../../shared/ports.ts'
import { awsOptions, inFolder, type Running } from '../support/contract-target.ts'

type Message = { number: number; text?: string }
type Bench = { queue: WorkQueue<Message>; drain(): Promise<Message[]> }

let running: Running
let sqs: SQSClient
let queues = 0
beforeAll(async () => {
  running = await inFolder((dir) => startSqs({ dir }))
  sqs = new SQSClient(awsOptions(running.url))
})
afterAll(async () => {
  sqs.destroy()
  await running.close()
})

const newQueue = async (visibilitySeconds = 30): Promise<string> => {
  queues += 1
  const Attributes = { VisibilityTimeout: String(visibilitySeconds) }
  const { QueueUrl } = await sqs.send(new CreateQueueCommand({ QueueName: `q-${queues}`, Attributes }))
  return QueueUrl!
}
const receive = async (QueueUrl: string) => {
  const MessageSystemAttributeNames = ['ApproximateReceiveCount' as const]
  const { Messages = [] } = await sqs.send(
    new ReceiveMessageCommand({ QueueUrl, MaxNumberOfMessages: 10, MessageSystemAttributeNames }),
  )
  return Messages
}
const drain = async (QueueUrl: string): Promise<Message[]> => {
  const all: Message[] = []
  for (;;) {
    const messages = await receive(QueueUrl)
    if (messages.length === 0) return all
    all.push(...messages.map(({ Body }) => JSON.parse(Body!) as Message))
    const Entries = messages.map(({ ReceiptHandle }, index) => ({ Id: String(index), ReceiptHandle: ReceiptHandle! }))
    await sqs.send(new DeleteMessageBatchCommand({ QueueUrl, Entries }))
  }
}
const numbered = (count: number): Message[] => Array.from({ length: count }, (_, number) => ({ number }))
async function* oneByOne(messages: readonly Message[]): AsyncGenerator<Message> {
  for (const message of messages) {
    await Promise.resolve()
    yield message
  }
}
function* failing(): Generator<Message> {
  yield* numbered(15)
  throw new CorruptError('no more')
}
const byNumber = (messages: readonly Message[]): Message[] => messages.toSorted((a, b) => a.number - b.number)

describe.each([
  [
    'memory',
    async (): Promise<Bench> => {
      const queue = createMemoryQueue<Message>()
      return { queue, drain: async () => queue.messages.splice(0).map((text) => JSON.parse(text) as Message) }
    },
  ],
  [
    'SQS, embedded',
    async (): Promise<Bench> => {
      const url = await newQueue()
      return { queue: createSqsQueue<Message>(sqs, url), drain: async () => drain(url) }
    },
  ],
])('a work queue: %s', (_name, open: () => Promise<Bench>) => {
  it('takes none, one and many, and says how many', async () => {
    const bench = await open()
    expect(await bench.queue.send([])).toBe(0)
    expect(await bench.queue.send(numbered(1))).toBe(1)
    expect(await bench.queue.send(numbered(37))).toBe(37)
    expect(byNumber(await bench.drain())).toEqual(byNumber([...numbered(1), ...numbered(37)]))
  })

  it('takes messages as they are made', async () => {
    const bench = await open()
    expect(await bench.queue.send(oneByOne(numbered(23)))).toBe(23)
    expect(byNumber(await bench.drain())).toEqual(numbered(23))
  })

  it('takes large messages in other alphabets whole', async () => {
    const bench = await open()
    const messages = numbered(12).map(({ number }) => ({ number, text: 'é🧠"\n'.repeat(9000) }))
    expect(await bench.queue.send(messages)).toBe(12)
    expect(byNumber(await bench.drain())).toEqual(messages)
  })

  it('throws what a maker of messages throws', async () => {
    const bench = await open()
    await expect(bench.queue.send(failing())).rejects.toThrow('no more')
  })
})

describe('the SQS queue', () => {
  it('throws where an entry of a batch is refused', async () => {
    const url = await newQueue()
    const refusing = {
      send: async (command: SendMessageBatchCommand) => {
        const Failed = [{ Id: '0', Code: 'InternalError', SenderFault: false, Message: 'try again' }]
        return { ...(await sqs.send(command)), Failed }
      },
    } as unknown as SQSClient
    await expect(createSqsQueue(refusing, url).send(numbered(3))).rejects.toThrow(UnavailableError)
  })

  it('throws where there is no queue', async () => {
    await expect(createSqsQueue(sqs, `${running.url}/000000000000/none`).send(numbered(1))).rejects.toThrow(
      'does not exist',
    )
  })
})

const recordsOf = async (url: string): Promise<SQSRecord[]> =>
  (await receive(url)).map(
    (message) =>
      ({
        messageId: message.MessageId,
        receiptHandle: message.ReceiptHandle,
        body: message.Body,
        attributes: message.Attributes,
      }) as unknown as SQSRecord,
  )

describe('handleSqsBatch', () => {
  const never = { next: () => 0, hex: () => '' }

  it('answers which records failed, and keeps the others from nothing', async () => {
    const url = await newQueue()
    await createSqsQueue<Message>(sqs, url).send(numbered(5))
    const telemetry = createMemoryTelemetry()
    const records = await recordsOf(url)
    const handled: string[] = []
    const handle = async ({ body }: SQSRecord): Promise<void> => {
      const { number } = JSON.parse(body) as Message
      if (number === 1) throw new CorruptError('never')
      if (number === 3) throw new UnavailableError('later')
      handled.push(body)
    }
    const answer = await handleSqsBatch({ Records: records }, { sqs, queueUrl: url, random: never, telemetry, handle })
    const idOf = (number: number) => records.find(({ body }) => body === JSON.stringify({ number }))!.messageId
    expect(answer.batchItemFailures.map(({ itemIdentifier }) => itemIdentifier).toSorted()).toEqual(
      [idOf(1), idOf(3)].toSorted(),
    )
    expect(handled).toHaveLength(3)
    expect(telemetry.total('MessagesFailed')).toBe(2)
    const retryable = telemetry.lines.flatMap(({ message, fields }) =>
      message === 'message failed' ? [fields['retryable']] : [],
    )
    expect(new Set(retryable)).toEqual(new Set([true, false]))
  })

  it('waits longer from failure to failure, up to a quarter of an hour', () => {
    const seconds = [1, 2, 3, 4, 20].map((count) => backoffSeconds(count, { next: () => 1, hex: () => '' }))
    expect(seconds).toEqual([5, 10, 20, 40, 900])
    expect(backoffSeconds(1, never)).toBe(2.5)
  })
})
