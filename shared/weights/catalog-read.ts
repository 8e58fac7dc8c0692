import { mapInOrder, toArray } from '../bounded.ts'
import { CorruptError } from '../errors.ts'
import type { BlobStat, BlobStore } from '../ports.ts'
import { cancelledSchema, type ObjectManifest, objectManifestSchema } from './manifest.ts'
import { encodeKey, objectManifestName, parseObjectManifestName } from './names.ts'
import { readRecord } from './restore-read.ts'

/** Listing records by their names, and reading the few that a question needs. */

export const readsAtOnce = 16

export const folderOf = (name: string): string => name.slice(0, name.lastIndexOf('/') + 1)

export async function* statsOf(
  store: BlobStore,
  prefix: string,
  wanted: (name: string) => boolean,
): AsyncGenerator<BlobStat> {
  for await (const stat of store.list(prefix)) if (wanted(stat.name)) yield stat
}

/** The first `max` items, and whether there are more. */
export const takeUpTo = async <T>(
  items: AsyncIterable<T>,
  max: number,
): Promise<{ taken: T[]; truncated: boolean }> => {
  const taken: T[] = []
  for await (const item of items) {
    if (taken.length === max) return { taken, truncated: true }
    taken.push(item)
  }
  return { taken, truncated: false }
}

type KeyedFolder = 'objects' | 'deleted'

/** The prefix of every record in `folder` whose key begins with `keyPrefix`, as far as the encoding keeps prefixes. */
export const listingPrefix = (folder: KeyedFolder, bucket: string, keyPrefix: string): string => {
  const folders = keyPrefix.split('/').slice(0, -1)
  const empty = folders.indexOf('')
  const plain = empty === -1 ? folders : folders.slice(0, empty)
  return plain.length === 0 ? `${folder}/${bucket}/` : `${folder}/${bucket}/${encodeKey(plain.join('/'))}`
}

/** Records below `prefix` that may be wanted, and those that are named by their key's hash, which may be of any key. */
export async function* keyedStats(
  store: BlobStore,
  folder: KeyedFolder,
  bucket: string,
  prefix: string,
  mayMatch: (name: string) => boolean,
): AsyncGenerator<BlobStat> {
  const hashed = `${folder}/${bucket}/~`
  yield* statsOf(store, prefix, mayMatch)
  if (!hashed.startsWith(prefix)) yield* statsOf(store, hashed, mayMatch)
}

// ------------------------------------------------------------- sealed records

/** The name of a sealed manifest without its plan: the same for every plan of one object version. */
export const versionNameOf = (name: string): string => name.replace(/\.[^./]*\.json$/, '')

export type FoundObject = { name: string; object: ObjectManifest }

/** A record that was read, or why it could not be. */
export type Read<T> = { name: string; found: T } | { name: string; damage: CorruptError }

export const orDamage = async <T>(name: string, work: () => Promise<T>): Promise<Read<T>> => {
  try {
    return { name, found: await work() }
  } catch (error) {
    if (error instanceof CorruptError) return { name, damage: error }
    throw error
  }
}

/** What was found. Throws the damage of a record that no other stands in for: a repair leaves it where it is. */
export const undamaged = <T>(read: readonly Read<T>[], isReplaced: (name: string) => boolean): T[] =>
  read.flatMap((entry) => {
    if ('found' in entry) return [entry.found]
    if (isReplaced(entry.name)) return []
    throw entry.damage
  })

/** The manifests of `names`, without cancelled plans and without damaged ones of versions that were sealed again. */
export const readAllSealed = async (
  store: BlobStore,
  stats: AsyncIterable<BlobStat> | BlobStat[],
): Promise<FoundObject[]> => {
  const read = await toArray(
    mapInOrder(stats, readsAtOnce, ({ name }) => orDamage(name, () => readSealed(store, name))),
  )
  const versions = new Set(read.map((entry) => ('found' in entry && entry.found ? versionNameOf(entry.name) : '')))
  return undamaged(read, (name) => versions.has(versionNameOf(name))).filter((entry) => entry !== undefined)
}

/** Undefined for a plan that was cancelled. */
export const readSealed = async (store: BlobStore, name: string): Promise<FoundObject | undefined> => {
  const { record } = await readRecord(store, name, objectManifestSchema.or(cancelledSchema))
  return record.format === 'lifeboat/cancelled' ? undefined : { name, object: record }
}

/** A cancelled record has some 100 bytes and the least manifest above 600; what lies below this is read to tell. */
const cancelledBytesMax = 512

/** The names among `stats` that are manifests and not cancelled plans, in order. */
export async function* sealedNames(store: BlobStore, stats: AsyncIterable<BlobStat>): AsyncGenerator<string> {
  const isSealed = async ({ name, size }: BlobStat): Promise<string | undefined> =>
    size > cancelledBytesMax || (await readSealed(store, name)) ? name : undefined
  for await (const name of mapInOrder(stats, readsAtOnce, isSealed)) if (name !== undefined) yield name
}

/** The names of the manifests of one object version, one for each plan that was sealed. */
export async function* sealedNamesOf(
  store: BlobStore,
  { bucket, key, version }: { bucket: string; key: string; version: string },
): AsyncGenerator<string> {
  const prefix = versionNameOf(objectManifestName(bucket, key, version, '0'.repeat(16)))
  const isVersion = (name: string): boolean =>
    parseObjectManifestName(name) !== undefined && versionNameOf(name) === prefix
  yield* sealedNames(store, statsOf(store, `${prefix}.`, isVersion))
}
