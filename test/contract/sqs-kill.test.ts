import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  ChangeMessageVisibilityCommand,
  CreateQueueCommand,
  DeleteMessageCommand,
  GetQueueAttributesCommand,
  GetQueueUrlCommand,
  type Message,
  ReceiveMessageCommand,
  SendMessageBatchCommand,
  SendMessageCommand,
  SQSClient,
} from '@aws-sdk/client-sqs'
import { afterAll, describe, expect, it } from 'vitest'
import { startService } from '../../local/service-process.ts'
import { awsOptions } from '../support/contract-target.ts'

const dir = mkdtempSync(join(tmpdir(), 'lifeboat-kill-'))
const start = async () => {
  const service = await startService({ service: 'sqs', dir, logFile: join(dir, 'sqs.log') })
  return { service, client: new SQSClient(awsOptions(service.url)) }
}
type Server = Awaited<ReturnType<typeof start>>

const urlOf = async ({ client }: Server, name: string): Promise<string> =>
  (await client.send(new GetQueueUrlCommand({ QueueName: name }))).QueueUrl!

const create = async ({ client }: Server, name: string, attributes: Record<string, string> = {}): Promise<string> =>
  (await client.send(new CreateQueueCommand({ QueueName: name, Attributes: attributes }))).QueueUrl!

const receive = async ({ client }: Server, url: string, seconds = 0): Promise<Message[]> => {
  const command = new ReceiveMessageCommand({
    QueueUrl: url,
    MaxNumberOfMessages: 10,
    WaitTimeSeconds: seconds,
    MessageSystemAttributeNames: ['All'],
  })
  return (await client.send(command)).Messages ?? []
}

const send = ({ client }: Server, url: string, body: string) =>
  client.send(new SendMessageCommand({ QueueUrl: url, MessageBody: body }))

const remove = ({ client }: Server, url: string, message: Message) =>
  client.send(new DeleteMessageCommand({ QueueUrl: url, ReceiptHandle: message.ReceiptHandle }))

const drain = async (server: Server, url: string): Promise<Message[]> => {
  const all: Message[] = []
  for (let page = await receive(server, url, 8); page.length > 0; page = await receive(server, url, 1)) {
    all.push(...page)
    for (const message of page) await remove(server, url, message)
  }
  return all
}

/** Receives until the redrive policy has moved everything on. */
const drainByReceiving = async (server: Server, url: string): Promise<void> => {
  for (let empty = 0; empty < 3;) empty = (await receive(server, url)).length === 0 ? empty + 1 : 0
}

const restart = async (server: Server): Promise<Server> => {
  server.client.destroy()
  await server.service.kill()
  return start()
}

/** What each message is and how often it was received, in the order of the bodies. */
const stateOf = (messages: Message[]): string[] =>
  messages.map((message) => `${message.Body}: ${message.Attributes?.['ApproximateReceiveCount']}`).toSorted()

describe('the embedded SQS, killed', () => {
  afterAll(() => rmSync(dir, { recursive: true }))

  it('has its queues, messages, visibility and receive counts again', async () => {
    let server = await start()
    const url = await create(server, 'kept', { VisibilityTimeout: '6' })
    for (const body of ['released', 'in flight', 'deleted', 'untouched']) await send(server, url, body)
    const received = await receive(server, url)
    const find = (body: string) => received.find((message) => message.Body === body)!
    await remove(server, url, find('deleted'))
    for (const body of ['released', 'untouched'])
      await server.client.send(
        new ChangeMessageVisibilityCommand({
          QueueUrl: url,
          ReceiptHandle: find(body).ReceiptHandle,
          VisibilityTimeout: 0,
        }),
      )
    server = await restart(server)
    const again = await urlOf(server, 'kept')
    expect(again.startsWith(server.service.url)).toBe(true)
    expect(stateOf(await receive(server, again))).toEqual(['released: 2', 'untouched: 2'])
    expect(stateOf(await drain(server, again))).toEqual(['in flight: 2', 'released: 3', 'untouched: 3'])
    await server.service.stop()
    server.client.destroy()
  })

  it('loses no message on the way to the dead-letter queue', async () => {
    let server = await start()
    const deadLetters = await create(server, 'dead')
    const { Attributes: attributes } = await server.client.send(
      new GetQueueAttributesCommand({ QueueUrl: deadLetters, AttributeNames: ['QueueArn'] }),
    )
    // AWS wants at least 1; 0 makes one receive move everything, long enough for a kill to come in between.
    const policy = JSON.stringify({ deadLetterTargetArn: attributes!['QueueArn'], maxReceiveCount: 0 })
    await create(server, 'source', { RedrivePolicy: policy })
    const sent: string[] = []
    for (let round = 0; round < 4; round += 1) {
      const source = await urlOf(server, 'source')
      for (let batch = 0; batch < 100; batch += 1) {
        const entries = Array.from({ length: 10 }, (_, index) => ({
          Id: `${index}`,
          MessageBody: `${round}-${batch}-${index}`,
        }))
        await server.client.send(new SendMessageBatchCommand({ QueueUrl: source, Entries: entries }))
        sent.push(...entries.map((entry) => entry.MessageBody))
      }
      const moving = receive(server, source).catch((error: unknown) => error)
      await new Promise((resolve) => setTimeout(resolve, 3 + Math.random() * 15))
      server = await restart(server)
      await moving
    }
    await drainByReceiving(server, await urlOf(server, 'source'))
    const dead = new Set((await drain(server, await urlOf(server, 'dead'))).map((message) => message.Body))
    expect(sent.filter((body) => !dead.has(body))).toEqual([])
    await server.service.stop()
    server.client.destroy()
  }, 60_000)
})
