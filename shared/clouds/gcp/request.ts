import { request as plainRequest, type IncomingMessage } from 'node:http'
import { request as secureRequest } from 'node:https'
import { CorruptError } from '../../errors.ts'

/** Whole bodies to and from Cloud Storage without a copy: the package's streams and `fetch` cost several of each byte. */

/** One attempt of one request; a body is some tens of MiB at most. */
export const REQUEST_TIMEOUT_MS = 60_000

export type Answer = { status: number; body: Uint8Array }

const errorBytesMax = 64 * 2 ** 10

const collect = async (response: IncomingMessage, bytesMax: number, what: string): Promise<Uint8Array> => {
  const declared = Number(response.headers['content-length'] ?? Number.NaN)
  const whole = declared <= bytesMax ? Buffer.allocUnsafeSlow(declared) : undefined
  const parts: Uint8Array[] = []
  let size = 0
  for await (const part of response as AsyncIterable<Buffer>) {
    if (size + part.length > bytesMax) throw new CorruptError(`${what}: more than the ${bytesMax} bytes it may have`)
    if (whole) whole.set(part, size)
    else parts.push(part)
    size += part.length
  }
  return whole ?? Buffer.concat(parts, size)
}

/** The text of an error in JSON as the API writes it, or the body as it is. */
export const errorText = (body: Uint8Array): string => {
  const text = Buffer.from(body).toString('utf8')
  try {
    return (JSON.parse(text) as { error?: { message?: string } }).error?.message ?? text
  } catch {
    return text
  }
}

/**
 * One request with `parts` as its body, on a connection that is kept for the next. When it settles, in whatever way,
 * nothing reads `parts` any more. Throws CorruptError where a good answer is longer than `bytesMax`; `what` names the
 * operation there.
 */
export const send = async (options: {
  method: 'GET' | 'POST'
  url: string
  headers: Record<string, string>
  parts?: readonly Uint8Array[]
  bytesMax: number
  timeoutMs: number
  what: string
}): Promise<Answer> => {
  const { method, url, parts = [], bytesMax, timeoutMs, what } = options
  const length = parts.reduce((sum, part) => sum + part.length, 0)
  const headers = { ...options.headers, ...(method === 'GET' ? {} : { 'content-length': String(length) }) }
  const request = (url.startsWith('https:') ? secureRequest : plainRequest)(url, { method, headers })
  // Also after a failure, the socket may still be reading what it was given to write.
  const closed = new Promise<void>((resolve) => request.once('close', resolve))
  const timer = setTimeout(
    () => request.destroy(new DOMException(`no answer within ${timeoutMs} ms`, 'TimeoutError')),
    timeoutMs,
  )
  const response = new Promise<IncomingMessage>((resolve, reject) => {
    request.once('response', resolve)
    request.on('error', reject)
  })
  try {
    request.cork()
    for (const part of parts) request.write(part)
    request.end()
    const { statusCode: status = 0 } = await response
    const isGood = status >= 200 && status < 300
    return { status, body: await collect(await response, isGood ? bytesMax : errorBytesMax, what) }
  } catch (error) {
    request.destroy()
    throw error
  } finally {
    clearTimeout(timer)
    await closed
  }
}
