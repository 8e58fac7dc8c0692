import { randomUUID } from 'node:crypto'
import {
  ChangeMessageVisibilityCommand,
  CreateQueueCommand,
  DeleteMessageBatchCommand,
  DeleteMessageCommand,
  GetQueueAttributesCommand,
  GetQueueUrlCommand,
  type Message,
  ReceiveMessageCommand,
  type ReceiveMessageCommandInput,
  SendMessageBatchCommand,
  SendMessageCommand,
  type SendMessageCommandInput,
  SQSClient,
  StartMessageMoveTaskCommand,
} from '@aws-sdk/client-sqs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startSqs } from '../../local/sqs/server.ts'
import { awsOptions, expectBugs, inFolder, motoTargets, type Running, type Target } from '../support/contract-target.ts'

const embedded: Target = { name: 'embedded', start: () => inFolder((dir) => startSqs({ dir })) }
const moto = motoTargets([])

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
const bodies = (messages: Message[]) => messages.map((message) => message.Body ?? '').toSorted()
const receiveCount = (message: Message | undefined) => message?.Attributes?.['ApproximateReceiveCount']

const callsOf = (client: SQSClient) => ({
  create: async (attributes: Record<string, string> = {}): Promise<string> =>
    (await client.send(new CreateQueueCommand({ QueueName: `q-${randomUUID()}`, Attributes: attributes }))).QueueUrl!,
  arnOf: async (url: string): Promise<string> =>
    (await client.send(new GetQueueAttributesCommand({ QueueUrl: url, AttributeNames: ['QueueArn'] }))).Attributes![
      'QueueArn'
    ]!,
  send: (url: string, body: string, options: Partial<SendMessageCommandInput> = {}) =>
    client.send(new SendMessageCommand({ QueueUrl: url, MessageBody: body, ...options })),
  receive: async (url: string, options: Partial<ReceiveMessageCommandInput> = {}): Promise<Message[]> => {
    const command = new ReceiveMessageCommand({
      QueueUrl: url,
      MaxNumberOfMessages: 10,
      MessageSystemAttributeNames: ['All'],
      MessageAttributeNames: ['All'],
      ...options,
    })
    return (await client.send(command)).Messages ?? []
  },
  remove: (url: string, message: Message) =>
    client.send(new DeleteMessageCommand({ QueueUrl: url, ReceiptHandle: message.ReceiptHandle })),
  changeVisibility: (url: string, message: Message | undefined, seconds: number) =>
    client.send(
      new ChangeMessageVisibilityCommand({
        QueueUrl: url,
        ReceiptHandle: message?.ReceiptHandle,
        VisibilityTimeout: seconds,
      }),
    ),
})

type Sqs = { running: Running; client: SQSClient } & ReturnType<typeof callsOf>

const useSqs = (start: () => Promise<Running>): Sqs => {
  const sqs = {} as Sqs
  beforeAll(async () => {
    const running = await start()
    const client = new SQSClient(awsOptions(running.url))
    Object.assign(sqs, { running, client, ...callsOf(client) })
  })
  afterAll(async () => {
    sqs.client.destroy()
    await sqs.running.close()
  })
  return sqs
}

