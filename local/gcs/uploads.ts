import { sendJson } from '../http.ts'
import { notImplemented } from './api-error.ts'
import { readJson, requireBucket, toResource, type Call } from './call.ts'
import { createBodyHasher, givenDigests } from './checksums.ts'
import { checkCreate, commitObject, type NewObject } from './commit.ts'
import type { Json, ObjectMeta } from './metadata-store.ts'
import { readMultipart } from './multipart-body.ts'
import { checkObjectName } from './object-metadata.ts'
import { continueResumable, startResumable } from './resumable.ts'

const refuseUnsupported = (call: Call): void => {
  if (call.query.has('predefinedAcl')) throw notImplemented('predefinedAcl')
  if (call.query.has('kmsKeyName') || call.request.headers['x-goog-encryption-algorithm'])
    throw notImplemented('customer-managed encryption keys')
}

async function* counted(source: AsyncIterable<Uint8Array>, count: (bytes: number) => void): AsyncGenerator<Uint8Array> {
  for await (const bytes of source) {
    count(bytes.length)
    yield bytes
  }
}

/** Receives the whole body before it decides, so that refused bytes are counted as what they cost. */
const store = async (
  call: Call,
  bucket: string,
  given: Json,
  media: AsyncIterable<Uint8Array>,
): Promise<ObjectMeta> => {
  const { gcs, query } = call
  const name = checkObjectName(query.get('name') ?? given['name'])
  const file = gcs.bodies.create()
  let received = 0
  const count = (bytes: number): void => {
    received += bytes
    gcs.stats.received(bucket, name, bytes)
  }
  try {
    const hasher = await createBodyHasher()
    const size = await gcs.bodies.append(file, counted(media, count), hasher)
    const created: NewObject = {
      target: { bucket, name, query },
      given: query.has('contentEncoding') ? { contentEncoding: query.get('contentEncoding'), ...given } : given,
      body: { file, size, digests: hasher.digest() },
      digests: givenDigests(given, call.request.headers['x-goog-hash']),
    }
    const meta = commitObject(call, created)
    gcs.stats.created(bucket, name)
    return meta
  } catch (error) {
    gcs.stats.refused(bucket, name, received)
    await gcs.bodies.remove(file)
    throw error
  }
}

/** POST, PUT and DELETE under /upload. */
export const upload = async (call: Call, bucket: string): Promise<void> => {
  const { query, request } = call
  refuseUnsupported(call)
  const type = query.get('uploadType')
  if (query.has('upload_id')) return continueResumable(call)
  requireBucket(call.gcs, bucket)
  call.caller.need('storage.objects.create')
  if (type === 'resumable') {
    const given = await readJson(request)
    const name = checkObjectName(query.get('name') ?? given['name'])
    checkCreate(call, { bucket, name, query })
    return startResumable(call, bucket, name, given)
  }
  const contentType = request.headers['content-type']
  const { meta, media } =
    type === 'multipart'
      ? await readMultipart(request)
      : { meta: contentType === undefined ? {} : { contentType }, media: request }
  if (type !== 'multipart' && type !== 'media') throw notImplemented(`uploadType=${String(type)}`)
  sendJson(call.response, 200, toResource(call.base, await store(call, bucket, meta, media)))
}
