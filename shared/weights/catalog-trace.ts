import { mapInOrder, toArray } from '../bounded.ts'
import type { BlobStat, BlobStore } from '../ports.ts'
import { listReleases, mayBeOfModel } from './catalog.ts'
import { findDeletions } from './catalog-deleted.ts'
import { listWaiting } from './catalog-failures.ts'
import { type FoundObject, readsAtOnce, statsOf, versionNameOf } from './catalog-read.ts'
import { traceIdOf } from './identity.ts'
import {
  cancelledSchema,
  type DeletedRecord,
  type FailedRecord,
  failedSchema,
  type ObjectManifest,
  objectManifestSchema,
  parseRecord,
  type PendingManifest,
  pendingSchema,
  type ReleaseManifest,
  type WaitingRecord,
} from './manifest.ts'
import { failedName, objectManifestName, parseObjectManifestName, parsePendingName, pendingName } from './names.ts'
import { readRecord } from './restore-read.ts'

/** The path of one object version, from the records that it left in the replica. */

export type ObjectVersion = { bucket: string; key: string; version: string }

export type ObjectTrace = {
  object: ObjectVersion
  plans: PendingManifest[]
  /** `name` is that of the manifest. */
  sealed: FoundObject[]
  cancelled: { planId: string; at: string }[]
  releases: { name: string; release: ReleaseManifest }[]
  /** Manifests that may be of more of its releases and cannot be read. */
  damaged: string[]
  waiting: WaitingRecord[]
  failed: FailedRecord[]
  deleted: DeletedRecord[]
}

// ---------------------------------------------------------- what left a trace

/** Records that are read at most to find the traces of one key. */
const recordsMax = 100_000
/** Any plan's id, to make the beginning of a name. */
const anyPlan = '0'.repeat(16)

const newestFirst = (stats: BlobStat[]): BlobStat[] => stats.sort((a, b) => b.createdAt - a.createdAt)

const sourceOf = ({ source }: PendingManifest | ObjectManifest): ObjectVersion => {
  const { bucket, key, version } = source
  return { bucket, key, version }
}

type Wanted = (record: { traceId: string; source: ObjectVersion }) => boolean

/** The newest plan that is wanted. Names do not tell of which object a plan is, so that it takes reading them. */
const searchPlans = async (store: BlobStore, wanted: Wanted): Promise<ObjectVersion | undefined> => {
  const stats = newestFirst(await toArray(statsOf(store, 'pending/', (name) => parsePendingName(name) !== undefined)))
  const read = async ({ name }: BlobStat) => (await readRecord(store, name, pendingSchema)).record
  for await (const record of mapInOrder(stats, readsAtOnce, read)) if (wanted(record)) return sourceOf(record)
  return undefined
}

const readManifest = async (store: BlobStore, name: string) =>
  (await readRecord(store, name, objectManifestSchema.or(cancelledSchema))).record

const isManifestName = (name: string): boolean => parseObjectManifestName(name) !== undefined

/** For objects whose plans are gone. */
const searchManifests = async (store: BlobStore, wanted: Wanted): Promise<ObjectVersion | undefined> => {
  const stats = newestFirst(await toArray(statsOf(store, 'objects/', isManifestName)))
  for await (const record of mapInOrder(stats, readsAtOnce, ({ name }) => readManifest(store, name)))
    if (record.format !== 'lifeboat/cancelled' && wanted(record)) return sourceOf(record)
  return undefined
}

const failedStates = ['refused', 'quarantined', 'superseded'] as const

const readFailures = async (store: BlobStore, traceId: string): Promise<FailedRecord[]> => {
  const names = failedStates.map((state) => failedName(state, traceId))
  const found = mapInOrder(names, names.length, async (name) => {
    const body = await store.read(name)
    return body && parseRecord(failedSchema, name, body)
  })
  return (await toArray(found)).filter((record) => record !== undefined)
}

