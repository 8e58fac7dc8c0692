/**
 * SQS over fauxqs with its SQLite persistence.
 *
 * Covered: standard and FIFO queues, batches, delays, visibility, long polls, dead-letter queues by redrive policy,
 * tags, messages of up to 1 MiB; all of it is there again after a SIGKILL, with receive counts.
 * Not covered, answered by 501: permissions, message move tasks, DeadLetterSourceQueues, and every other service.
 * Not there: IAM, signatures, retention, AWSTraceHeader, DeadLetterQueueSourceArn. FIFO deduplication is forgotten at a
 * restart. A receipt handle dies with its visibility timeout, where AWS often takes a late delete.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { type Listening, listen } from '../http.ts'
import { type Fauxqs, openFauxqs } from './fauxqs.ts'

const operations = new Set([
  'CreateQueue',
  'DeleteQueue',
  'GetQueueUrl',
  'ListQueues',
  'GetQueueAttributes',
  'SetQueueAttributes',
  'PurgeQueue',
  'SendMessage',
  'SendMessageBatch',
  'ReceiveMessage',
  'DeleteMessage',
  'DeleteMessageBatch',
  'ChangeMessageVisibility',
  'ChangeMessageVisibilityBatch',
  'TagQueue',
  'UntagQueue',
  'ListQueueTags',
])

const refuse = (response: ServerResponse, status: number, code: string, message: string): void => {
  const bytes = Buffer.from(JSON.stringify({ __type: `com.amazonaws.sqs#${code}`, message }))
  response.writeHead(status, { 'content-type': 'application/x-amz-json-1.0', 'content-length': bytes.length })
  response.end(bytes)
}

const handle = async (queues: Fauxqs, request: IncomingMessage, response: ServerResponse): Promise<void> => {
  const target = String(request.headers['x-amz-target'] ?? '')
  const [service, operation = ''] = target.split('.')
  if (service === 'AmazonSQS' && operations.has(operation)) return queues.handle(request, response)
  request.resume()
  refuse(response, 501, 'NotImplemented', `not implemented: ${target || `${request.method} ${request.url}`}`)
}

/** Serves the queues that are in `dir` (made where it is not). */
export const startSqs = async (options: { dir: string; port?: number }): Promise<Listening> => {
  const queues = await openFauxqs(options.dir)
  const server = await listen({
    ...(options.port !== undefined && { port: options.port }),
    handle: (request, response) => handle(queues, request, response),
    onFault: (response, status) => refuse(response, status, 'ServiceUnavailable', 'a fault was switched on'),
    stats: () => ({ queues: queues.stats() }),
  })
  queues.servedAt(server.url)
  return {
    ...server,
    close: async () => {
      await server.close()
      await queues.close()
    },
  }
}
