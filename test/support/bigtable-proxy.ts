import { once } from 'node:events'
import { connect, createServer, type Http2Session, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { type Fault, takeFault } from '../../local/http.ts'

/** gRPC on its way to any Bigtable, with the faults that Google's emulator cannot have. */
export type BigtableProxy = {
  url: string
  /** Of every fault, how often it was met, by `METHOD before|after`. */
  met: Record<string, number>
  /** `path` over `/google.bigtable.v2.Bigtable/ReadRows` and the like; `cut` before, or after the work was done. */
  setFaults(faults: Fault[]): void
  close(): Promise<void>
}

const unavailable = {
  ':status': 200,
  'content-type': 'application/grpc',
  'grpc-status': '14',
  'grpc-message': 'a fault was switched on',
}

type Answer = { headers: IncomingHttpHeaders; trailers: IncomingHttpHeaders; body: Buffer }

const forward = async (upstream: Http2Session, headers: IncomingHttpHeaders, body: Buffer): Promise<Answer> => {
  if (!('request' in upstream)) throw new Error('not a client session')
  const { ':authority': _authority, host: _host, ...rest } = headers
  const request = (upstream as ReturnType<typeof connect>).request(rest)
  let trailers: IncomingHttpHeaders = {}
  request.on('trailers', (found: IncomingHttpHeaders) => (trailers = found))
  const closed = once(request, 'close')
  request.end(body)
  const [found] = (await once(request, 'response')) as [IncomingHttpHeaders]
  const answer = await buffer(request)
  // The trailers may come behind the end of the body.
  await closed
  return { headers: found, trailers, body: answer }
}

const reply = (stream: ServerHttp2Stream, { headers, trailers, body }: Answer): void => {
  const { ':status': status, ...rest } = headers
  if (headers['grpc-status'] !== undefined)
    return stream.respond({ ':status': Number(status), ...rest }, { endStream: true })
  stream.respond({ ':status': Number(status), ...rest }, { waitForTrailers: true })
  stream.once('wantTrailers', () => stream.sendTrailers(trailers))
  stream.end(body)
}

/** `target` is `http://host:port`. Answers are passed on whole. */
export const startBigtableProxy = async (target: string): Promise<BigtableProxy> => {
  const upstream = connect(target)
  const faults: Fault[] = []
  const met: Record<string, number> = {}
  const sessions = new Set<Http2Session>()
  const serve = async (stream: ServerHttp2Stream, headers: IncomingHttpHeaders): Promise<void> => {
    const path = headers[':path'] ?? ''
    const body = await buffer(stream)
    const fault = takeFault(faults, path)
    if (fault) {
      const name = `${path.split('/').at(-1)} ${fault.cut}`
      met[name] = (met[name] ?? 0) + 1
    }
    if (fault?.cut === 'before') return stream.respond(unavailable, { endStream: true })
    const answer = await forward(upstream, headers, body)
    if (stream.destroyed) return
    if (fault?.cut === 'after') return stream.respond(unavailable, { endStream: true })
    reply(stream, answer)
  }
  const server = createServer()
  server.on('session', (session) => {
    sessions.add(session)
    session.once('close', () => sessions.delete(session))
  })
  server.on('stream', (stream, headers) => {
    stream.on('error', () => undefined)
    serve(stream, headers).catch(() => stream.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    met,
    setFaults: (next) => void faults.splice(0, faults.length, ...next),
    close: async () => {
      for (const session of sessions) session.destroy()
      upstream.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}
