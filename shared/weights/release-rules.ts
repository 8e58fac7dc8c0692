import { posix } from 'node:path'
import * as z from 'zod'
import { isUnversioned } from './identity.ts'
import type { ObjectState } from './ledger.ts'

/** How completeness of a release is known, as pure rules over the versions of its keys. */

/** One version of a key under a release's prefix, from the ledger, the source's listing or both. */
export type Candidate = {
  path: string
  key: string
  traceId: string
  version: string
  etag: string
  lastModified: number
  size: number
  deleted: boolean
  /** Absent while no event of it was seen. */
  state?: ObjectState
  planId?: string
  manifestDigest?: string
  sha256?: string
  crc64nvme?: string
  plannedAt?: number
}

export type MarkerKind = 'exact' | 'marker' | 'index'

export const publishName = '_PUBLISH.json'

/** What a path marks, strongest first: the publisher's list, a configured or well-known marker, an index of shards. */
export const markerKind = (path: string, configured?: string): MarkerKind | undefined => {
  if (path === publishName) return 'exact'
  if (path === configured || path === '_SUCCESS' || path === 'MLmodel') return 'marker'
  return path.endsWith('.index.json') ? 'index' : undefined
}

const strength: Record<MarkerKind, number> = { exact: 3, marker: 2, index: 1 }

/** Markers to evaluate: a weaker one is left alone where a stronger one of the same publish came with or after it. */
export const markersOf = <T extends { path: string; lastModified: number }>(
  members: readonly T[],
  configured?: string,
): { member: T; kind: MarkerKind }[] => {
  const found = members.flatMap((member) => {
    const kind = markerKind(member.path, configured)
    return kind ? [{ member, kind }] : []
  })
  return found.filter(
    ({ member, kind }) =>
      !found.some((other) => strength[other.kind] > strength[kind] && other.member.lastModified >= member.lastModified),
  )
}

/** `_SUCCESS` and `_PUBLISH.json` say something about the release and are not of it. */
const isBookkeeping = (path: string, configured?: string): boolean =>
  path === publishName || path === '_SUCCESS' || path === configured

export type Judgement =
  | { kind: 'members'; members: Candidate[] }
  /** `isPassing`: work under way will end it, and the reason changes with every step of that. */
  | { kind: 'waiting'; reason: string; isPassing?: boolean }
  | { kind: 'digest'; candidates: Candidate[]; reason: string }

type Waiting = Extract<Judgement, { kind: 'waiting' }>
const waiting = (reason: string): Waiting => ({ kind: 'waiting', reason })
const passing = (reason: string): Waiting => ({ kind: 'waiting', reason, isPassing: true })

const byKey = (candidates: readonly Candidate[]): Map<string, Candidate[]> => {
  const keys = new Map<string, Candidate[]>()
  for (const candidate of candidates) {
    const versions = keys.get(candidate.key)
    if (versions) versions.push(candidate)
    else keys.set(candidate.key, [candidate])
  }
  for (const versions of keys.values()) versions.sort((a, b) => b.lastModified - a.lastModified)
  return keys
}

const second = (at: number): number => Math.floor(at / 1000)

/** The latest LastModified, 0 of none; a release may have more members than a call has arguments. */
export const newestOf = (versions: Iterable<{ lastModified: number }>): number => {
  let newest = 0
  for (const { lastModified } of versions) newest = Math.max(newest, lastModified)
  return newest
}

const hasContentOf = (a: Candidate, b: Candidate): boolean =>
  a.deleted === b.deleted && a.etag === b.etag && a.size === b.size

/**
 * The version of a key that was current at a time known to the second: `ambiguous` where the newest shares its second
 * with another content, or came in that very second and an older one may have been current before it. The latter cannot
 * be where the time is the last at which anything came (`isSettled`).
 */
export const currentAt = (
  versions: readonly Candidate[],
  at: number,
  isSettled = false,
): Candidate | 'ambiguous' | undefined => {
  const until = versions.filter((version) => second(version.lastModified) <= second(at))
  const [newest] = until
  if (!newest) return undefined
  const together = until.filter((version) => second(version.lastModified) === second(newest.lastModified))
  const rivals =
    !isSettled && second(newest.lastModified) === second(at) ? until.slice(0, together.length + 1) : together
  if (rivals.some((rival) => !hasContentOf(rival, newest))) return 'ambiguous'
  return newest.deleted ? undefined : newest
}

