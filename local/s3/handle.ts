import { randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { Handler } from '../http.ts'
import type { Answer, AnswerHeaders, Call, S3 } from './call.ts'
import { invalidArgument, notImplemented, S3Error } from './errors.ts'
import { findOperation } from './route.ts'
import { element } from './xml.ts'

const keyBytesMax = 1024

const newRequestId = (): string => randomBytes(8).toString('hex').toUpperCase()

/** Decoded as it stands: keys may hold `//`, `.` and `..`, which a URL parser would tidy away. */
const parsePath = (path: string): { bucket: string; key: string } => {
  const slash = path.indexOf('/', 1)
  try {
    const bucket = decodeURIComponent(slash < 0 ? path.slice(1) : path.slice(1, slash))
    return { bucket, key: slash < 0 ? '' : decodeURIComponent(path.slice(slash + 1)) }
  } catch {
    throw new S3Error(400, 'InvalidURI', "Couldn't parse the specified URI.", { details: { URI: path } })
  }
}

const parse = (s3: S3, request: IncomingMessage, requestId: string): Call => {
  const [, path = '/', search = ''] = /^([^?]*)\??(.*)$/s.exec(request.url ?? '/') ?? []
  const query = new URLSearchParams(search)
  const { bucket, key } = parsePath(path)
  const length = Buffer.byteLength(key)
  if (length > keyBytesMax)
    throw new S3Error(400, 'KeyTooLongError', 'Your key is too long', {
      details: { Size: length, MaxSizeAllowed: keyBytesMax },
    })
  if (query.get('versionId') === '') throw invalidArgument('versionId', '', 'Version id cannot be the empty string')
  return { s3, request, bucket, key, query, requestId }
}

const run = async (call: Call): Promise<Answer> => {
  const method = call.request.method ?? ''
  const bucketOrKey = call.key === '' ? 'bucket' : 'object'
  const level = call.bucket === '' ? 'service' : bucketOrKey
  const operation = findOperation(method, level, call.query, call.request.headers['x-amz-copy-source'] !== undefined)
  if (!operation) throw notImplemented(`${method} ${level} ${[...call.query.keys()].join(' ')}`)
  return operation(call)
}

const present = (headers: AnswerHeaders): Record<string, string | number> =>
  Object.fromEntries(
    Object.entries(headers).filter((entry): entry is [string, string | number] => entry[1] !== undefined),
  )

const send = async (request: IncomingMessage, response: ServerResponse, id: string, answer: Answer): Promise<void> => {
  const xml = answer.xml && Buffer.from(answer.xml.xml)
  const bare = answer.status === 204 || answer.status === 304
  response.writeHead(answer.status, {
    'x-amz-request-id': id,
    'x-amz-id-2': id,
    server: 'AmazonS3',
    ...(bare ? {} : { 'content-length': xml?.length ?? 0 }),
    ...(xml ? { 'content-type': 'application/xml' } : {}),
    ...present(answer.headers ?? {}),
  })
  if (request.method === 'HEAD' || (!xml && !answer.body)) return void response.end()
  if (xml) return void response.end(xml)
  try {
    await pipeline(Readable.from(answer.body ?? []), response)
  } catch (error) {
    // A reader that goes away early is its own affair.
    if (!response.destroyed || !isPrematureClose(error)) throw error
  }
}

const isPrematureClose = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === 'ERR_STREAM_PREMATURE_CLOSE'

const errorAnswer = (error: S3Error, resource: string, requestId: string): Answer => ({
  status: error.status,
  headers: error.headers,
  xml: {
    xml: `<?xml version="1.0" encoding="UTF-8"?>\n${
      element(
        'Error',
        element('Code', error.code),
        element('Message', error.message),
        Object.entries(error.details).map(([name, value]) => element(name, value)),
        element('Resource', resource),
        element('RequestId', requestId),
        element('HostId', requestId),
      ).xml
    }`,
  },
})

/** Answers requests with `s3`; what a caller did wrong is S3's XML error, anything else is thrown. */
export const createHandler =
  (s3: S3): Handler =>
  async (request, response) => {
    const requestId = newRequestId()
    let answer: Answer
    try {
      answer = await run(parse(s3, request, requestId))
    } catch (error) {
      request.resume()
      if (!(error instanceof S3Error)) throw error
      answer = errorAnswer(error, request.url ?? '/', requestId)
    }
    await send(request, response, requestId, answer)
  }

const faultCodes: Record<number, string> = { 403: 'AccessDenied', 500: 'InternalError', 503: 'SlowDown' }

export const sendFault = (response: ServerResponse, status: number): void => {
  const code = faultCodes[status] ?? 'InternalError'
  const { xml } = element(
    'Error',
    element('Code', code),
    element('Message', code),
    element('RequestId', newRequestId()),
  )
  response.writeHead(status, { 'content-type': 'application/xml', 'content-length': Buffer.byteLength(xml) })
  response.end(response.req.method === 'HEAD' ? undefined : xml)
}