for (const target of [embedded, ...moto]) {
  describe(`SQS on ${target.name}`, () => {
    expectBugs(target)
    const sqs = useSqs(() => target.start())

    it('hands a message to one receiver until its visibility timeout', async () => {
      const url = await sqs.create({ VisibilityTimeout: '1' })
      await sqs.send(url, 'once')
      const [first] = await sqs.receive(url)
      expect([first?.Body, receiveCount(first)]).toEqual(['once', '1'])
      expect(await sqs.receive(url)).toEqual([])
      await pause(1100)
      const [again] = await sqs.receive(url)
      expect([again?.MessageId, receiveCount(again)]).toEqual([first?.MessageId, '2'])
      await sqs.remove(url, again!)
      await pause(1100)
      expect(await sqs.receive(url)).toEqual([])
    })

    it('changes visibility, to nothing and to more', async () => {
      const url = await sqs.create({ VisibilityTimeout: '1' })
      await sqs.send(url, 'm')
      const [first] = await sqs.receive(url)
      await sqs.changeVisibility(url, first, 0)
      const [second] = await sqs.receive(url, { WaitTimeSeconds: 1 })
      expect([second?.MessageId, receiveCount(second)]).toEqual([first?.MessageId, '2'])
      await sqs.changeVisibility(url, second, 30)
      await pause(1200)
      expect(await sqs.receive(url)).toEqual([])
      await sqs.changeVisibility(url, second, 0)
      expect(await sqs.receive(url, { WaitTimeSeconds: 1 })).toHaveLength(1)
    })

    it('moves a message to the dead-letter queue after maxReceiveCount receives', async () => {
      const deadLetters = await sqs.create()
      const policy = { deadLetterTargetArn: await sqs.arnOf(deadLetters), maxReceiveCount: 2 }
      const url = await sqs.create({ VisibilityTimeout: '0', RedrivePolicy: JSON.stringify(policy) })
      const attributes = { kind: { DataType: 'String', StringValue: 'poison' } }
      const { MessageId: id } = await sqs.send(url, 'bad', { MessageAttributes: attributes })
      expect(await sqs.receive(url)).toHaveLength(1)
      await pause(20)
      expect(await sqs.receive(url)).toHaveLength(1)
      await pause(20)
      expect(await sqs.receive(url)).toEqual([])
      const [dead] = await sqs.receive(deadLetters)
      expect(dead).toMatchObject({ MessageId: id, Body: 'bad', MessageAttributes: attributes })
    })

    it('wakes a long poll when a message comes', async () => {
      const url = await sqs.create()
      const begun = Date.now()
      const polled = sqs.receive(url, { WaitTimeSeconds: 20 })
      await pause(300)
      await sqs.send(url, 'late')
      expect(bodies(await polled)).toEqual(['late'])
      expect(Date.now() - begun).toBeLessThan(10_000)
    })

    it('answers a long poll empty when its time is over', async () => {
      const url = await sqs.create()
      const begun = Date.now()
      expect(await sqs.receive(url, { WaitTimeSeconds: 1 })).toEqual([])
      expect(Date.now() - begun).toBeGreaterThanOrEqual(900)
    })

    it('sends and deletes batches, entry by entry', async () => {
      const url = await sqs.create()
      const entries = Array.from({ length: 10 }, (_, index) => ({ Id: `e${index}`, MessageBody: `b${index}` }))
      const sent = await sqs.client.send(new SendMessageBatchCommand({ QueueUrl: url, Entries: entries }))
      expect(sent.Successful?.map((entry) => entry.Id).toSorted()).toEqual(entries.map((entry) => entry.Id))
      const messages = await sqs.receive(url)
      expect(bodies(messages)).toEqual(entries.map((entry) => entry.MessageBody))
      await sqs.client.send(
        new DeleteMessageBatchCommand({
          QueueUrl: url,
          Entries: messages
            .slice(1)
            .map((message, index) => ({ Id: `d${index}`, ReceiptHandle: message.ReceiptHandle })),
        }),
      )
      await sqs.changeVisibility(url, messages[0], 0)
      expect(await sqs.receive(url, { WaitTimeSeconds: 1 })).toHaveLength(1)
      const again = { QueueUrl: url, Entries: [entries[0]!, entries[0]!] }
      await expect(sqs.client.send(new SendMessageBatchCommand(again))).rejects.toMatchObject({
        name: expect.stringMatching(/BatchEntryIdsNotDistinct/) as string,
      })
    })

    it('delays a message', async () => {
      const url = await sqs.create()
      await sqs.send(url, 'later', { DelaySeconds: 1 })
      await sqs.send(url, 'now')
      expect(bodies(await sqs.receive(url))).toEqual(['now'])
      expect(bodies(await sqs.receive(url, { WaitTimeSeconds: 3 }))).toEqual(['later'])
    })

    it.each([256 * 1024, 1024 * 1024])('carries a body of %d bytes', async (size) => {
      const url = await sqs.create()
      const body = 'ü'.repeat(size / 2)
      await sqs.send(url, body)
      expect((await sqs.receive(url))[0]?.Body === body).toBe(true)
    })

    it('refuses a body of more than 1 MiB', async () => {
      const url = await sqs.create()
      await expect(sqs.send(url, 'x'.repeat(2 ** 20 + 1))).rejects.toMatchObject({
        $metadata: { httpStatusCode: 400 },
      })
      expect(await sqs.receive(url)).toEqual([])
    })

    it('tells how many messages there are', async () => {
      const url = await sqs.create()
      for (const body of ['a', 'b', 'c']) await sqs.send(url, body)
      await sqs.send(url, 'd', { DelaySeconds: 30 })
      await sqs.receive(url, { MaxNumberOfMessages: 1 })
      const { Attributes: found } = await sqs.client.send(
        new GetQueueAttributesCommand({ QueueUrl: url, AttributeNames: ['All'] }),
      )
      expect(found).toMatchObject({
        ApproximateNumberOfMessages: '2',
        ApproximateNumberOfMessagesNotVisible: '1',
        ApproximateNumberOfMessagesDelayed: '1',
      })
    })

    it('refuses a queue that is not there', async () => {
      await expect(sqs.client.send(new GetQueueUrlCommand({ QueueName: 'nowhere' }))).rejects.toMatchObject({
        name: 'QueueDoesNotExist',
      })
    })
  })
}