const ambiguity = (key: string): Waiting =>
  waiting(`ambiguous: two versions of ${key} may be the one that was published; publish with _PUBLISH.json to name it`)

/** Without versions nothing tells what a key that is newer than the marker was before, even where an older one is known. */
const mayBeReplaced = ([newest]: readonly Candidate[], at: number): boolean =>
  newest !== undefined && isUnversioned(newest.version) && second(newest.lastModified) > second(at)

/** Every key's version at a time; none where no key had one. */
const versionsAt = (
  candidates: readonly Candidate[],
  at: number,
  configured?: string,
  isSettled = false,
): Exclude<Judgement, { kind: 'digest' }> => {
  const members: Candidate[] = []
  for (const [key, versions] of byKey(candidates)) {
    if (versions[0] && isBookkeeping(versions[0].path, configured)) continue
    const current = currentAt(versions, at, isSettled)
    if (current === 'ambiguous') return ambiguity(key)
    if (mayBeReplaced(versions, at))
      return waiting(
        `ambiguous: ${key} was added or replaced after the release was marked, and its bucket keeps no versions; publish with _PUBLISH.json to name its files`,
      )
    if (current) members.push(current)
  }
  return { kind: 'members', members }
}

/** The marker itself, where it is more than that, and every other key's version at its time. */
export const membersMarked = (candidates: readonly Candidate[], marker: Candidate, configured?: string): Judgement => {
  const others = candidates.filter(({ key }) => key !== marker.key)
  if (isBookkeeping(marker.path, configured)) return membersAt(others, marker.lastModified, configured)
  const found = versionsAt(others, marker.lastModified, configured)
  return found.kind === 'members' ? { kind: 'members', members: [marker, ...found.members] } : found
}

/** Every key's version at the marker's time. */
export const membersAt = (candidates: readonly Candidate[], at: number, configured?: string): Judgement => {
  const found = versionsAt(candidates, at, configured)
  return found.kind === 'members' && found.members.length === 0
    ? waiting('no object was there when the marker was written')
    : found
}

const entrySchema = z
  .object({
    key: z.string().min(1),
    size: z.number().int().nonnegative(),
    sha256: z
      .string()
      .regex(/^[0-9a-f]{64}$/)
      .optional(),
    versionId: z.string().optional(),
    crc64nvme: z.string().optional(),
  })
  .refine((entry) => entry.sha256 ?? entry.versionId ?? entry.crc64nvme, {
    error: 'needs sha256, versionId or crc64nvme',
  })
/** What else is in it is not judged here: `parent` is lineage.ts's. */
export const publishSchema = z.object({ files: z.array(entrySchema).min(1) })
export type Publish = z.infer<typeof publishSchema>

const isSealed = ({ state }: Candidate): boolean => state === 'protected' || state === 'sealed'

const matches = (candidate: Candidate, entry: Publish['files'][number]): boolean | 'unknown' => {
  if (candidate.deleted || candidate.size !== entry.size) return false
  if (entry.versionId !== undefined && candidate.version !== entry.versionId) return false
  if (entry.crc64nvme !== undefined) {
    if (candidate.crc64nvme !== undefined && candidate.crc64nvme !== entry.crc64nvme) return false
    if (candidate.crc64nvme === undefined && entry.versionId === undefined && entry.sha256 === undefined)
      return 'unknown'
  }
  if (entry.sha256 === undefined) return true
  return candidate.sha256 === undefined ? 'unknown' : candidate.sha256 === entry.sha256
}

/** A list may name one key twice with the same content. */
const oneOfEachPath = (members: Candidate[]): Judgement => {
  const paths = new Set<string>()
  for (const { path } of members) {
    if (paths.has(path)) return waiting(`_PUBLISH.json lists two contents of ${path}`)
    paths.add(path)
  }
  return { kind: 'members', members }
}

