import type { IncomingMessage, ServerResponse } from 'node:http'
import { readBody } from '../http.ts'
import { ApiError, bucketNotFound, invalid } from './api-error.ts'
import type { Bodies } from './bodies.ts'
import type { BodyHasher } from './checksums.ts'
import type { BucketMeta, Json, MetadataStore, ObjectMeta, ObjectRow } from './metadata-store.ts'
import { denied, type Caller } from './principals.ts'
import type { StatsRecorder } from './stats.ts'

/** What every operation works on. `hashers` holds the running digests of resumable uploads, `receiving` those with a body under way; both by session. */
export type Gcs = {
  store: MetadataStore
  bodies: Bodies
  stats: StatsRecorder
  hashers: Map<string, BodyHasher>
  receiving: Set<string>
  deleteBeforeConditions: boolean
  now(): number
}

/** One request. `base` is the URL that the client used, for links. */
export type Call = {
  gcs: Gcs
  request: IncomingMessage
  response: ServerResponse
  query: URLSearchParams
  caller: Caller
  base: string
}

/** Whether a boolean parameter is set; `gcloud` writes True. */
export const flag = (query: URLSearchParams, name: string): boolean => query.get(name)?.toLowerCase() === 'true'

const METADATA_BYTES_MAX = 2 ** 20

export const parseJson = (text: string): Json => {
  if (text.trim() === '') return {}
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Json
  } catch (error) {
    throw new ApiError(400, 'parseError', `Parse Error: ${String(error)}`)
  }
  throw new ApiError(400, 'parseError', 'Parse Error')
}

export const readJson = async (request: IncomingMessage): Promise<Json> =>
  parseJson(String(await readBody(request, METADATA_BYTES_MAX)))

export const requireBucket = (gcs: Gcs, name: string): BucketMeta => {
  const bucket = gcs.store.bucket(name)
  if (!bucket) throw bucketNotFound()
  return bucket
}

const generationOf = (text: string): number => {
  if (!/^\d{1,16}$/.test(text)) throw invalid(`Invalid value for generation: ${text}`)
  return Number(text)
}

/**
 * The generation asked for, or the live object. A caller that may not list learns by 403, as in GCS, only that it
 * cannot tell whether there is such an object.
 */
export const requireObject = (call: Call, bucket: string, name: string, generation: string | null): ObjectRow => {
  const { store } = call.gcs
  const row = generation === null ? store.live(bucket, name) : store.version(bucket, name, generationOf(generation))
  if (row) return row
  if (!call.caller.has('storage.objects.list')) throw denied(call.caller.name, 'storage.objects.list')
  throw new ApiError(404, 'notFound', `No such object: ${bucket}/${name}`)
}

/** The resource as the API answers it. */
export const toResource = (base: string, meta: ObjectMeta): Json => {
  const path = `storage/v1/b/${encodeURIComponent(meta.bucket)}/o/${encodeURIComponent(meta.name)}`
  return {
    kind: 'storage#object',
    id: `${meta.bucket}/${meta.name}/${meta.generation}`,
    selfLink: `${base}/${path}`,
    mediaLink: `${base}/download/${path}?generation=${meta.generation}&alt=media`,
    etag: etagOf(meta),
    ...meta,
    ...(meta.retention ? { retentionExpirationTime: meta.retention.retainUntilTime } : {}),
  }
}

export const etagOf = (meta: ObjectMeta): string =>
  Buffer.from(`${meta.generation}/${meta.metageneration}`).toString('base64')
