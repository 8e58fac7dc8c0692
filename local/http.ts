import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/**
 * Faults for the next matching requests, switched on by `PUT /_lifeboat/faults` with a JSON list and listed by GET.
 * `path` is a regular expression over "METHOD /path?query". `status` answers that; `cut` drops the connection `before`
 * the request is handled or `after` it (a lost reply); `delayMs` waits first. Each match uses up one of `times`. With
 * `every`, only every so many-th matching request is hit: 10 makes it 10 percent.
 */
export type Fault = {
  path: string
  times: number
  status?: number
  cut?: 'before' | 'after'
  delayMs?: number
  every?: number
  /** Matching requests so far, hit or not. */
  matched?: number
}

export type Handler = (request: IncomingMessage, response: ServerResponse) => Promise<void>
export type Listening = { url: string; port: number; faults: Fault[]; close(): Promise<void> }

export const readBody = async (request: AsyncIterable<Uint8Array>, bytesMax = 64 * 2 ** 20): Promise<Buffer> => {
  const parts: Uint8Array[] = []
  let size = 0
  for await (const part of request) {
    size += part.length
    if (size > bytesMax) throw new Error(`a request body of more than ${bytesMax} bytes`)
    parts.push(part)
  }
  return Buffer.concat(parts)
}

export const sendJson = (response: ServerResponse, status: number, body: unknown): void => {
  const bytes = Buffer.from(JSON.stringify(body))
  response.writeHead(status, { 'content-type': 'application/json; charset=UTF-8', 'content-length': bytes.length })
  response.end(bytes)
}

/** Takes up one of the `times` of the fault that is due for a request of this line, if there is one. */
export const takeFault = (faults: Fault[], line: string): Fault | undefined => {
  const hits = (candidate: Fault): boolean => {
    if (candidate.times <= 0 || !new RegExp(candidate.path).test(line)) return false
    candidate.matched = (candidate.matched ?? 0) + 1
    return candidate.matched % (candidate.every ?? 1) === 0
  }
  const fault = faults.find(hits)
  if (fault) fault.times -= 1
  return fault
}

/** Makes every write of the response vanish and cuts the connection where it would end: the work is done, the reply lost. */
const loseReply = (response: ServerResponse): void => {
  const lose = (): ServerResponse => {
    response.socket?.destroy()
    return response
  }
  response.writeHead = () => response
  response.write = () => true
  response.end = lose as typeof response.end
}

/**
 * An HTTP server on loopback with switchable faults and `GET /_lifeboat/health`. `onFault` shapes a status fault in
 * the service's own error format; `stats` answers `GET /_lifeboat/stats`; `control` answers the service's own controls,
 * by path without the query, and resolves false for one that it does not know.
 */
export const listen = async (options: {
  port?: number
  handle: Handler
  onFault: (response: ServerResponse, status: number) => void
  stats?: () => unknown
  control?: (path: string, request: IncomingMessage, response: ServerResponse) => Promise<boolean>
}): Promise<Listening> => {
  const faults: Fault[] = []
  const control = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    if (request.url === '/_lifeboat/health') return sendJson(response, 200, { ok: true })
    if (request.url === '/_lifeboat/stats') return sendJson(response, 200, options.stats?.() ?? {})
    if (request.url === '/_lifeboat/faults') {
      if (request.method === 'PUT')
        faults.splice(0, faults.length, ...(JSON.parse(String(await readBody(request))) as Fault[]))
      return sendJson(response, 200, faults)
    }
    const path = new URL(request.url ?? '/', 'http://localhost').pathname
    if (await options.control?.(path, request, response)) return
    return sendJson(response, 404, { error: 'no such control' })
  }
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    if (request.url?.startsWith('/_lifeboat/')) return control(request, response)
    const fault = takeFault(faults, `${request.method} ${request.url}`)
    if (fault?.delayMs) await new Promise((resolve) => setTimeout(resolve, fault.delayMs))
    if (fault?.cut === 'before') return void request.socket.destroy()
    if (fault?.status) {
      request.resume()
      return options.onFault(response, fault.status)
    }
    if (fault?.cut === 'after') loseReply(response)
    return options.handle(request, response)
  }
  const onRequest = (request: IncomingMessage, response: ServerResponse): void => {
    answer(request, response).catch((error: unknown) => {
      if (!request.socket.destroyed) console.error(`${request.method} ${request.url}`, error)
      if (response.headersSent) response.destroy()
      else options.onFault(response, 500)
    })
  }
  const server: Server = createServer({ highWaterMark: 2 ** 20, keepAliveTimeout: 60_000 }, onRequest)
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
    response.writeContinue()
    onRequest(request, response)
  })
  server.listen(options.port ?? 0, '127.0.0.1')
  await once(server, 'listening')
  const port = (server.address() as AddressInfo).port
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    faults,
    close: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
