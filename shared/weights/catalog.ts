import { mapInOrder, toArray } from '../bounded.ts'
import { type CorruptError, NotFoundError } from '../errors.ts'
import type { BlobStore } from '../ports.ts'
import { folderOf, orDamage, readsAtOnce, statsOf } from './catalog-read.ts'
import { type ReleaseManifest, releaseManifestSchema } from './manifest.ts'
import { type NameField, parseReleaseName, releaseName } from './names.ts'
import { readRecord } from './restore-read.ts'

/** The releases that the replica holds, from its own records alone. What is damaged is named and never passed over in silence. */

export type FoundRelease = { name: string; release: ReleaseManifest }

/** A manifest that cannot be read and that no other stands in for. */
export type DamagedRelease = { name: string; damage: CorruptError }

/** By publish time, then by how often the model was published, newest first. */
const newestFirst = (a: FoundRelease, b: FoundRelease): number =>
  Date.parse(b.release.publishedAt) - Date.parse(a.release.publishedAt) || b.release.sequence - a.release.sequence

/** The names of the manifests in whose place a release was sealed. */
export const replacedBy = ({ model, version, replaces = [] }: ReleaseManifest): string[] =>
  replaces.map((id) => releaseName(model, version, id))

/** A name that is hashed may be of any text. */
const mayBe = (field: NameField | undefined, text: string): boolean =>
  field === undefined || !('text' in field) || field.text === text

/** Whether the manifest of this name can be one of the model, as far as its name tells. */
export const mayBeOfModel = ({ name }: DamagedRelease, model: string): boolean =>
  mayBe(parseReleaseName(name)?.model, model)

/** The releases of every model or of one, newest first, and the manifests that may be more of them. */
export const listReleases = async (
  store: BlobStore,
  model?: string,
): Promise<{ releases: FoundRelease[]; damaged: DamagedRelease[] }> => {
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
  const standing = all.filter(({ name }) => !replaced.has(name))
  const releases = standing.flatMap((entry) => ('found' in entry ? [entry.found] : []))
  const damaged = standing.flatMap((entry) => ('damage' in entry ? [entry] : []))
  return {
    releases: releases.filter(({ release }) => model === undefined || release.model === model).sort(newestFirst),
    damaged: damaged.filter((entry) => model === undefined || mayBeOfModel(entry, model)),
  }
}

/**
 * The version named, or the newest protected one that can be read; `passedOver` are the manifests that may be of a newer one
 * and cannot be read. Throws CorruptError where one of those may be what was asked for, and NotFoundError saying what there is
 * instead.
 */
export const findRelease = async (
  store: BlobStore,
  model: string,
  version?: string,
): Promise<FoundRelease & { passedOver: string[] }> => {
  const { releases, damaged } = await listReleases(store, model)
  const asked = damaged.find(({ name }) => version !== undefined && mayBe(parseReleaseName(name)?.version, version))
  if (asked) throw asked.damage
  const passedOver = damaged.map(({ name }) => name)
  if (releases.length === 0 && damaged[0]) throw damaged[0].damage
  if (releases.length === 0)
    throw new NotFoundError(`the replica has no model ${model}: "lifeboat ls" lists what it has`)
  const found = releases.find(({ release }) =>
    version === undefined ? release.state === 'protected' : release.version === version,
  )
  if (found) return { ...found, passedOver }
  if (version === undefined && damaged[0]) throw damaged[0].damage
  const known = [...new Set(releases.map(({ release }) => release.version))].slice(0, 5).join(', ')
  throw new NotFoundError(
    version === undefined
      ? `no version of ${model} is protected; to restore an unverified one, name it: ${known}`
      : `${model} has no version ${version}; its newest: ${known}`,
  )
}
