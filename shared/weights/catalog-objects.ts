import { NotFoundError } from '../errors.ts'
import type { BlobStore } from '../ports.ts'
import { folderOf, type FoundObject, keyedStats, listingPrefix, readAllSealed, takeUpTo } from './catalog-read.ts'
import { objectManifestName, parseObjectManifestName } from './names.ts'

/** The object versions that the replica holds. */

/** A name that has its key's hash instead of the key matches until its manifest is read. */
const mayHaveKey = (name: string, wanted: (key: string) => boolean): boolean => {
  const parsed = parseObjectManifestName(name)
  return parsed !== undefined && ('sha256' in parsed.key || wanted(parsed.key.text))
}

/** Versions of the keys that begin with `keyPrefix`, at most `limit` records, in the order of their names. */
export const listObjects = async (
  store: BlobStore,
  bucket: string,
  keyPrefix: string,
  limit: number,
): Promise<{ objects: FoundObject[]; truncated: boolean }> => {
  const wanted = (key: string): boolean => key.startsWith(keyPrefix)
  const stats = keyedStats(store, 'objects', bucket, listingPrefix('objects', bucket, keyPrefix), (name) =>
    mayHaveKey(name, wanted),
  )
  const { taken, truncated } = await takeUpTo(stats, limit)
  const found = await readAllSealed(store, taken)
  return { objects: found.filter(({ object }) => wanted(object.source.key)), truncated }
}

/** Every version of exactly this key, newest first. */
export const versionsOf = async (store: BlobStore, bucket: string, key: string): Promise<FoundObject[]> => {
  const prefix = folderOf(objectManifestName(bucket, key, 'v', 'p'))
  const stats = keyedStats(store, 'objects', bucket, prefix, (name) => mayHaveKey(name, (other) => other === key))
  const found = await readAllSealed(store, stats)
  return found
    .filter(({ object }) => object.source.bucket === bucket && object.source.key === key)
    .sort(
      (a, b) =>
        Date.parse(b.object.source.lastModified) - Date.parse(a.object.source.lastModified) ||
        b.object.sequence - a.object.sequence,
    )
}

const abbreviationMin = 8

/** The version named, or the only one that begins so: lists on a terminal shorten the ids. */
export const versionNamed = (versions: readonly string[], text: string): string | undefined => {
  if (versions.includes(text) || text.length < abbreviationMin) return versions.find((version) => version === text)
  const begin = new Set(versions.filter((version) => version.startsWith(text)))
  return begin.size === 1 ? [...begin][0] : undefined
}

const byVersion = (objects: readonly FoundObject[], text: string): FoundObject | undefined => {
  const named = versionNamed(
    objects.map(({ object }) => object.source.version),
    text,
  )
  return objects.find(({ object }) => object.source.version === named)
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
    const found = byVersion(versions, version)
    if (found) return found
    if (versions.length > 0) {
      const known = versions.slice(0, 5).map(({ object }) => object.source.version)
      throw new NotFoundError(
        `s3://${bucket}/${text.slice(0, hash)} has no version ${version} in the replica; its newest: ${known.join(', ')}`,
      )
    }
  }
  throw new NotFoundError(
    `the replica has no object s3://${bucket}/${text}; "lifeboat ls s3://${bucket}/" lists what it has and what is pending`,
  )
}
