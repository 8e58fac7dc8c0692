import { InvalidInputError, NotFoundError } from '../../shared/errors.ts'
import type { BlobStore } from '../../shared/ports.ts'
import { listFailures } from '../../shared/weights/catalog-failures.ts'
import { versionNamed, versionsOf } from '../../shared/weights/catalog-objects.ts'
import { surveyObjects } from '../../shared/weights/catalog-pending.ts'
import {
  findByTraceId,
  isTraced,
  type ObjectTrace,
  type ObjectVersion,
  traceObject,
} from '../../shared/weights/catalog-trace.ts'

/** Which object version a user means. */

const everything = Number.MAX_SAFE_INTEGER

/** `others` are the other versions of the key that the replica knows. */
export type Found = { trace: ObjectTrace; others: string[] }

type Known = { version: string; lastModified: string }

/** Versions that are sealed or on their way, the newest in the source first. */
const knownVersions = async (store: BlobStore, bucket: string, key: string): Promise<Known[]> => {
  const { pending } = await surveyObjects(store, { namesMax: everything, readsMax: everything })
  const open = (pending ?? []).map(({ record }) => record.source)
  const sealed = (await versionsOf(store, bucket, key)).map(({ object }) => object.source)
  const all = [...sealed, ...open.filter((source) => source.bucket === bucket && source.key === key)]
  return [...new Map(all.map((source) => [source.version, source])).values()].sort(
    (a, b) => Date.parse(b.lastModified) - Date.parse(a.lastModified),
  )
}

/** The last version of the key of which something went wrong. */
const failedVersion = async (store: BlobStore, bucket: string, key: string): Promise<ObjectVersion | undefined> => {
  const { failed } = await listFailures(store, everything, (record) => record.bucket === bucket && record.key === key)
  const version = failed.find((record) => record.version !== undefined)?.version
  return version === undefined ? undefined : { bucket, key, version }
}

const split = (bucket: string, text: string): ObjectVersion | undefined => {
  const hash = text.lastIndexOf('#')
  return hash > 0 && hash < text.length - 1
    ? { bucket, key: text.slice(0, hash), version: text.slice(hash + 1) }
    : undefined
}

/** The version named by `key#version`, in full or by its beginning, or the newest one of the key. */
export const findByUrl = async (store: BlobStore, bucket: string, text: string): Promise<Found> => {
  const named = split(bucket, text)
  const exact = named && (await traceObject(store, named))
  if (exact && isTraced(exact)) return { trace: exact, others: [] }
  const [newest, ...others] = (await knownVersions(store, bucket, text)).map(({ version }) => version)
  if (newest !== undefined) return { trace: await traceObject(store, { bucket, key: text, version: newest }), others }
  if (named) {
    const versions = (await knownVersions(store, bucket, named.key)).map(({ version }) => version)
    const version = versionNamed(versions, named.version)
    if (version !== undefined) return { trace: await traceObject(store, { ...named, version }), others: [] }
  }
  const failed = await failedVersion(store, bucket, text)
  if (failed) return { trace: await traceObject(store, failed), others: [] }
  throw new NotFoundError(
    `the replica has no record of s3://${bucket}/${text}: no event of it was worked off; "lifeboat ls s3://${bucket}/" lists what there is`,
  )
}

const failuresAlone = (failed: ObjectTrace['failed']): ObjectTrace => {
  const [record] = failed
  const { bucket = '', key = record?.name ?? '', version = '' } = record ?? {}
  const object = { bucket, key, version }
  return { object, plans: [], sealed: [], cancelled: [], releases: [], damaged: [], waiting: [], failed, deleted: [] }
}

/** The object version of a trace id, as logs have it; for an event that was refused, what is known of it. */
export const findById = async (store: BlobStore, traceId: string): Promise<ObjectTrace> => {
  const { object, failed } = await findByTraceId(store, traceId)
  if (!object && failed.length === 0)
    throw new NotFoundError(
      `the replica has no object of trace ${traceId}; the change of a row is found by its key: "lifeboat trace TABLE KEY"`,
    )
  if (!object) return failuresAlone(failed)
  try {
    const trace = await traceObject(store, object)
    // An event that was refused has a trace of its own, beside that of its object.
    const more = failed.filter((record) => trace.failed.every((known) => known.traceId !== record.traceId))
    return { ...trace, failed: [...trace.failed, ...more] }
  } catch (error) {
    // What was refused may bear names that no other record can have.
    if (!(error instanceof InvalidInputError) || failed.length === 0) throw error
    return failuresAlone(failed)
  }
}
