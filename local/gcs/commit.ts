import { requireBucket, type Call } from './call.ts'
import type { StoredBody } from './bodies.ts'
import { checkDigests, type GivenDigests } from './checksums.ts'
import type { BucketMeta, Json, ObjectMeta, ObjectRow, Retention, Session } from './metadata-store.ts'
import { writableFields } from './object-metadata.ts'
import { checkPreconditions } from './preconditions.ts'
import { changeRetention, checkRetained } from './retention.ts'

export type Target = { bucket: string; name: string; query: URLSearchParams }
export type NewObject = {
  target: Target
  /** As the client sent it; what it may not set is dropped. */
  given: Json
  body: StoredBody
  digests: GivenDigests
  /** The object was put together from others: it has no MD5. */
  componentCount?: number
  session?: Session
}

/** Throws unless the caller may create or replace the target now; answers what it would replace. */
export const checkCreate = (call: Call, target: Target): { bucket: BucketMeta; current: ObjectRow | undefined } => {
  const { gcs, caller } = call
  const bucket = requireBucket(gcs, target.bucket)
  caller.need('storage.objects.create')
  const current = gcs.store.live(target.bucket, target.name)
  if (current && gcs.deleteBeforeConditions) caller.need('storage.objects.delete')
  checkPreconditions(target.query, current?.meta)
  if (current) {
    caller.need('storage.objects.delete')
    checkRetained(current.meta, gcs.now())
  }
  return { bucket, current }
}

const newMeta = (call: Call, created: NewObject, bucket: BucketMeta, retention: Retention | undefined): ObjectMeta => {
  const { target, body, componentCount } = created
  const nowMs = call.gcs.now()
  const now = new Date(nowMs).toISOString()
  return {
    storageClass: bucket['storageClass'] ?? 'STANDARD',
    ...writableFields(created.given),
    name: target.name,
    bucket: target.bucket,
    generation: String(call.gcs.store.nextGeneration(nowMs)),
    metageneration: '1',
    size: String(body.size),
    crc32c: body.digests.crc32c,
    ...(componentCount === undefined ? { md5Hash: body.digests.md5Hash } : { componentCount }),
    timeCreated: now,
    updated: now,
    timeStorageClassUpdated: now,
    ...(retention ? { retention } : {}),
  }
}

export const isVersioned = (bucket: BucketMeta): boolean =>
  (bucket['versioning'] as Json | undefined)?.['enabled'] === true

/** The row as it is once it is no longer the live one. */
export const retired = (row: ObjectRow, nowMs: number): ObjectRow => ({
  ...row,
  live: false,
  meta: { ...row.meta, timeDeleted: new Date(nowMs).toISOString() },
})

/**
 * Makes a complete body the live object of its name, in one synchronous step, or throws and leaves all as it was
 * (the body's file is then the caller's to remove).
 */
export const commitObject = (call: Call, created: NewObject): ObjectMeta => {
  const { gcs, caller } = call
  const { bucket, current } = checkCreate(call, created.target)
  checkDigests(created.digests, created.body.digests)
  const given = created.given['retention']
  const retention = given
    ? changeRetention({ bucket, current: undefined, given, override: false, caller, now: gcs.now() })
    : undefined
  const meta = newMeta(call, created, bucket, retention)
  const put = { generation: Number(meta.generation), live: true, file: created.body.file, meta }
  const replaced = current && (isVersioned(bucket) ? { retire: retired(current, gcs.now()) } : { drop: current })
  const session = created.session && { session: { ...created.session, result: meta } }
  gcs.store.apply({ put, ...replaced, ...session })
  if (current && !isVersioned(bucket)) void gcs.bodies.remove(current.file)
  return meta
}
