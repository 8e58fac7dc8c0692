import { mapInOrder, toArray } from '../bounded.ts'
import type { BlobStore } from '../ports.ts'
import { type FoundObject, keyedStats, listingPrefix, readsAtOnce, takeUpTo } from './catalog-read.ts'
import { type DeletedRecord, deletedSchema } from './manifest.ts'
import { parseDeletedName } from './names.ts'
import { readRecord } from './restore-read.ts'

/** What the source deleted; the replica keeps it. */

const listDeletions = async (
  store: BlobStore,
  bucket: string,
  keyPrefix: string,
  limit: number,
): Promise<{ deletions: DeletedRecord[]; truncated: boolean }> => {
  const mayMatch = (name: string): boolean => {
    const key = parseDeletedName(name)?.key
    return key !== undefined && ('sha256' in key || key.text.startsWith(keyPrefix))
  }
  const { taken, truncated } = await takeUpTo(
    keyedStats(store, 'deleted', bucket, listingPrefix('deleted', bucket, keyPrefix), mayMatch),
    limit,
  )
  const read = async ({ name }: { name: string }): Promise<DeletedRecord> =>
    (await readRecord(store, name, deletedSchema)).record
  return { deletions: await toArray(mapInOrder(taken, readsAtOnce, read)), truncated }
}

const timeOf = ({ object }: FoundObject): number => Date.parse(object.source.lastModified)

const newestBefore = (objects: readonly FoundObject[], at: string): FoundObject | undefined => {
  const before = objects.filter((found) => timeOf(found) <= Date.parse(at))
  return before.sort((a, b) => timeOf(b) - timeOf(a))[0]
}

/** The version that is gone: the one named, or where a marker now hides the key, the one that was current then. */
const concerned = (objects: readonly FoundObject[], deletion: DeletedRecord): FoundObject | undefined => {
  const versions = objects.filter(({ object }) => object.source.key === deletion.key)
  const named = versions.find(({ object }) => object.source.version === deletion.version)
  if (named) return named
  const hidesKey = deletion.version === undefined || /marker/i.test(deletion.deletion)
  return hidesKey ? newestBefore(versions, deletion.at) : undefined
}

/** The last deletion that concerns each of `objects`, by the name of its manifest. At most `limit` records are read. */
export const findDeletions = async (
  store: BlobStore,
  bucket: string,
  keyPrefix: string,
  objects: readonly FoundObject[],
  limit: number,
): Promise<{ byManifest: Map<string, DeletedRecord>; truncated: boolean }> => {
  const { deletions, truncated } = await listDeletions(store, bucket, keyPrefix, limit)
  const byManifest = new Map<string, DeletedRecord>()
  for (const deletion of deletions.toSorted((a, b) => Date.parse(a.at) - Date.parse(b.at))) {
    const found = concerned(objects, deletion)
    if (found) byManifest.set(found.name, deletion)
  }
  return { byManifest, truncated }
}
