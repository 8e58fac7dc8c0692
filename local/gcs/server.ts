/**
 * The embedded Cloud Storage: the JSON API on loopback, for `@google-cloud/storage` and `gcloud storage`.
 *
 * Covered: buckets insert, get, list, patch, update, delete, storageLayout; objects insert (media, multipart and
 * resumable with status query, chunks and cancel), get, media with ranges and gzip transcoding, list (prefix,
 * delimiter, offsets, versions, pages), patch, update, delete, compose, rewriteTo, copyTo; generations and versions,
 * all preconditions, crc32c and md5 computed and checked, per-object retention, and principals whose permissions come
 * from infra/gcp/roles.json. `fields` and `projection` are accepted and answered in full. PUT of a bucket is a PATCH.
 * A versioned bucket refuses to replace a retained object just as an unversioned one does.
 *
 * Everything else answers 501: holds, bucket retention policies, ACLs and IAM, customer keys, matchGlob, soft
 * deletion and restore, moveTo, folders, notifications, HMAC keys, batch and the XML API.
 *
 * Metadata is in `<dir>/gcs.sqlite`, bodies are files under `<dir>/bodies`; what was acknowledged survives SIGKILL.
 */
import { mkdirSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { join } from 'node:path'
import { listen, type Listening } from '../http.ts'
import { ApiError, notImplemented, sendError, sendFault } from './api-error.ts'
import { openBodies } from './bodies.ts'
import { deleteBucket, getBucket, getStorageLayout, insertBucket, listBuckets, patchBucket } from './buckets.ts'
import type { Call, Gcs } from './call.ts'
import { openMetadataStore } from './metadata-store.ts'
import { changeObject, deleteObject } from './objects-change.ts'
import { composeObject, copyObject } from './objects-copy.ts'
import { listObjects } from './objects-list.ts'
import { getObject } from './objects-read.ts'
import { authenticate, findCaller, projectRoles, type Caller, type RoleTable } from './principals.ts'
import { createStats, type GcsStats } from './stats.ts'
import { upload } from './uploads.ts'

export type GcsServer = Listening & { stats(): GcsStats }

const routeBucket = async (call: Call, method: string, bucket: string | undefined): Promise<void> => {
  if (bucket === undefined) {
    if (method === 'POST') return insertBucket(call)
    if (method === 'GET') return listBuckets(call)
  } else {
    if (method === 'GET') return getBucket(call, bucket)
    if (method === 'PATCH' || method === 'PUT') return patchBucket(call, bucket)
    if (method === 'DELETE') return deleteBucket(call, bucket)
  }
  throw notImplemented(`${method} of a bucket`)
}

const routeObject = async (call: Call, method: string, path: string[], download: boolean): Promise<void> => {
  const [bucket = '', , name, action, , toBucket, , toName] = path
  if (name === undefined) {
    if (method === 'GET') return listObjects(call, bucket)
  } else if (action === undefined) {
    if (method === 'GET') return getObject(call, bucket, name, download)
    if (method === 'PATCH' || method === 'PUT') return changeObject(call, bucket, name)
    if (method === 'DELETE') return deleteObject(call, bucket, name)
  } else if (action === 'compose' && method === 'POST') return composeObject(call, bucket, name)
  else if ((action === 'rewriteTo' || action === 'copyTo') && method === 'POST')
    return copyObject(call, action, { bucket, name }, { bucket: toBucket ?? '', name: toName ?? '' })
  throw notImplemented(`${method} ${action ?? ''} of an object`)
}

const decode = (part: string): string => {
  try {
    return decodeURIComponent(part)
  } catch {
    throw new ApiError(400, 'invalid', 'The path is not percent-encoded UTF-8.')
  }
}

/** Paths are /storage/v1/b/..., below /upload, /resumable/upload or /download too. */
const route = async (call: Call, pathname: string): Promise<void> => {
  const { method = '' } = call.request
  const parts = pathname.split('/').slice(1).map(decode)
  if (parts[0] === 'resumable') parts.shift()
  const [service] = parts
  if (service === 'upload' || service === 'download') parts.shift()
  const [storage, version, kind, ...path] = parts
  if (storage !== 'storage' || version !== 'v1' || kind !== 'b') throw notImplemented(`${method} ${pathname}`)
  if (service === 'upload') {
    if (path[1] !== 'o') throw notImplemented(`${method} ${pathname}`)
    return upload(call, path[0] ?? '')
  }
  if (path.length <= 1) return routeBucket(call, method, path[0] === '' ? undefined : path[0])
  if (path[1] === 'storageLayout' && method === 'GET') return getStorageLayout(call, path[0] ?? '')
  if (path[1] === 'o') return routeObject(call, method, path, service === 'download')
  throw notImplemented(`${method} ${pathname}`)
}

/** A resumable session's URL is its own authority, for as long as its principal exists. */
const callerOf = (gcs: Gcs, roles: RoleTable, request: IncomingMessage, query: URLSearchParams): Caller => {
  const session = query.has('upload_id') ? gcs.store.session(query.get('upload_id') ?? '') : undefined
  const owner = session && findCaller(roles, session.principal)
  return owner ?? authenticate(roles, request.headers.authorization)
}

/** `deleteBeforeConditions`: a create over an existing name asks for storage.objects.delete before preconditions; GCS documents no order. */
export const startGcs = async (options: {
  dir: string
  port?: number
  roles?: RoleTable
  now?: () => number
  deleteBeforeConditions?: boolean
}): Promise<GcsServer> => {
  mkdirSync(options.dir, { recursive: true })
  const roles = options.roles ?? projectRoles()
  const gcs: Gcs = {
    store: openMetadataStore(options.dir),
    bodies: openBodies(join(options.dir, 'bodies')),
    stats: createStats(),
    hashers: new Map(),
    receiving: new Set(),
    deleteBeforeConditions: options.deleteBeforeConditions === true,
    now: options.now ?? Date.now,
  }
  gcs.bodies.removeAllBut(gcs.store.files())
  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const base = `http://${request.headers.host ?? '127.0.0.1'}`
    const [pathname = '', search = ''] = (request.url ?? '').split('?', 2)
    const query = new URLSearchParams(search)
    try {
      const caller = callerOf(gcs, roles, request, query)
      await route({ gcs, request, response, query, caller, base }, pathname)
    } catch (error) {
      if (request.destroyed && !request.complete) return
      if (!(error instanceof ApiError) || response.headersSent) throw error
      request.resume()
      sendError(response, error)
    }
  }
  const stats = (): GcsStats => gcs.stats.snapshot()
  const listening = await listen({
    ...(options.port === undefined ? {} : { port: options.port }),
    handle,
    onFault: sendFault,
    stats,
  })
  const close = async (): Promise<void> => {
    await listening.close()
    gcs.store.close()
  }
  return { ...listening, stats, close }
}
