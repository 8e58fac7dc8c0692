import { CorruptError, InvalidInputError } from '../errors.ts'
import { sha256Hex } from './codec.ts'
import type { WeightsDeps } from './deps.ts'
import type { MemberRow } from './ledger.ts'
import { formatVersion, parseRecord, type ReleaseManifest, releaseManifestSchema, toBytes } from './manifest.ts'
import { objectManifestName, releaseName } from './names.ts'
import { hashOf, hashOfAll } from './outcome.ts'
import { keepAsItIs } from './presence.ts'
import type { Candidate } from './release-rules.ts'

/**
 * `again`: how often the releases of the prefix were sealed anew because a check found one of them wanting. `wanting`: the
 * ids of those that were, which the members of today need not give any more.
 */
export type Release = {
  bucket: string
  prefix: string
  model: string
  version?: string
  again?: number
  wanting?: readonly string[]
}

const manifestBytesMax = 64 * 2 ** 20
/** What the records' one space of indent adds to a member, and all that is not members. */
const memberIndentBytes = 64
const envelopeBytesMax = 16 * 2 ** 10

const stamp = (at: number): string => new Date(at).toISOString().slice(0, 19).replaceAll(/[-:]/g, '').concat('Z')

const memberEntries = (release: Release, members: readonly Candidate[]): ReleaseManifest['members'] =>
  members
    .map((member) => {
      const { path, key, version, planId, size, manifestDigest } = member
      if (!planId || !manifestDigest) throw new CorruptError(`${key} is sealed in the ledger without plan or digest`)
      const manifest = objectManifestName(release.bucket, key, version, planId)
      return { path, bucket: release.bucket, key, version, planId, size, manifest, manifestDigest }
    })
    .toSorted((a, b) => (a.path < b.path ? -1 : 1))

/** Readers take a manifest as one piece of bounded size: a larger one would be sealed for nobody. */
const refuseTooMany = (members: ReleaseManifest['members']): void => {
  const bytes = members.reduce((sum, member) => sum + Buffer.byteLength(JSON.stringify(member)) + memberIndentBytes, 0)
  if (bytes + envelopeBytesMax > manifestBytesMax)
    throw new InvalidInputError(
      `the ${members.length} objects of the release do not fit in a manifest of ${manifestBytesMax} bytes: publish it as several`,
    )
}

/** The release was sealed by an earlier call, which may have ended before it told the chain. */
const adoptRelease = async (deps: WeightsDeps, name: string): Promise<void> => {
  const bytes = await deps.store.read(name, { bytesMax: manifestBytesMax })
  if (!bytes) throw new CorruptError(`${name} exists and cannot be read`)
  const { model, version, releaseId, sequence } = parseRecord(releaseManifestSchema, name, bytes)
  await deps.chain.advance(`release#${model}`, sequence, `sha256:${sha256Hex(bytes)}`, { version, releaseId })
}

/**
 * Writes the release's manifest, create-only, and tells the model's chain. Safe to run any number of times: the same
 * members under the same marker are the same name.
 */
export const sealRelease = async (
  deps: WeightsDeps,
  release: Release,
  complete: {
    members: readonly Candidate[]
    completeness: ReleaseManifest['completeness']
    marker: MemberRow | null
    publishedAt: number
  },
): Promise<void> => {
  const members = memberEntries(release, complete.members)
  refuseTooMany(members)
  const listDigest = hashOfAll(members.map(({ path, version }) => `${path}\0${version}`))
  const version = release.version ?? `${stamp(complete.publishedAt)}-${listDigest.slice(0, 8)}`
  const { again = 0, wanting = [] } = release
  const idOf = (round: number): string => {
    const fields = [release.bucket, release.prefix, release.model, version, complete.marker?.traceId, listDigest]
    return hashOfAll(round === 0 ? fields : [...fields, String(round)]).slice(0, 16)
  }
  const releaseId = idOf(again)
  const rounds = Array.from({ length: again }, (_, round) => idOf(round))
  const replaces = [...new Set([...rounds, ...wanting])].filter((id) => id !== releaseId)
  const chain = `release#${release.model}`
  const { sequence, previousDigest, previous } = await deps.chain.next(chain)
  const manifest: ReleaseManifest = {
    format: 'lifeboat/release',
    formatVersion,
    traceId: hashOf('release', release.bucket, release.model, version, releaseId),
    sequence,
    previousDigest,
    signatures: [],
    encryption: null,
    releaseId,
    state: complete.members.every(({ state }) => state === 'protected') ? 'protected' : 'sealed',
    bucket: release.bucket,
    model: release.model,
    version,
    completeness: complete.completeness,
    marker: complete.marker && { key: complete.marker.key, version: complete.marker.version },
    publishedAt: new Date(complete.publishedAt).toISOString(),
    sealedAt: new Date(deps.clock.now()).toISOString(),
    members,
    parent:
      previous?.['version'] && previous['releaseId']
        ? { version: previous['version'], releaseId: previous['releaseId'] }
        : null,
    ...(replaces.length > 0 ? { replaces } : {}),
  }
  const name = releaseName(release.model, version, releaseId)
  const bytes = toBytes(manifest)
  const created = await deps.store.create(name, bytes, { contentType: 'application/json' })
  const stat = created ?? (await deps.store.stat(name))
  if (stat) await keepAsItIs(deps, stat)
  if (!created) return adoptRelease(deps, name)
  await deps.chain.advance(chain, sequence, `sha256:${sha256Hex(bytes)}`, { version, releaseId })
  deps.telemetry.count('ReleasesSealed', 1)
  deps.telemetry.count('ReleaseLagSeconds', Math.max(0, (deps.clock.now() - complete.publishedAt) / 1000), 'Seconds')
  deps.telemetry.log('info', `release ${manifest.state}`, {
    stage: 'release',
    traceId: manifest.traceId,
    model: release.model,
    version,
    releaseId,
    objects: members.length,
  })
}
