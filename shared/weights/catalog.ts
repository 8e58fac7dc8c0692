import { mapInOrder, toArray } from '../bounded.ts'
import { NotFoundError } from '../errors.ts'
import type { BlobStore } from '../ports.ts'
import {
  cancelledSchema,
  type FailedRecord,
  failedSchema,
  type ObjectManifest,
  objectManifestSchema,
  type ReleaseManifest,
  releaseManifestSchema,
  type WaitingRecord,
  waitingSchema,
} from './manifest.ts'
import {
  encodeKey,
  objectManifestName,
  parseFailedName,
  parseObjectManifestName,
  parseReleaseName,
  parseWaitingName,
  releaseName,
} from './names.ts'
import { readRecord } from './restore-read.ts'

/** What the replica holds, from its own records alone. Every answer is whole; nothing damaged is passed over. */

const readsAtOnce = 16

const folderOf = (name: string): string => name.slice(0, name.lastIndexOf('/') + 1)

async function* namesOf(store: BlobStore, prefix: string, wanted: (name: string) => boolean): AsyncGenerator<string> {
  for await (const { name } of store.list(prefix)) if (wanted(name)) yield name
}

// -------------------------------------------------------------------- releases

export type FoundRelease = { name: string; release: ReleaseManifest }

/** By publish time, then by how often the model was published, newest first. */
const newestFirst = (a: FoundRelease, b: FoundRelease): number =>
  Date.parse(b.release.publishedAt) - Date.parse(a.release.publishedAt) || b.release.sequence - a.release.sequence

/** The releases of every model or of one, newest first. */
export const listReleases = async (store: BlobStore, model?: string): Promise<FoundRelease[]> => {
  const probe = model === undefined ? 'releases/' : folderOf(releaseName(model, 'v', 'r'))
  // A long model name is hashed or not, as its version leaves room: then its own list is not one folder.
  const prefix = probe.length > 500 || probe.includes('/~') ? 'releases/' : probe
  const names = namesOf(store, prefix, (name) => parseReleaseName(name) !== undefined)
  const found = mapInOrder(names, readsAtOnce, async (name): Promise<FoundRelease> => {
    const { record } = await readRecord(store, name, releaseManifestSchema)
    return { name, release: record }
  })
  const releases = await toArray(found)
  return releases.filter(({ release }) => model === undefined || release.model === model).sort(newestFirst)
}

/** The version named, or the newest protected one. Throws NotFoundError saying what there is instead. */
export const findRelease = async (store: BlobStore, model: string, version?: string): Promise<FoundRelease> => {
  const releases = await listReleases(store, model)
  if (releases.length === 0)
    throw new NotFoundError(`the replica has no model ${model}: "lifeboat ls" lists what it has`)
  const found = releases.find(({ release }) =>
    version === undefined ? release.state === 'protected' : release.version === version,
  )
  if (found) return found
  const known = [...new Set(releases.map(({ release }) => release.version))].slice(0, 5).join(', ')
  throw new NotFoundError(
    version === undefined
      ? `no version of ${model} is protected; to restore an unverified one, name it: ${known}`
      : `${model} has no version ${version}; its newest: ${known}`,
  )
}

// --------------------------------------------------------------------- objects

export type FoundObject = { name: string; object: ObjectManifest }

/** The folder of every name whose key begins with `keyPrefix`, as far as the encoding keeps prefixes. */
const listingPrefix = (bucket: string, keyPrefix: string): string => {
  const folders = keyPrefix.split('/').slice(0, -1)
  const empty = folders.indexOf('')
  const plain = empty === -1 ? folders : folders.slice(0, empty)
  return plain.length === 0 ? `objects/${bucket}/` : `objects/${bucket}/${encodeKey(plain.join('/'))}`
}

/** A name that has its key's hash instead of the key matches until its manifest is read. */
const mayHaveKey = (name: string, wanted: (key: string) => boolean): boolean => {
  const parsed = parseObjectManifestName(name)
  return parsed !== undefined && ('sha256' in parsed.key || wanted(parsed.key.text))
}

async function* objectNames(
  store: BlobStore,
  bucket: string,
  prefix: string,
  wanted: (key: string) => boolean,
): AsyncGenerator<string> {
  const hashed = `objects/${bucket}/~`
  yield* namesOf(store, prefix, (name) => mayHaveKey(name, wanted))
  if (!hashed.startsWith(prefix)) yield* namesOf(store, hashed, (name) => mayHaveKey(name, wanted))
}

