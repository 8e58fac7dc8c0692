import { CorruptError, InvalidInputError } from '../errors.ts'
import { sha256Hex } from './codec.ts'
import type { WeightsDeps } from './deps.ts'
import { traceIdOf, versionOf } from './identity.ts'
import type { MemberRow } from './ledger.ts'
import {
  formatVersion,
  objectManifestSchema,
  parseRecord,
  type ReleaseManifest,
  releaseManifestSchema,
  toBytes,
} from './manifest.ts'
import { objectManifestName, releaseName } from './names.ts'
import { hashOf, recordWaiting } from './outcome.ts'
import { type BucketRule, ruleFor } from './plan.ts'
import { keepAsItIs } from './presence.ts'
import { readSmallObject } from './read.ts'
import {
  type Candidate,
  indexSchema,
  type Judgement,
  type MarkerKind,
  markersOf,
  membersAt,
  membersIndexed,
  membersListed,
  membersMarked,
  publishSchema,
  unready,
} from './release-rules.ts'

const markerBytesMax = 16 * 2 ** 20
const manifestBytesMax = 64 * 2 ** 20
/** A pass over a large file that nothing has been heard of for this long is lost. */
const digestAgainMs = 30 * 60_000

type Release = { bucket: string; prefix: string; model: string; version?: string }
type Marked = { member: MemberRow; kind: MarkerKind }

const candidateOf = (member: MemberRow): Candidate => ({ ...member, deleted: false })

/** The versions of the release's keys: the source's listing, with what the ledger knows of each and what only it remembers. */
const candidatesOf = async (
  deps: WeightsDeps,
  release: Release,
  members: readonly MemberRow[],
): Promise<Candidate[]> => {
  const known = new Map(members.map((member) => [member.traceId, candidateOf(member)]))
  const all = new Map(known)
  for await (const entry of deps.source.versions(release.bucket, release.prefix)) {
    const { key, lastModified, etag, size } = entry
    const deleted = etag === undefined
    const version = deleted ? `deleted-${entry.versionId ?? lastModified}` : versionOf({ ...entry, etag })
    const traceId = traceIdOf(release.bucket, key, version)
    if (all.has(traceId)) continue
    all.set(traceId, {
      path: key.slice(release.prefix.length),
      key,
      traceId,
      version,
      etag: etag ?? '',
      lastModified,
      size: size ?? 0,
      deleted,
    })
  }
  return [...all.values()]
}

const markerJson = async (deps: WeightsDeps, marker: MemberRow): Promise<unknown> => {
  const name = objectManifestName(marker.bucket, marker.key, marker.version, marker.planId)
  const bytes = await deps.store.read(name, { bytesMax: manifestBytesMax })
  if (!bytes) throw new CorruptError(`${name} is missing although the ledger says that it is sealed`)
  const body = await readSmallObject(deps.store, parseRecord(objectManifestSchema, name, bytes), markerBytesMax)
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body)) as unknown
  } catch (cause) {
    throw new InvalidInputError(`${marker.key} is not JSON`, { cause })
  }
}

const judge = async (
  deps: WeightsDeps,
  rule: BucketRule,
  release: Release,
  members: MemberRow[],
  marked: Marked,
): Promise<Judgement> => {
  const { member, kind } = marked
  const candidates = await candidatesOf(deps, release, members)
  const { marker: configured, settleSeconds } = rule.release
  if (kind === 'marker') return membersMarked(candidates, candidateOf(member), configured)
  const json = await markerJson(deps, member)
  if (kind === 'exact') {
    const publish = publishSchema.safeParse(json)
    if (publish.success) return membersListed(candidates, publish.data)
    return {
      kind: 'waiting',
      reason: `${member.key}: ${publish.error.issues[0]?.path.join('.')}: ${publish.error.issues[0]?.message}`,
    }
  }
  const index = indexSchema.safeParse(json)
  if (!index.success) return { kind: 'waiting', reason: `${member.key} has no weight_map that names shards` }
  const shards = [...new Set(Object.values(index.data.weight_map))]
  const judgement = membersIndexed(candidates, candidateOf(member), shards, configured)
  if (judgement.kind !== 'members') return judgement
  const newest = Math.max(...members.map(({ lastModified }) => lastModified))
  const settled = newest + settleSeconds * 1000
  return deps.clock.now() < settled
    ? {
        kind: 'waiting',
        reason: `complete by its index; waits until ${new Date(settled).toISOString()} for files that follow (settleSeconds)`,
      }
    : judgement
}

/** A marker that is no JSON, or too large to be one, must not keep anything else from being looked at. */
const whenUnreadable = (error: unknown): Judgement => {
  if (error instanceof InvalidInputError || error instanceof CorruptError)
    return { kind: 'waiting', reason: error.message }
  throw error
}

const requestDigest = async (deps: WeightsDeps, candidate: Candidate): Promise<void> => {
  const row = await deps.objects.get(candidate.traceId)
  if (!row || row.sha256 !== undefined) return
  // The release is evaluated again and again while the pass is under way; one that goes on says so in the row.
  if (deps.clock.now() - (row.nudgedAt ?? 0) < digestAgainMs) return
  const { bucket, key, versionId, etag, size } = row.source
  await deps.workQueue.send([
    {
      lifeboat: 1,
      kind: 'digest',
      purpose: 'release',
      traceId: row.traceId,
      planId: row.planId,
      source: { bucket, key, etag, ...(versionId === undefined ? {} : { versionId }) },
      algorithm: 'SHA256',
      offset: 0,
      size,
    },
  ])
  await deps.objects.update(row.traceId, row.planId, { nudgedAt: deps.clock.now() })
}

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