/** The versions that the publisher's list names, by size and content. Several of equal content are one choice: the newest. */
export const membersListed = (candidates: readonly Candidate[], publish: Publish): Judgement => {
  const members = new Set<Candidate>()
  const unread: Candidate[] = []
  for (const entry of publish.files) {
    const versions = candidates
      .filter(({ path }) => path === entry.key)
      .toSorted((a, b) => b.lastModified - a.lastModified)
    const equal = versions.filter((candidate) => matches(candidate, entry) === true)
    const match = equal.find(isSealed) ?? equal[0]
    if (match) {
      members.add(match)
      continue
    }
    const open = versions.filter((candidate) => matches(candidate, entry) === 'unknown')
    const readable = open.filter(isSealed)
    if (readable.length > 0 && entry.sha256 !== undefined) {
      unread.push(...readable)
      continue
    }
    return open.length > 0
      ? passing(`${open[0]?.key} is not yet in the replica`)
      : waiting(`no version of ${entry.key} has the size and content that _PUBLISH.json lists`)
  }
  if (unread.length === 0) return oneOfEachPath([...members])
  return { kind: 'digest', candidates: unread, reason: `the SHA-256 of ${unread[0]?.key} is being read` }
}

export const indexSchema = z.object({ weight_map: z.record(z.string(), z.string()) })

/** When an object came: S3 dates one of several parts by when its upload began, so its plan may know better. */
const cameAt = ({ lastModified, plannedAt = 0 }: Candidate): number => Math.max(lastModified, plannedAt)

/**
 * When the last file of a publish came: each follows the one before within `settleMs`, and none comes after the next
 * publish has begun, which a newer version of a shard or of the index does.
 */
const publishedUntil = (
  chosen: readonly Candidate[],
  keys: ReadonlyMap<string, readonly Candidate[]>,
  settleMs: number,
): number => {
  const named = new Map(chosen.map((candidate) => [candidate.key, candidate]))
  const times: number[] = []
  let next = Number.MAX_SAFE_INTEGER
  for (const [key, versions] of keys)
    for (const { lastModified } of versions) {
      const pick = named.get(key)
      if (!pick) times.push(lastModified)
      else if (lastModified > pick.lastModified) next = Math.min(next, lastModified)
    }
  let until = chosen.reduce((at, candidate) => Math.max(at, cameAt(candidate)), 0)
  for (const at of times.sort((a, b) => a - b)) if (at > until && at <= until + settleMs) until = at
  return Math.max(newestOf(chosen), Math.min(until, second(next) * 1000 - 1))
}

/**
 * The shards that an index names and everything else that was there when the last of them came, or that followed with no
 * more than `settleMs` between. An index may precede its shards.
 */
export const membersIndexed = (
  candidates: readonly Candidate[],
  index: Candidate,
  shards: readonly string[],
  { settleMs, configured }: { settleMs: number; configured?: string | undefined },
): Judgement => {
  const keys = byKey(candidates)
  const folder = posix.dirname(index.key)
  const before = newestOf(
    (keys.get(index.key) ?? []).filter((other) => second(other.lastModified) < second(index.lastModified)),
  )
  const isIndexReplaced = mayBeReplaced(keys.get(index.key) ?? [], index.lastModified)
  const chosen: Candidate[] = [index]
  for (const shard of shards) {
    const key = folder === '.' ? shard : `${folder}/${shard}`
    const versions = keys.get(key) ?? []
    const current = currentAt(versions, index.lastModified)
    if (current === 'ambiguous') return ambiguity(key)
    // Of the publish before, unless this one leaves the shard as it was: nothing in the source tells which.
    if (current && (current.lastModified < before || mayBeReplaced(versions, index.lastModified))) return ambiguity(key)
    const after = versions.filter(
      (version) => second(version.lastModified) > second(index.lastModified) && !version.deleted,
    )
    const pick = current ?? after.at(-1)
    if (!pick) return waiting(`shard ${key}, which ${index.key} names, has not been published`)
    if (!current && (after.length > 1 || isIndexReplaced)) return ambiguity(key)
    chosen.push(pick)
  }
  const named = new Set(chosen.map(({ key }) => key))
  const rest = versionsAt(
    candidates.filter(({ key }) => !named.has(key)),
    publishedUntil(chosen, keys, settleMs),
    configured,
    true,
  )
  if (rest.kind === 'waiting') return rest
  return { kind: 'members', members: [...chosen, ...rest.members] }
}

/** What a complete list of members still waits for, or undefined when every one is in the replica. */
export const unready = (members: readonly Candidate[]): Waiting | undefined => {
  const open = members.filter(({ state }) => state !== 'protected' && state !== 'sealed')
  const [first] = open
  if (!first) return undefined
  const ended = open.find(({ state }) => state === 'superseded' || state === 'refused')
  if (ended) return waiting(`${ended.key} (version ${ended.version}) was ${ended.state}`)
  return passing(`${open.length} of ${members.length} objects are not yet in the replica, ${first.key} among them`)
}
