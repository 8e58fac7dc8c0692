import { mapInOrder, toArray } from '../bounded.ts'
import { LifeboatError } from '../errors.ts'
import type { BlobStore } from '../ports.ts'
import { folderOf, readsAtOnce, statsOf, versionNameOf } from '../weights/catalog-read.ts'
import { replacedBy } from '../weights/catalog.ts'
import { sha256Hex } from '../weights/codec.ts'
import type { Chain, ObjectLedger, ReleaseLedger } from '../weights/ledger.ts'
import { type Member, parseRecord, type ReleaseManifest, releaseManifestSchema } from '../weights/manifest.ts'
import { objectManifestName, parseReleaseName, releaseName } from '../weights/names.ts'
import { traceIdOf } from '../weights/identity.ts'
import { hashOf } from '../weights/outcome.ts'
import type { Flaw } from './look.ts'
import { isNamed } from './validate-object.ts'

/** The releases of one model: each whole, in its place in the chain, and its members those that it names. */

const manifestBytesMax = 64 * 2 ** 20

export type ReleaseCheck = {
  store: BlobStore
  ledger?: { objects: Pick<ObjectLedger, 'get'>; chain: Pick<Chain, 'newest'> }
}

export type ReleaseFlaw = Flaw & {
  /** What makes it good: the release sealed anew, or the object of a member copied anew. */
  mend:
    | { release: { model: string; version: string; bucket?: string; id?: string } }
    | { object: { bucket: string; key: string; version: string } }
    | undefined
}

type Entry = { name: string; digest: string; release: ReleaseManifest | undefined; detail?: string }

const load = async (store: BlobStore, name: string): Promise<Entry> => {
  const bytes = await store.read(name, { bytesMax: manifestBytesMax })
  if (!bytes) return { name, digest: '', release: undefined, detail: 'it vanished while it was looked at' }
  const digest = `sha256:${sha256Hex(bytes)}`
  try {
    return { name, digest, release: parseRecord(releaseManifestSchema, name, bytes) }
  } catch (error) {
    if (!(error instanceof LifeboatError)) throw error
    return { name, digest, release: undefined, detail: error.message }
  }
}

const mendOf = (name: string, release?: ReleaseManifest): ReleaseFlaw['mend'] => {
  const parsed = parseReleaseName(name)
  if (parsed && 'text' in parsed.model && 'text' in parsed.version)
    return {
      release: {
        model: parsed.model.text,
        version: parsed.version.text,
        id: parsed.id,
        ...(release ? { bucket: release.bucket } : {}),
      },
    }
  if (!release) return undefined
  const { model, version, bucket } = release
  return { release: { model, version, bucket, ...(parsed ? { id: parsed.id } : {}) } }
}

const checkWords = ({ name, release }: Entry & { release: ReleaseManifest }): string[] => {
  const { model, version, releaseId, bucket, traceId, members, state } = release
  const wrong: string[] = []
  if (!isNamed(name, () => releaseName(model, version, releaseId)))
    wrong.push(`it is of ${model}@${version}, id ${releaseId}: not what its name says`)
  if (traceId !== hashOf('release', bucket, model, version, releaseId))
    wrong.push(`its traceId ${traceId} is not its own`)
  if (members.length === 0) wrong.push('it names no object')
  for (const member of members)
    if (!isNamed(member.manifest, () => objectManifestName(member.bucket, member.key, member.version, member.planId)))
      wrong.push(`${member.path} is said to be ${member.manifest}, which is not the manifest of its object`)
  return wrong.map((detail) => `${detail} (${state})`)
}

/** The object of a member is at fault, or the release that names it otherwise than the ledger. */
const mendOfMember = async (check: ReleaseCheck, entry: Entry, member: Member): Promise<ReleaseFlaw['mend']> => {
  const { bucket, key, version } = member
  const row = await check.ledger?.objects.get(traceIdOf(bucket, key, version))
  if (row?.manifestDigest === undefined) return { object: { bucket, key, version } }
  const bytes = await check.store.read(objectManifestName(bucket, key, version, row.planId), {
    bytesMax: manifestBytesMax,
  })
  const isFine = bytes !== undefined && `sha256:${sha256Hex(bytes)}` === row.manifestDigest
  return isFine ? mendOf(entry.name, entry.release) : { object: { bucket, key, version } }
}

const checkMember = async (check: ReleaseCheck, entry: Entry, member: Member): Promise<ReleaseFlaw | undefined> => {
  const bytes = await check.store.read(member.manifest, { bytesMax: manifestBytesMax })
  const digest = bytes && `sha256:${sha256Hex(bytes)}`
  if (digest === member.manifestDigest) return undefined
  const detail = bytes
    ? `it is ${digest}, and ${entry.name} names ${member.manifestDigest}`
    : `${entry.name} names it, and it is not in the replica`
  const kind = bytes ? 'altered' : 'missing'
  return { kind, subject: member.manifest, detail, mend: await mendOfMember(check, entry, member) }
}