/** The release was sealed by an earlier call, which may have ended before it told the chain. */
const adoptRelease = async (deps: WeightsDeps, name: string): Promise<void> => {
  const bytes = await deps.store.read(name, { bytesMax: manifestBytesMax })
  if (!bytes) throw new CorruptError(`${name} exists and cannot be read`)
  const { model, version, releaseId, sequence } = parseRecord(releaseManifestSchema, name, bytes)
  await deps.chain.advance(`release#${model}`, sequence, `sha256:${sha256Hex(bytes)}`, { version, releaseId })
}

const sealRelease = async (
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
  const listDigest = hashOf(...members.map(({ path, version }) => `${path}\0${version}`))
  const version = release.version ?? `${stamp(complete.publishedAt)}-${listDigest.slice(0, 8)}`
  const releaseId = hashOf(
    release.bucket,
    release.prefix,
    release.model,
    version,
    complete.marker?.traceId,
    listDigest,
  ).slice(0, 16)
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

const wait = async (
  deps: WeightsDeps,
  release: Release,
  marker: MemberRow | null,
  reason: string,
  before?: string,
): Promise<void> => {
  if (reason === before) return
  await deps.releases.update(release.bucket, release.prefix, { waiting: reason })
  const version = release.version ?? '-'
  deps.telemetry.log('info', `release waits: ${reason}`, { stage: 'release', model: release.model, version })
  await recordWaiting(deps, {
    bucket: release.bucket,
    model: release.model,
    version,
    marker: marker?.key ?? null,
    reason,
  })
}

/** Evaluates one marker. True when the release that it fixes is sealed. */
const settleMarker = async (
  deps: WeightsDeps,
  rule: BucketRule,
  release: Release,
  members: MemberRow[],
  marked: Marked,
  before?: string,
): Promise<boolean> => {
  const judgement = await judge(deps, rule, release, members, marked).catch(whenUnreadable)
  if (judgement.kind === 'digest') for (const candidate of judgement.candidates) await requestDigest(deps, candidate)
  const reason = judgement.kind === 'members' ? unready(judgement.members) : judgement.reason
  if (judgement.kind !== 'members' || reason !== undefined) {
    await wait(deps, release, marked.member, reason ?? 'not complete', before)
    return false
  }
  const publishedAt = Math.max(marked.member.lastModified, ...judgement.members.map(({ lastModified }) => lastModified))
  await sealRelease(deps, release, {
    members: judgement.members,
    completeness: marked.kind,
    marker: marked.member,
    publishedAt,
  })
  await deps.releases.update(release.bucket, release.prefix, { done: marked.member.traceId })
  return true
}

const isSealed = (member: MemberRow): boolean => member.state === 'protected' || member.state === 'sealed'
const isEnded = (member: MemberRow): boolean => member.state === 'superseded' || member.state === 'refused'

/** Last resort: no marker ever came and nothing has changed for the quiet period. */
const infer = async (
  deps: WeightsDeps,
  release: Release,
  members: MemberRow[],
  quietMs: number,
  before?: string,
): Promise<boolean> => {
  const candidates = await candidatesOf(deps, release, members)
  // What the source lists counts too: the event of a newer object may be late or lost.
  const newest = Math.max(...candidates.filter(({ deleted }) => !deleted).map(({ lastModified }) => lastModified))
  if (deps.clock.now() < newest + quietMs) return false
  const judgement = membersAt(candidates, newest + 1000)
  const reason = judgement.kind === 'members' ? unready(judgement.members) : judgement.reason
  if (judgement.kind !== 'members' || reason !== undefined) {
    await wait(deps, release, null, reason ?? 'not complete', before)
    return false
  }
  await sealRelease(deps, release, {
    members: judgement.members,
    completeness: 'inferred',
    marker: null,
    publishedAt: newest,
  })
  await deps.releases.update(release.bucket, release.prefix, { done: `inferred-${newest}` })
  return true
}

/**
 * Evaluates the releases under one prefix from strong reads: after every seal, on replay and by the sweep, so that the
 * last one to look always sees all of it. Sealing is create-only; evaluating twice changes nothing.
 */
export const evaluateRelease = async (
  deps: WeightsDeps,
  bucket: string,
  key: { model: string; version?: string; prefix: string },
  options: { sweep?: boolean } = {},
): Promise<void> => {
  const rule = ruleFor(deps.config, bucket, key.prefix)
  if (!rule) return
  const release: Release = {
    bucket,
    prefix: key.prefix,
    model: key.model,
    ...(key.version === undefined ? {} : { version: key.version }),
  }
  const row = await deps.releases.get(bucket, key.prefix)
  const members = await deps.releases.members(bucket, key.prefix)
  const done = new Set(row?.done)
  const markers = markersOf(members, rule.release.marker)
  let open = members.some(({ state }) => state === 'copying') ? 1 : 0
  for (const marked of markers) {
    if (done.has(marked.member.traceId)) continue
    if (isEnded(marked.member))
      await wait(deps, release, marked.member, `marker ${marked.member.key} was ${marked.member.state}`, row?.waiting)
    else if (!isSealed(marked.member) || !(await settleMarker(deps, rule, release, members, marked, row?.waiting)))
      open += 1
  }
  if (!options.sweep || !row) return
  if (markers.length === 0 && members.length > 0) {
    const newest = Math.max(...members.map(({ lastModified }) => lastModified))
    const quietMs = rule.release.quietMinutes * 60_000
    if (
      !done.has(`inferred-${newest}`) &&
      (deps.clock.now() < row.touchedAt + quietMs || !(await infer(deps, release, members, quietMs, row.waiting)))
    )
      open += 1
  }
  if (open === 0) await deps.releases.update(bucket, key.prefix, { closeIf: row.touchedAt })
}
