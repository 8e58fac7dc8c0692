import { sendJson } from '../http.ts'
import { ApiError, invalid, notImplemented } from './api-error.ts'
import { flag, readJson, requireBucket, type Call } from './call.ts'
import type { BucketMeta, Json } from './metadata-store.ts'
import { checkPreconditions } from './preconditions.ts'

const READ_ONLY = ['kind', 'id', 'selfLink', 'name', 'timeCreated', 'updated', 'metageneration', 'objectRetention']

/** What a client may set; kept and shown, though of all settings only versioning and object retention do something. */
const settings = (given: Json): Json => {
  for (const field of ['retentionPolicy', 'defaultEventBasedHold', 'hierarchicalNamespace'])
    if (given[field]) throw notImplemented(`the bucket setting ${field}`)
  return Object.fromEntries(Object.entries(given).filter(([field]) => !READ_ONLY.includes(field)))
}

const toResource = (call: Call, meta: BucketMeta): Json => ({
  kind: 'storage#bucket',
  id: meta.name,
  selfLink: `${call.base}/storage/v1/b/${meta.name}`,
  projectNumber: '1',
  locationType: 'multi-region',
  etag: Buffer.from(meta.metageneration).toString('base64'),
  ...meta,
})

/** POST /b */
export const insertBucket = async (call: Call): Promise<void> => {
  const { gcs, query, caller } = call
  const given = await readJson(call.request)
  caller.need('storage.buckets.create')
  const { name } = given
  if (typeof name !== 'string' || !/^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$/.test(name))
    throw invalid(`Invalid bucket name: '${String(name)}'`)
  if (gcs.store.bucket(name))
    throw new ApiError(
      409,
      'conflict',
      'Your previous request to create the named bucket succeeded and you already own it.',
    )
  const now = new Date(gcs.now()).toISOString()
  const retained = flag(query, 'enableObjectRetention')
  if (retained) caller.need('storage.buckets.enableObjectRetention')
  const meta: BucketMeta = {
    location: 'US',
    storageClass: 'STANDARD',
    ...settings(given),
    name,
    metageneration: '1',
    timeCreated: now,
    updated: now,
    ...(retained ? { objectRetention: { mode: 'Enabled' } } : {}),
  }
  gcs.store.putBucket(meta)
  sendJson(call.response, 200, toResource(call, meta))
}

/** GET /b with prefix, maxResults and pageToken. */
export const listBuckets = (call: Call): void => {
  const { query } = call
  call.caller.need('storage.buckets.list')
  const max = Number(query.get('maxResults') ?? 1000)
  if (!Number.isInteger(max) || max < 1) throw invalid('Invalid value for maxResults')
  const after = query.get('pageToken') ?? ''
  const all = call.gcs.store.buckets().filter(({ name }) => name > after && name.startsWith(query.get('prefix') ?? ''))
  const page = all.slice(0, max)
  const next = all.length > max ? page.at(-1)?.name : undefined
  sendJson(call.response, 200, {
    kind: 'storage#buckets',
    items: page.map((meta) => toResource(call, meta)),
    ...(next === undefined ? {} : { nextPageToken: next }),
  })
}

/** GET /b/BUCKET and its storageLayout, which `gcloud storage` asks for. */
export const getBucket = (call: Call, name: string): void => {
  const meta = requireBucket(call.gcs, name)
  call.caller.need('storage.buckets.get')
  checkPreconditions(call.query, { metageneration: meta.metageneration }, { read: true })
  sendJson(call.response, 200, toResource(call, meta))
}

export const getStorageLayout = (call: Call, name: string): void => {
  const meta = requireBucket(call.gcs, name)
  call.caller.need('storage.objects.list')
  sendJson(call.response, 200, {
    kind: 'storage#storageLayout',
    bucket: name,
    location: meta['location'],
    locationType: 'multi-region',
    hierarchicalNamespace: { enabled: false },
  })
}

/** PATCH and PUT /b/BUCKET: both change what is named (null removes it) and leave the rest. */
export const patchBucket = async (call: Call, name: string): Promise<void> => {
  const given = await readJson(call.request)
  const meta = requireBucket(call.gcs, name)
  call.caller.need('storage.buckets.update')
  checkPreconditions(call.query, { metageneration: meta.metageneration })
  const changed = Object.fromEntries(
    Object.entries({ ...meta, ...settings(given) }).filter(([, value]) => value !== null),
  )
  const next: BucketMeta = {
    ...changed,
    name,
    metageneration: String(Number(meta.metageneration) + 1),
    updated: new Date(call.gcs.now()).toISOString(),
  }
  call.gcs.store.putBucket(next)
  sendJson(call.response, 200, toResource(call, next))
}

/** DELETE /b/BUCKET, which must hold no version of any object. */
export const deleteBucket = (call: Call, name: string): void => {
  const meta = requireBucket(call.gcs, name)
  call.caller.need('storage.buckets.delete')
  checkPreconditions(call.query, { metageneration: meta.metageneration })
  if (!call.gcs.store.isEmpty(name)) throw new ApiError(409, 'conflict', 'The bucket you tried to delete is not empty.')
  call.gcs.store.deleteBucket(name)
  call.response.writeHead(204).end()
}