/** The object version of a trace id: by its failures, which are named by it, else by reading plans, then manifests. */
export const findByTraceId = async (
  store: BlobStore,
  traceId: string,
): Promise<{ object?: ObjectVersion; failed: FailedRecord[] }> => {
  const failed = await readFailures(store, traceId)
  for (const { bucket, key, version } of failed)
    if (bucket !== undefined && key !== undefined && version !== undefined)
      return { object: { bucket, key, version }, failed }
  const wanted: Wanted = (record) => record.traceId === traceId
  const object = (await searchPlans(store, wanted)) ?? (await searchManifests(store, wanted))
  return object ? { object, failed } : { failed }
}

// -------------------------------------------------------------- all its traces

const plansOf = async (store: BlobStore, object: ObjectVersion): Promise<PendingManifest[]> => {
  const begin = versionNameOf(pendingName(object.version, anyPlan))
  const stats = statsOf(
    store,
    `${begin}.`,
    (name) => parsePendingName(name) !== undefined && versionNameOf(name) === begin,
  )
  const read = async ({ name }: BlobStat) => (await readRecord(store, name, pendingSchema)).record
  const plans = await toArray(mapInOrder(stats, readsAtOnce, read))
  return plans.filter(({ source }) => source.bucket === object.bucket && source.key === object.key)
}

const manifestsOf = async (store: BlobStore, { bucket, key, version }: ObjectVersion) => {
  const begin = versionNameOf(objectManifestName(bucket, key, version, anyPlan))
  const stats = statsOf(store, `${begin}.`, (name) => isManifestName(name) && versionNameOf(name) === begin)
  const records = await toArray(
    mapInOrder(stats, readsAtOnce, async ({ name }) => ({ name, record: await readManifest(store, name) })),
  )
  const sealed: FoundObject[] = []
  const cancelled: ObjectTrace['cancelled'] = []
  for (const { name, record } of records)
    if (record.format === 'lifeboat/object') sealed.push({ name, object: record })
    else cancelled.push({ planId: parseObjectManifestName(name)?.planId ?? '', at: record.cancelledAt })
  return { sealed, cancelled }
}

const releasesOf = async (
  store: BlobStore,
  { bucket, key, version }: ObjectVersion,
  sealed: readonly FoundObject[],
) => {
  const { releases: all, damaged: unread } = await listReleases(store)
  const releases = all.filter(({ release }) =>
    release.members.some((each) => each.bucket === bucket && each.key === key && each.version === version),
  )
  const models = new Set(sealed.map(({ object }) => object.release?.model).filter((model) => model !== undefined))
  const damaged = unread
    .filter((entry) => [...models].some((model) => mayBeOfModel(entry, model)))
    .map(({ name }) => name)
  if (releases.length > 0 || models.size === 0) return { releases, damaged, waiting: [] }
  const { waiting } = await listWaiting(store, all, recordsMax)
  return {
    releases,
    damaged,
    waiting: waiting.filter((record) => record.bucket === bucket && models.has(record.model)),
  }
}

/** Whether the replica has any record of the object version. */
export const isTraced = ({
  plans,
  sealed,
  cancelled,
  failed,
}: Pick<ObjectTrace, 'plans' | 'sealed' | 'cancelled' | 'failed'>): boolean =>
  plans.length + sealed.length + cancelled.length + failed.length > 0

/** Whatever the replica has of an object version; every list may be empty. */
export const traceObject = async (store: BlobStore, object: ObjectVersion): Promise<ObjectTrace> => {
  const { bucket, key, version } = object
  const own = {
    plans: await plansOf(store, object),
    ...(await manifestsOf(store, object)),
    failed: await readFailures(store, traceIdOf(bucket, key, version)),
  }
  if (!isTraced(own)) return { object, ...own, releases: [], damaged: [], waiting: [], deleted: [] }
  const { byManifest } = await findDeletions(store, bucket, key, own.sealed, recordsMax)
  const deleted = [...new Set(byManifest.values())]
  return { object, ...own, ...(await releasesOf(store, object, own.sealed)), deleted }
}
