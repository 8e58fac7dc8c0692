import { CorruptError, InvalidInputError } from '../errors.ts'
import type { WeightsDeps } from './deps.ts'
import { traceIdOf, versionOf } from './identity.ts'
import type { MemberRow } from './ledger.ts'
import { objectManifestSchema, parseRecord } from './manifest.ts'
import { objectManifestName } from './names.ts'
import { recordWaiting } from './outcome.ts'
import { backfillMark } from './messages.ts'
import { type BucketRule, releaseOf, ruleFor, touchRelease } from './plan.ts'
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
  newestOf,
  publishSchema,
  unready,
} from './release-rules.ts'
import { type Release, sealRelease } from './seal-release.ts'

const markerBytesMax = 16 * 2 ** 20
const manifestBytesMax = 64 * 2 ** 20
/** A pass over a large file that nothing has been heard of for a third of the RPO is lost. */
const digestAgainMs = ({ config }: WeightsDeps): number => config.rpo.objectsMinutes * 20_000

type Marked = { member: MemberRow; kind: MarkerKind }

const candidateOf = (member: MemberRow): Candidate => ({ ...member, deleted: false })

/** The prefix itself can be a key (a folder that S3's console made), and it belongs to no release. */
const isOfRelease = (deps: WeightsDeps, release: Release, key: string): boolean => {
  const rule = ruleFor(deps.config, release.bucket, key)
  return rule !== undefined && releaseOf(rule, key)?.prefix === release.prefix
}

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
    if (!isOfRelease(deps, release, key)) continue
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
  touchedAt: number,
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
  const settleMs = settleSeconds * 1000
  const judgement = membersIndexed(candidates, candidateOf(member), shards, { settleMs, configured })
  if (judgement.kind !== 'members') return judgement
  return deps.clock.now() < Math.max(newestOf(members), touchedAt) + settleMs
    ? {
        kind: 'waiting',
        reason: `complete by its index; waits until nothing has come for ${settleSeconds} s (settleSeconds)`,
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
  if (!row) return
  if (row.sha256 !== undefined) {
    // The pass was cut off before it told the member, or a commit at the same time wrote the member anew after it.
    if (row.release) await touchRelease(deps, row, row.release)
    return
  }
  // The release is evaluated again and again while the pass is under way; one that goes on says so in the row.
  if (deps.clock.now() - (row.nudgedAt ?? 0) < digestAgainMs(deps)) return
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
      ...backfillMark(row),
    },
  ])
  await deps.objects.update(row.traceId, row.planId, { nudgedAt: deps.clock.now() })
}

/** What was waited for before, and whether it is the sweep that looks. */
type Look = { before?: string | undefined; isSweep: boolean; touchedAt: number }

const wait = async (
  deps: WeightsDeps,
  release: Release,
  marker: MemberRow | null,
  { reason, isPassing = false }: { reason: string; isPassing?: boolean },
  { before, isSweep }: Look,
): Promise<void> => {
  // One record for every object that a release of many waits for would be as many records: the sweep makes one a minute.
  if (reason === before || (isPassing && !isSweep)) return
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

type Complete = Parameters<typeof sealRelease>[2]

/** True when the release is sealed; a release that no manifest can hold waits, where a person sees it. */
const sealOrWait = async (
  deps: WeightsDeps,
  release: Release,
  complete: Complete,
  done: string,
  look: Look,
): Promise<boolean> => {
  try {
    await sealRelease(deps, release, complete)
  } catch (error) {
    if (!(error instanceof InvalidInputError)) throw error
    await wait(deps, release, complete.marker, { reason: error.message }, look)
    return false
  }
  await deps.releases.update(release.bucket, release.prefix, { done, again: release.again })
  return true
}

/** Whether a member that is still being copied may be of the marked release. */
const isUnderWay = ({ state, lastModified }: MemberRow, { member, kind }: Marked): boolean =>
  state === 'copying' && (kind !== 'marker' || lastModified <= member.lastModified)

/** Evaluates one marker. True when the release that it fixes is sealed. */
const settleMarker = async (
  deps: WeightsDeps,
  rule: BucketRule,
  release: Release,
  members: MemberRow[],
  marked: Marked,
  look: Look,
): Promise<boolean> => {
  // To list the source after every seal of a release of many would take longer than to copy it.
  if (!look.isSweep && members.some((member) => isUnderWay(member, marked))) return false
  const judgement = await judge(deps, rule, release, members, marked, look.touchedAt).catch(whenUnreadable)
  if (judgement.kind === 'digest') for (const candidate of judgement.candidates) await requestDigest(deps, candidate)
  const open = judgement.kind === 'members' ? unready(judgement.members) : judgement
  if (judgement.kind !== 'members' || open) {
    if (open) await wait(deps, release, marked.member, open, look)
    return false
  }
  const complete: Complete = {
    members: judgement.members,
    completeness: marked.kind,
    marker: marked.member,
    publishedAt: newestOf([marked.member, ...judgement.members]),
  }
  return sealOrWait(deps, release, complete, marked.member.traceId, look)
}

const isSealed = (member: MemberRow): boolean => member.state === 'protected' || member.state === 'sealed'
const isEnded = (member: MemberRow): boolean => member.state === 'superseded' || member.state === 'refused'

/** Last resort: no marker ever came and nothing has changed for the quiet period. */
const infer = async (
  deps: WeightsDeps,
  release: Release,
  members: MemberRow[],
  quietMs: number,
  look: Look,
): Promise<boolean> => {
  const candidates = await candidatesOf(deps, release, members)
  // What the source lists counts too: the event of a newer object may be late or lost.
  const newest = newestOf(candidates.filter(({ deleted }) => !deleted))
  if (deps.clock.now() < newest + quietMs) return false
  const judgement = membersAt(candidates, newest + 1000)
  const open = judgement.kind === 'members' ? unready(judgement.members) : judgement
  if (judgement.kind !== 'members' || open) {
    if (open) await wait(deps, release, null, open, look)
    return false
  }
  const { members: complete } = judgement
  return sealOrWait(
    deps,
    release,
    { members: complete, completeness: 'inferred', marker: null, publishedAt: newest },
    `inferred-${newest}`,
    look,
  )
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
  if (row?.again !== undefined) release.again = row.again
  if (row?.wanting !== undefined) release.wanting = row.wanting
  const members = await deps.releases.members(bucket, key.prefix)
  const done = new Set(row?.done)
  const markers = markersOf(members, rule.release.marker)
  const look: Look = { before: row?.waiting, isSweep: options.sweep === true, touchedAt: row?.touchedAt ?? 0 }
  let open = members.some(({ state }) => state === 'copying') ? 1 : 0
  for (const marked of markers) {
    if (done.has(marked.member.traceId)) continue
    if (isEnded(marked.member))
      await wait(
        deps,
        release,
        marked.member,
        { reason: `marker ${marked.member.key} was ${marked.member.state}` },
        look,
      )
    else if (!isSealed(marked.member) || !(await settleMarker(deps, rule, release, members, marked, look))) open += 1
  }
  if (!options.sweep || !row) return
  if (markers.length === 0 && members.length > 0) {
    const newest = newestOf(members)
    const quietMs = rule.release.quietMinutes * 60_000
    if (
      !done.has(`inferred-${newest}`) &&
      (deps.clock.now() < row.touchedAt + quietMs || !(await infer(deps, release, members, quietMs, look)))
    )
      open += 1
  }
  if (open === 0) await deps.releases.update(bucket, key.prefix, { closeIf: row.touchedAt, again: row.again })
}
