import { randomUUID } from 'node:crypto'
import { sendJson } from '../http.ts'
import { ApiError, invalid } from './api-error.ts'
import { toResource, type Call } from './call.ts'
import { createBodyHasher, givenDigests, type BodyHasher } from './checksums.ts'
import { commitObject } from './commit.ts'
import type { Json, Session } from './metadata-store.ts'

const CHUNK_BYTES = 256 * 1024

/** Answers where to send the body. The session lives on the disk from here on. */
export const startResumable = (call: Call, bucket: string, name: string, given: Json): void => {
  const { gcs, request, response, query } = call
  const contentType = request.headers['x-upload-content-type']
  const session: Session = {
    id: randomUUID(),
    bucket,
    name,
    file: gcs.bodies.create(),
    principal: call.caller.name,
    query: query.toString(),
    meta: { ...(contentType === undefined ? {} : { contentType }), ...given },
  }
  gcs.store.putSession(session)
  const where = new URLSearchParams({ uploadType: 'resumable', name, upload_id: session.id })
  const location = `${call.base}/upload/storage/v1/b/${encodeURIComponent(bucket)}/o?${where.toString()}`
  response.writeHead(200, { location, 'x-guploader-uploadid': session.id, 'content-length': 0 }).end()
}

/** `open`: the body goes on to its own end, which is the end of the object where `total` does not say otherwise. */
type ContentRange = { start?: number; total?: number; open?: boolean }

const parseRange = (header: string | undefined): ContentRange => {
  if (header === undefined) return { start: 0, open: true }
  const parts = /^bytes (?:(\d+)-(\d+|\*)|\*)\/(\d+|\*)$/.exec(header)
  if (!parts) throw invalid(`Failed to parse Content-Range header: ${header}`)
  return {
    ...(parts[1] === undefined ? {} : { start: Number(parts[1]) }),
    ...(parts[3] === '*' ? {} : { total: Number(parts[3]) }),
    open: parts[2] === '*' && parts[3] === '*',
  }
}

async function* skipping(
  source: AsyncIterable<Uint8Array>,
  skip: number,
  count: (bytes: number) => void,
): AsyncGenerator<Uint8Array> {
  let left = skip
  for await (const bytes of source) {
    count(bytes.length)
    const dropped = Math.min(left, bytes.length)
    left -= dropped
    if (dropped < bytes.length) yield bytes.subarray(dropped)
  }
}

const sendProgress = (call: Call, size: number): void => {
  call.response.writeHead(308, { ...(size > 0 ? { range: `bytes=0-${size - 1}` } : {}), 'content-length': 0 }).end()
}

/** The digests so far; after a restart, or a cut chunk, they are taken anew from the file. */
const hasherOf = async (call: Call, session: Session): Promise<BodyHasher> => {
  const { hashers, bodies } = call.gcs
  const running = hashers.get(session.id)
  const hasher = running ?? (bodies.size(session.file) > 0 ? await bodies.hash(session.file) : await createBodyHasher())
  hashers.set(session.id, hasher)
  return hasher
}

/** Appends what this request brings and answers how many bytes there are, as GCS whole chunks while more must follow. */
const receive = async (call: Call, session: Session, range: ContentRange & { start: number }): Promise<number> => {
  const { bodies, hashers, receiving, stats } = call.gcs
  const have = bodies.size(session.file)
  if (range.start > have)
    throw invalid(
      `Invalid request. According to the Content-Range header, the upload offset is ${range.start} byte(s), ` +
        `which exceeds already uploaded size of ${have} byte(s).`,
    )
  const count = (bytes: number): void => stats.received(session.bucket, session.name, bytes)
  if (receiving.has(session.id)) throw new ApiError(503, 'backendError', 'This session is still receiving a request.')
  receiving.add(session.id)
  try {
    const hasher = await hasherOf(call, session)
    await bodies.append(session.file, skipping(call.request, have - range.start, count), hasher)
  } catch (error) {
    hashers.delete(session.id)
    throw error
  } finally {
    receiving.delete(session.id)
  }
  const size = bodies.size(session.file)
  if (range.open || size === range.total || size % CHUNK_BYTES === 0) return size
  hashers.delete(session.id)
  await bodies.truncate(session.file, size - (size % CHUNK_BYTES))
  return size - (size % CHUNK_BYTES)
}

const finish = async (call: Call, session: Session, size: number): Promise<void> => {
  const { gcs } = call
  const declared = call.request.headers['x-upload-content-length']
  if (declared !== undefined && Number(declared) !== size) throw invalid(`${String(declared)} bytes were announced`)
  if (size === 0) await gcs.bodies.append(session.file, (async function* () {})(), await hasherOf(call, session))
  const digests = (await hasherOf(call, session)).digest()
  gcs.hashers.delete(session.id)
  try {
    const meta = commitObject(call, {
      target: { bucket: session.bucket, name: session.name, query: new URLSearchParams(session.query) },
      given: session.meta,
      body: { file: session.file, size, digests },
      digests: givenDigests(session.meta, call.request.headers['x-goog-hash']),
      session,
    })
    gcs.stats.created(session.bucket, session.name)
    sendJson(call.response, 200, toResource(call.base, meta))
  } catch (error) {
    gcs.stats.refused(session.bucket, session.name, size)
    await endSession(call, session)
    throw error
  }
}

const endSession = async (call: Call, session: Session): Promise<void> => {
  call.gcs.hashers.delete(session.id)
  call.gcs.store.deleteSession(session.id)
  await call.gcs.bodies.remove(session.file)
}

/** PUT of a chunk, of the rest or of a status query (a Content-Range that starts with an asterisk), and DELETE. */
export const continueResumable = async (call: Call): Promise<void> => {
  const { gcs, request, query } = call
  const session = gcs.store.session(query.get('upload_id') ?? '')
  if (!session) throw new ApiError(404, 'notFound', 'The upload session was not found.')
  if (session.result) {
    request.resume()
    return sendJson(call.response, 200, toResource(call.base, session.result))
  }
  if (request.method === 'DELETE') {
    await endSession(call, session)
    throw new ApiError(499, 'clientClosedRequest', 'Client Closed Request')
  }
  const range = parseRange(request.headers['content-range'])
  const { start } = range
  const size = start === undefined ? gcs.bodies.size(session.file) : await receive(call, session, { ...range, start })
  const complete = range.open || size === range.total
  if (range.total !== undefined && size > range.total) throw invalid('More bytes were sent than the total announced.')
  return complete ? finish(call, session, size) : sendProgress(call, size)
}
