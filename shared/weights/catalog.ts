import { mapInOrder, toArray } from '../bounded.ts'
import { NotFoundError } from '../errors.ts'
import type { BlobStore } from '../ports.ts'
import { folderOf, orDamage, readsAtOnce, statsOf, undamaged } from './catalog-read.ts'
import { type ReleaseManifest, releaseManifestSchema } from './manifest.ts'
import { parseReleaseName, releaseName } from './names.ts'
import { readRecord } from './restore-read.ts'

/** The releases that the replica holds, from its own records alone. Every answer is whole; nothing damaged is passed over. */

export type FoundRelease = { name: string; release: ReleaseManifest }

/** By publish time, then by how often the model was published, newest first. */
const newestFirst = (a: FoundRelease, b: FoundRelease): number =>
  Date.parse(b.release.publishedAt) - Date.parse(a.release.publishedAt) || b.release.sequence - a.release.sequence

/** The names of the manifests in whose place a release was sealed. */
export const replacedBy = ({ model, version, replaces = [] }: ReleaseManifest): string[] =>
  replaces.map((id) => releaseName(model, version, id))

/** The releases of every model or of one, newest first. */
export const listReleases = async (store: BlobStore, model?: string): Promise<FoundRelease[]> => {
  const probe = model === undefined ? 'releases/' : folderOf(releaseName(model, 'v', 'r'))
  // A long model name is hashed or not, as its version leaves room: then its own list is not one folder.
  const prefix = probe.length > 500 || probe.includes('/~') ? 'releases/' : probe
  const stats = statsOf(store, prefix, (name) => parseReleaseName(name) !== undefined)
  const read = mapInOrder(stats, readsAtOnce, ({ name }) =>
    orDamage(name, async (): Promise<FoundRelease> => {
      const { record } = await readRecord(store, name, releaseManifestSchema)
      return { name, release: record }
    }),
  )
  const all = await toArray(read)
  const replaced = new Set(all.flatMap((entry) => ('found' in entry ? replacedBy(entry.found.release) : [])))
  const releases = undamaged(all, (name) => replaced.has(name)).filter(({ name }) => !replaced.has(name))
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
