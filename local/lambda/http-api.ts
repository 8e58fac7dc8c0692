import type { IncomingMessage, ServerResponse } from 'node:http'
import { SendMessageCommand } from '@aws-sdk/client-sqs'
import { type Listening, listen, readBody, sendJson } from '../http.ts'
import type { Clients } from './clients.ts'
import { matchesPattern } from './event-pattern.ts'
import type { Outcome } from './instance.ts'
import type { QueueSpec, Stack } from './stack.ts'

export type Posted =
  | { kind: 'eventbridge'; event: Record<string, unknown> }
  | { kind: 'queue'; queueArn: string; message: unknown }

export type Invoker = {
  /** By name, ARN or the last part of the name; undefined where there is no such function. */
  find(name: string): string | undefined
  invoke(name: string, payload: unknown, byHand?: boolean): Promise<Outcome>
  /** Starts an asynchronous invocation, which is tried again twice when it fails. */
  invokeLater(name: string, payload: unknown): void
}

const asyncPayloadBytesMax = 2 ** 20
const payloadBytesMax = 6 * 2 ** 20

const findQueue = (stack: Stack, arn: string): QueueSpec | undefined =>
  stack.queues.find((queue) => queue.arn === arn) ?? stack.queues.find((queue) => queue.name === arn.split(':').at(-1))

/** Hands one posted event to the queues and functions it is for; resolves once each of them has it. */
export const route = async (stack: Stack, clients: Clients, invoker: Invoker, posted: Posted): Promise<number> => {
  const send = async (queueArn: string, body: string): Promise<void> => {
    const queue = findQueue(stack, queueArn)
    if (!queue) throw new Error(`the stack has no queue ${queueArn}`)
    await clients.sqs.send(new SendMessageCommand({ QueueUrl: queue.url, MessageBody: body }))
  }
  if (posted.kind === 'queue') {
    await send(posted.queueArn, JSON.stringify(posted.message))
    return 1
  }
  const targets = stack.rules
    .filter((rule) => matchesPattern(rule.pattern, posted.event))
    .flatMap((rule) => rule.targets)
  for (const target of targets) {
    const body = target.input ?? JSON.stringify(posted.event)
    const name = invoker.find(target.arn)
    if (name === undefined) await send(target.arn, body)
    else invoker.invokeLater(name, JSON.parse(body))
  }
  return targets.length
}

const invocation = async (
  invoker: Invoker,
  asked: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> => {
  const type = String(request.headers['x-amz-invocation-type'] ?? 'RequestResponse')
  const body = await readBody(request, payloadBytesMax)
  const refuse = (status: number, code: string, message: string): void => {
    response.setHeader('x-amzn-errortype', code)
    sendJson(response, status, { Type: 'User', Message: message })
  }
  const name = invoker.find(decodeURIComponent(asked))
  if (name === undefined) return refuse(404, 'ResourceNotFoundException', `Function not found: ${asked}`)
  let payload: unknown
  try {
    payload = body.length === 0 ? {} : JSON.parse(String(body))
  } catch {
    return refuse(400, 'InvalidRequestContentException', 'Could not parse request body into json')
  }
  if (type === 'DryRun') return void response.writeHead(204).end()
  if (type === 'Event') {
    if (body.length > asyncPayloadBytesMax) return refuse(413, 'RequestTooLargeException', 'the event is above 1 MiB')
    invoker.invokeLater(name, payload)
    return void response.writeHead(202).end()
  }
  if (type !== 'RequestResponse') return refuse(400, 'InvalidParameterValueException', `invocation type ${type}`)
  const outcome = await invoker.invoke(name, payload, true)
  const answer = Buffer.from(outcome.ok ? outcome.payload : JSON.stringify(outcome.error))
  response.writeHead(200, {
    'content-type': 'application/json',
    'content-length': answer.length,
    'x-amz-executed-version': '$LATEST',
    ...(outcome.ok ? {} : { 'x-amz-function-error': 'Unhandled' }),
  })
  response.end(answer)
}

/** `POST /events` takes what the embedded S3 announces; `POST /2015-03-31/functions/NAME/invocations` is Lambda's Invoke. */
export const listenForEvents = (options: {
  port: number
  stack: Stack
  clients: Clients
  invoker: Invoker
  stats: () => unknown
}): Promise<Listening> => {
  const { port, stack, clients, invoker, stats } = options
  const invokePath = /^\/2015-03-31\/functions\/([^/?]+)\/invocations/
  return listen({
    port,
    stats,
    onFault: (response, status) => sendJson(response, status, { Message: 'the runner could not do this' }),
    handle: async (request, response) => {
      const asked = invokePath.exec(request.url ?? '')?.[1]
      if (request.method === 'POST' && asked !== undefined) return invocation(invoker, asked, request, response)
      if (request.method === 'POST' && request.url === '/events') {
        const posted = JSON.parse(String(await readBody(request))) as Posted
        return sendJson(response, 200, { targets: await route(stack, clients, invoker, posted) })
      }
      request.resume()
      return sendJson(response, 501, { Message: `${request.method} ${request.url} is not implemented` })
    },
  })
}