/** What a release says of the one before it, and the ledger of the newest. */
const checkChain = async (
  check: ReleaseCheck,
  entries: readonly Entry[],
  replaced: ReadonlySet<string>,
): Promise<ReleaseFlaw[]> => {
  const digests = new Set(entries.map(({ digest }) => digest))
  const names = new Set(entries.map(({ name }) => name))
  const flaws: ReleaseFlaw[] = []
  const expect = async (name: string, digest: string, who: string): Promise<void> => {
    if (digests.has(digest) || replaced.has(name) || flaws.some(({ subject }) => subject === name)) return
    // What was sealed since the names were listed is not among them.
    if (!names.has(name) && (await load(check.store, name)).digest === digest) return
    const is = names.has(name) ? 'is another' : 'is not in the replica'
    flaws.push({
      kind: names.has(name) ? 'altered' : 'missing',
      subject: name,
      detail: `${who} knows it as ${digest}, and it ${is}`,
      mend: mendOf(name),
    })
  }
  for (const { name, release } of entries) {
    if (!release?.parent || release.previousDigest === null || replaced.has(name)) continue
    await expect(
      releaseName(release.model, release.parent.version, release.parent.releaseId),
      release.previousDigest,
      name,
    )
  }
  for (const model of new Set(entries.flatMap(({ release }) => (release ? [release.model] : [])))) {
    const newest = await check.ledger?.chain.newest(`release#${model}`)
    const { version, releaseId } = newest?.info ?? {}
    if (newest && version !== undefined && releaseId !== undefined)
      await expect(releaseName(model, version, releaseId), newest.digest, 'the ledger')
  }
  return flaws
}

/**
 * What the ledger says was sealed under a prefix and the replica does not have: a release may be gone with all that named
 * it. Undefined where all of it is there.
 */
export const findLostRelease = async (
  check: { store: BlobStore; releases: Pick<ReleaseLedger, 'get'> },
  about: { bucket: string; prefix: string; model: string; version?: string | undefined },
): Promise<ReleaseFlaw | undefined> => {
  const { bucket, model, version } = about
  const row = await check.releases.get(bucket, about.prefix)
  if (!row || row.done.length === 0) return undefined
  const probe = releaseName(model, version ?? 'v', 'r')
  const under = version === undefined ? folderOf(probe) : `${versionNameOf(probe)}.`
  const wanted = new Set(row.done)
  for await (const { name } of statsOf(check.store, under, (found) => parseReleaseName(found) !== undefined)) {
    const { release } = await load(check.store, name)
    if (!release || release.bucket !== bucket || release.model !== model) continue
    const { marker, publishedAt } = release
    wanted.delete(marker ? traceIdOf(bucket, marker.key, marker.version) : `inferred-${Date.parse(publishedAt)}`)
  }
  if (wanted.size === 0) return undefined
  return {
    kind: 'missing',
    subject: version === undefined ? under : versionNameOf(probe),
    detail: `the ledger says that ${row.done.length} releases of s3://${bucket}/${about.prefix} were sealed, ${wanted.size} of them are not in the replica`,
    mend: { release: { model, version: version ?? '', bucket } },
  }
}

export type CheckedReleases = {
  counts: Record<string, number>
  flaws: ReleaseFlaw[]
  /** The manifests that the releases name, without those that were sealed anew. */
  members: string[]
}

/** Checks the releases of `names`, which are all of one model (or of those whose names are hashed). */
export const checkReleases = async (check: ReleaseCheck, names: readonly string[]): Promise<CheckedReleases> => {
  const entries = await toArray(mapInOrder(names, readsAtOnce, (name) => load(check.store, name)))
  const replaced = new Set(entries.flatMap(({ release }) => (release ? replacedBy(release) : [])))
  const counts: Record<string, number> = { releases: entries.length, replaced: 0, members: 0 }
  const flaws: ReleaseFlaw[] = []
  const members = new Set<string>()
  for (const entry of entries) {
    const { name, release } = entry
    if (replaced.has(name)) counts['replaced'] = (counts['replaced'] ?? 0) + 1
    if (replaced.has(name)) continue
    const altered = (detail: string): number =>
      flaws.push({ kind: 'altered', subject: name, detail, mend: mendOf(name, release) })
    if (!release) {
      altered(entry.detail ?? 'it cannot be read')
      continue
    }
    for (const wrong of checkWords({ ...entry, release })) altered(wrong)
    for await (const flaw of mapInOrder(release.members, readsAtOnce, (member) => checkMember(check, entry, member)))
      if (flaw) flaws.push(flaw)
    counts['members'] = (counts['members'] ?? 0) + release.members.length
    for (const { manifest } of release.members) members.add(manifest)
  }
  flaws.push(...(await checkChain(check, entries, replaced)))
  return { counts, flaws, members: [...members] }
}