describe('the embedded SQS', () => {
  const sqs = useSqs(() => embedded.start())

  it('answers 501 to what it does not have', async () => {
    const move = new StartMessageMoveTaskCommand({ SourceArn: 'arn:aws:sqs:us-east-1:000000000000:q' })
    await expect(sqs.client.send(move)).rejects.toMatchObject({ $metadata: { httpStatusCode: 501 } })
    expect((await fetch(`${sqs.running.url}/bucket/key`, { method: 'PUT', body: 'x' })).status).toBe(501)
  })

  it('gives nothing to a long poll whose client has gone', async () => {
    const url = await sqs.create()
    const abort = new AbortController()
    const gone = sqs.client
      .send(new ReceiveMessageCommand({ QueueUrl: url, WaitTimeSeconds: 20 }), { abortSignal: abort.signal })
      .catch((error: Error) => error.name)
    await pause(200)
    abort.abort()
    expect(await gone).toBe('AbortError')
    await pause(50)
    await sqs.send(url, 'for the living')
    const [message] = await sqs.receive(url, { WaitTimeSeconds: 1 })
    expect([message?.Body, receiveCount(message)]).toEqual(['for the living', '1'])
  })

  it('takes every character that SQS takes and refuses the others', async () => {
    const url = await sqs.create()
    const taken = 'tab\t, line\n, \u{1f6a3} and \u{10ffff}'
    await sqs.send(url, taken)
    expect(bodies(await sqs.receive(url))).toEqual([taken])
    for (const refused of ['\u0001', '\ufffe'])
      await expect(sqs.send(url, refused)).rejects.toThrow('Invalid characters found')
  })

  it('says how many messages each queue has, and how old the oldest is that was not deleted', async () => {
    const url = await sqs.create({ VisibilityTimeout: '30' })
    const stats = async (): Promise<object | undefined> => {
      const answer = await fetch(`${sqs.running.url}/_lifeboat/stats`)
      const { queues } = (await answer.json()) as { queues: { name: string; oldestSeconds: number }[] }
      return queues.find(({ name }) => url.endsWith(name))
    }
    expect(await stats()).toMatchObject({ visible: 0, notVisible: 0, delayed: 0, oldestSeconds: 0 })
    await sqs.send(url, 'first')
    await pause(300)
    await sqs.send(url, 'second')
    await sqs.send(url, 'later', { DelaySeconds: 60 })
    await sqs.receive(url, { MaxNumberOfMessages: 1 })
    const found = await stats()
    expect(found).toMatchObject({ visible: 1, notVisible: 1, delayed: 1 })
    // The first one is being worked on, and still the oldest.
    expect((found as { oldestSeconds: number }).oldestSeconds).toBeGreaterThanOrEqual(0.3)
  })

  it('fails, and loses a reply, when told to', async () => {
    const url = await sqs.create()
    const faults = [
      { path: 'POST /', times: 1, status: 503 },
      { path: 'POST /', times: 1, cut: 'after' },
    ]
    await fetch(`${sqs.running.url}/_lifeboat/faults`, { method: 'PUT', body: JSON.stringify(faults) })
    await expect(sqs.send(url, 'never there')).rejects.toMatchObject({ $metadata: { httpStatusCode: 503 } })
    await expect(sqs.send(url, 'there, unknown to its sender')).rejects.toMatchObject({ code: 'ECONNRESET' })
    expect(bodies(await sqs.receive(url))).toEqual(['there, unknown to its sender'])
  })
})
