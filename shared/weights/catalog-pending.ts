import { mapInOrder, toArray } from '../bounded.ts'
import type { BlobStat, BlobStore } from '../ports.ts'
import { readsAtOnce, sealedNames, statsOf, takeUpTo, versionNameOf } from './catalog-read.ts'
import { type PendingManifest, pendingSchema } from './manifest.ts'
import { objectManifestName, parseFailedName, parseObjectManifestName, parsePendingName } from './names.ts'
import { readRecord } from './restore-read.ts'

/**
 * What is sealed and what is not yet. Nothing deletes a pending record, so nearly all of them are of plans long sealed:
 * those are sorted out by name, and only the rest is read.
 */

/** An object version that was planned and has neither a manifest nor an end; `plannedAt` is that of its first plan. */
export type PendingObject = { record: PendingManifest; plannedAt: string }

export type Survey = {
  /** How many object versions of each bucket have a manifest. */
  sealed: Map<string, number>
  /** Longest waiting first; undefined where there are more names than `namesMax`, so that it cannot be told. */
  pending: PendingObject[] | undefined
  /** There are more names than were looked at: `sealed` is a lower bound. */
  namesTruncated: boolean
  /** There are more pending records than were read: `pending` lacks newer ones. */
  pendingTruncated: boolean
}

const isSealedName = (name: string): boolean => parseObjectManifestName(name) !== undefined
const isPendingName = (name: string): boolean => parsePendingName(name) !== undefined

type Sealed = { versions: Map<string, Set<string>>; planIds: Set<string>; truncated: boolean }

const lookAtSealed = async (store: BlobStore, namesMax: number): Promise<Sealed> => {
  const versions = new Map<string, Set<string>>()
  const planIds = new Set<string>()
  const { taken, truncated } = await takeUpTo(sealedNames(store, statsOf(store, 'objects/', isSealedName)), namesMax)
  for (const name of taken) {
    const parsed = parseObjectManifestName(name)
    if (!parsed) continue
    planIds.add(parsed.planId)
    const ofBucket = versions.get(parsed.bucket)
    if (ofBucket) ofBucket.add(versionNameOf(name))
    else versions.set(parsed.bucket, new Set([versionNameOf(name)]))
  }
  return { versions, planIds, truncated }
}

/** Traces of object versions that ended without a manifest. */
const endedTraces = async (store: BlobStore): Promise<Set<string>> => {
  const traces = new Set<string>()
  for (const state of ['superseded', 'refused'])
    for await (const { name } of store.list(`failed/${state}/`)) {
      const traceId = parseFailedName(name)?.traceId
      if (traceId !== undefined) traces.add(traceId)
    }
  return traces
}

/** One entry for each object version, by its oldest plan. */
const byVersion = (records: readonly PendingManifest[]): PendingObject[] => {
  const found = new Map<string, PendingObject>()
  for (const record of records.toSorted((a, b) => Date.parse(a.plannedAt) - Date.parse(b.plannedAt))) {
    const { bucket, key, version } = record.source
    const id = JSON.stringify([bucket, key, version])
    found.set(id, { record, plannedAt: found.get(id)?.plannedAt ?? record.plannedAt })
  }
  return [...found.values()].sort((a, b) => Date.parse(a.plannedAt) - Date.parse(b.plannedAt))
}

/**
 * Looks at the names of at most `namesMax` manifests and as many pending records, and reads at most `readsMax` pending
 * records, the oldest ones.
 */
export const surveyObjects = async (
  store: BlobStore,
  { namesMax, readsMax }: { namesMax: number; readsMax: number },
): Promise<Survey> => {
  // Pending before sealed: what is sealed in between is then sealed and not both.
  const planned = await takeUpTo(statsOf(store, 'pending/', isPendingName), namesMax)
  const ended = await endedTraces(store)
  const { versions, planIds, truncated } = await lookAtSealed(store, namesMax)
  const sealed = new Map(Array.from(versions, ([bucket, names]) => [bucket, names.size]))
  if (truncated || planned.truncated)
    return { sealed, pending: undefined, namesTruncated: true, pendingTruncated: true }

  const isOpen = ({ name }: BlobStat): boolean => !planIds.has(parsePendingName(name)?.planId ?? '')
  const open = planned.taken.filter(isOpen).sort((a, b) => a.createdAt - b.createdAt)
  const read = async ({ name }: BlobStat): Promise<PendingManifest> =>
    (await readRecord(store, name, pendingSchema)).record
  const records = await toArray(mapInOrder(open.slice(0, readsMax), readsAtOnce, read))
  const isSealed = ({ source, planId }: PendingManifest): boolean => {
    const name = versionNameOf(objectManifestName(source.bucket, source.key, source.version, planId))
    return versions.get(source.bucket)?.has(name) ?? false
  }
  const pending = records.filter((record) => !ended.has(record.traceId) && !isSealed(record))
  return { sealed, pending: byVersion(pending), namesTruncated: false, pendingTruncated: open.length > readsMax }
}