const readSealed = async (store: BlobStore, name: string): Promise<FoundObject | undefined> => {
  const { record } = await readRecord(store, name, objectManifestSchema.or(cancelledSchema))
  return record.format === 'lifeboat/cancelled' ? undefined : { name, object: record }
}

/** Versions of the keys that begin with `keyPrefix`, at most `limit` records, in the order of their names. */
export const listObjects = async (
  store: BlobStore,
  bucket: string,
  keyPrefix: string,
  limit: number,
): Promise<{ objects: FoundObject[]; truncated: boolean }> => {
  const wanted = (key: string): boolean => key.startsWith(keyPrefix)
  const names: string[] = []
  let truncated = false
  for await (const name of objectNames(store, bucket, listingPrefix(bucket, keyPrefix), wanted)) {
    truncated = names.length === limit
    if (truncated) break
    names.push(name)
  }
  const found = await toArray(mapInOrder(names, readsAtOnce, (name) => readSealed(store, name)))
  return {
    objects: found.filter((entry) => entry !== undefined).filter(({ object }) => wanted(object.source.key)),
    truncated,
  }
}

const versionsOf = async (store: BlobStore, bucket: string, key: string): Promise<FoundObject[]> => {
  const prefix = folderOf(objectManifestName(bucket, key, 'v', 'p'))
  const names = objectNames(store, bucket, prefix, (other) => other === key)
  const found = await toArray(mapInOrder(names, readsAtOnce, (name) => readSealed(store, name)))
  return found
    .filter((entry) => entry !== undefined)
    .filter(({ object }) => object.source.bucket === bucket && object.source.key === key)
    .sort(
      (a, b) =>
        Date.parse(b.object.source.lastModified) - Date.parse(a.object.source.lastModified) ||
        b.object.sequence - a.object.sequence,
    )
}

/**
 * One version of a key: the one named, or the newest protected, or the newest where none is protected. `text` is the key,
 * with `#version` after it or not; a key that itself holds a `#` is tried first.
 */
export const findObject = async (store: BlobStore, bucket: string, text: string): Promise<FoundObject> => {
  const whole = await versionsOf(store, bucket, text)
  const newest = whole.find(({ object }) => object.state === 'protected') ?? whole[0]
  if (newest) return newest
  const hash = text.lastIndexOf('#')
  if (hash > 0) {
    const versions = await versionsOf(store, bucket, text.slice(0, hash))
    const version = text.slice(hash + 1)
    const found = versions.find(({ object }) => object.source.version === version)
    if (found) return found
    if (versions.length > 0) {
      const known = versions.slice(0, 5).map(({ object }) => object.source.version)
      throw new NotFoundError(
        `s3://${bucket}/${text.slice(0, hash)} has no version ${version} in the replica; its newest: ${known.join(', ')}`,
      )
    }
  }
  throw new NotFoundError(`the replica has no object s3://${bucket}/${text}`)
}

// -------------------------------------------------------------------- failures

const byTime = (a: { at: string }, b: { at: string }): number => Date.parse(b.at) - Date.parse(a.at)

/** Why objects did not become manifests, newest first. */
export const listFailures = async (store: BlobStore): Promise<FailedRecord[]> => {
  const names = namesOf(store, 'failed/', (name) => parseFailedName(name) !== undefined)
  const read = async (name: string): Promise<FailedRecord> => (await readRecord(store, name, failedSchema)).record
  return (await toArray(mapInOrder(names, readsAtOnce, read))).sort(byTime)
}

/** Releases that still wait, each with its last reason; one that was sealed since waits no more. */
export const listWaiting = async (store: BlobStore, releases: readonly FoundRelease[]): Promise<WaitingRecord[]> => {
  const names = namesOf(store, 'waiting/', (name) => parseWaitingName(name) !== undefined)
  const read = async (name: string): Promise<WaitingRecord> => (await readRecord(store, name, waitingSchema)).record
  const last = new Map<string, WaitingRecord>()
  for (const record of (await toArray(mapInOrder(names, readsAtOnce, read))).sort(byTime)) {
    const key = JSON.stringify([record.bucket, record.model, record.version])
    if (!last.has(key)) last.set(key, record)
  }
  const isSealed = (record: WaitingRecord): boolean =>
    releases.some(
      ({ release }) =>
        release.bucket === record.bucket &&
        release.model === record.model &&
        (record.version === '-' || release.version === record.version) &&
        Date.parse(release.sealedAt) >= Date.parse(record.at),
    )
  return [...last.values()].filter((record) => !isSealed(record))
}
