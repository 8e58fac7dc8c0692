import * as z from 'zod'
import { mapInOrder, toArray } from '../bounded.ts'
import { DeniedError, isRetryable, SupersededError } from '../errors.ts'
import type { SourceObject, SourceVersionEntry } from '../ports.ts'
import { endCancelled } from '../weights/close.ts'
import { resendUnits } from '../weights/commit.ts'
import type { WeightsDeps } from '../weights/deps.ts'
import { traceIdOf, versionOf } from '../weights/identity.ts'
import type { ObjectRow } from '../weights/ledger.ts'
import { planObject, ruleFor } from '../weights/plan.ts'
import { quietMs } from '../weights/sweep.ts'
import type { BackfillDeps } from './deps.ts'
import { cursorOf, type PageDone } from './page.ts'
import { readRun } from './records.ts'
import { add, isOpen, type ObjectsSpec, type Part, refuse, type Run } from './run.ts'

/** Pages of a bucket's listing: each version that Lifeboat does not know is planned, as one that an event announced. */

const lookupsInFlight = 16
export const entriesPerPage = 100
/**
 * What is on its way at most: what arrives in some seconds. Commits of all objects share the ledger's stream: what was just
 * published waits there behind no more than this, and a pause leaves no more undone.
 */
const inFlightSeconds = 10
const inFlightObjects = { min: 24, max: 500 }
const arrivalsEveryMs = 2000
/** Of the last look at arrivals against those before. */
const lastWeight = 0.3
const inFlightBytesMax = 32 * 2 ** 30
/** So often what does not move is sent again. */
const stallsMax = 3
/** Of the oldest in flight, looked at first. */
const lookedAtFirst = 64

const cursorSchema = z.object({ key: z.string(), versionId: z.string().exactOptional() })

type ObjectsDeps = Pick<BackfillDeps, 'weights' | 'state'>
type Listed = { bucket: string; entry: SourceVersionEntry }

const unread = (entry: SourceVersionEntry): string | undefined => {
  if (entry.isArchived) return 'archived: restore it in S3, then backfill it again'
  if (entry.versionId === undefined && !entry.isLatest)
    return 'from before the bucket kept versions, and replaced: copy it onto itself to have it replicated'
  return undefined
}

/** S3 tells by HEAD that an object is encrypted, and only by a read that the key is denied. */
const readDenied = async ({ source }: WeightsDeps, object: SourceObject): Promise<string | undefined> => {
  if (object.etagIsOpaque !== true || object.size === 0) return undefined
  try {
    for await (const _ of source.read(object, 0, 1)) break
    return undefined
  } catch (error) {
    if (error instanceof DeniedError) return error.message
    throw error
  }
}

/** Why one object cannot be brought in, so that the rest goes on. Throws what a retry may cure. */
const reasonOf = (error: unknown): string => {
  if (isRetryable(error)) throw error
  return error instanceof Error ? error.message : String(error)
}

type Looked =
  | { kind: 'planned'; row: ObjectRow }
  | { kind: 'ours'; row: ObjectRow }
  | { kind: 'alreadyThere' | 'underWay' | 'leftToEvents' | 'replaced' | 'outside' }
  | { kind: 'refused'; why: string }

const plan = async (weights: WeightsDeps, run: Run, { bucket, entry }: Listed): Promise<Looked> => {
  const { key, versionId } = entry
  const rule = ruleFor(weights.config, bucket, key)
  if (!rule) return { kind: 'outside' }
  try {
    const object = await weights.source.head({ bucket, key, ...(versionId === undefined ? {} : { versionId }) })
    if (!object) return { kind: 'replaced' }
    if (object.isArchived) return { kind: 'refused', why: `archived in ${object.storageClass ?? 'Glacier'}` }
    const denied = await readDenied(weights, object)
    if (denied !== undefined) return { kind: 'refused', why: denied }
    const mark = entry.lastModified < run.since ? run.id : undefined
    const { row, outcome } = await planObject(weights, rule, object, 0, 'asked', undefined, mark)
    if (outcome === 'refused') return { kind: 'refused', why: row.reason ?? 'refused before' }
    // Sealed since the look: of an earlier call of ours that died, or of somebody else.
    if (outcome === 'already') return row.backfill === run.id ? { kind: 'ours', row } : { kind: 'alreadyThere' }
    return { kind: 'planned', row }
  } catch (error) {
    // What replaced it is announced by an event of its own.
    if (error instanceof SupersededError) return { kind: 'replaced' }
    return { kind: 'refused', why: reasonOf(error) }
  }
}

/** True where nothing else brings it in: its backfill is over. The next plan is another one, under this run's mark. */
const endedWithItsRun = async ({ weights, state }: ObjectsDeps, row: ObjectRow): Promise<boolean> => {
  if (row.backfill === undefined) return false
  const other = await readRun(state, row.backfill)
  if (other && isOpen(other)) return false
  await endCancelled(weights, row)
  return true
}

const look = async (deps: ObjectsDeps, run: Run, listed: Listed): Promise<Looked> => {
  const { weights } = deps
  const { bucket, entry } = listed
  const { key, versionId, etag = '', lastModified } = entry
  // What is as young has an event that is on its way.
  if (lastModified >= run.startedAt) return { kind: 'leftToEvents' }
  const row = await weights.objects.get(traceIdOf(bucket, key, versionOf({ versionId, lastModified, etag })))
  if (row?.backfill === run.id && row.state !== 'copying' && row.state !== 'superseded') return { kind: 'ours', row }
  if (row?.state === 'protected' || row?.state === 'sealed') return { kind: 'alreadyThere' }
  if (row?.state === 'copying' && row.backfill !== run.id && !(await endedWithItsRun(deps, row)))
    return { kind: 'underWay' }
  if (row?.state === 'refused') return { kind: 'refused', why: row.reason ?? 'refused before' }
  const why = unread(entry)
  return why === undefined ? plan(weights, run, listed) : { kind: 'refused', why }
}

/** Counts what became of an object that was on its way; answers its row while it is. */
const ended = async (weights: WeightsDeps, part: Part, traceId: string): Promise<ObjectRow | undefined> => {
  const row = await weights.objects.get(traceId)
  if (row?.state === 'copying') return row
  if (!row || row.state === 'superseded') add(part, 'replaced', 1)
  else if (row.state === 'refused')
    refuse(part, `s3://${row.source.bucket}/${row.source.key}#${row.version}`, row.reason ?? 'refused')
  else {
    add(part, 'done', 1)
    add(part, 'bytesRead', row.source.size)
    add(part, row.state === 'protected' ? 'protected' : 'unverified', 1)
    for await (const segment of weights.segments.list(row.traceId, row.planId)) {
      add(part, 'segments', 1)
      add(part, 'bytesSent', segment.bytesSent)
      add(part, 'bytesReused', segment.bytesReused)
      for (const { chunks } of segment.parts) add(part, 'chunks', chunks)
    }
  }
  return undefined
}

type Taken = { gone: Set<string>; left: number }

/** What of these has ended, and how many units of the others are left. */
const takeEnded = async (weights: WeightsDeps, part: Part, many: Part['inFlight']): Promise<Taken> => {
  const gone = new Set<string>()
  let left = 0
  const looked = mapInOrder(many, lookupsInFlight, async ([traceId]) => ({
    traceId,
    row: await ended(weights, part, traceId),
  }))
  for await (const { traceId, row } of looked)
    if (row) left += row.left
    else gone.add(traceId)
  return { gone, left }
}

/** Units of large objects that get done are a movement, too. */
const noteLeft = (part: Part, left: number, nowMs: number): void => {
  if (part.left !== undefined && left < part.left) {
    part.movedAt = nowMs
    part.stalls = 0
  }
  part.left = left
}

const countArrivals = (part: Part, count: number, nowMs: number): void => {
  const { arrivals } = part
  arrivals.count += count
  const seconds = (nowMs - arrivals.since) / 1000
  if (seconds * 1000 < arrivalsEveryMs || arrivals.count === 0) return
  const perSecond = arrivals.count / seconds
  const before = arrivals.perSecond === 0 ? perSecond : arrivals.perSecond
  part.arrivals = { perSecond: before + (perSecond - before) * lastWeight, since: nowMs, count: 0 }
}

/** Counts what has arrived since the last look. */
export const settleObjects = async (weights: WeightsDeps, part: Part): Promise<number> => {
  const first = part.inFlight.slice(0, lookedAtFirst)
  let { gone, left } = await takeEnded(weights, part, first)
  if (gone.size === 0) {
    // A large one may be the oldest for long.
    const others = await takeEnded(weights, part, part.inFlight.slice(lookedAtFirst))
    gone = others.gone
    left += others.left
  }
  countArrivals(part, gone.size, weights.clock.now())
  if (gone.size === 0) {
    if (part.inFlight.length > 0) noteLeft(part, left, weights.clock.now())
    return 0
  }
  delete part.left
  part.inFlight = part.inFlight.filter(([traceId]) => !gone.has(traceId))
  part.movedAt = weights.clock.now()
  part.stalls = 0
  return gone.size
}

const subjectOfRow = async (weights: WeightsDeps, traceId: string): Promise<string> => {
  const row = await weights.objects.get(traceId)
  return row ? `s3://${row.source.bucket}/${row.source.key}#${row.version}` : traceId
}

const resend = async (weights: WeightsDeps, run: Run, traceId: string): Promise<void> => {
  const row = await weights.objects.get(traceId)
  if (row?.state !== 'copying' || row.left === 0) return
  const { bucket, key, versionId } = row.source
  const rule = ruleFor(weights.config, bucket, key)
  const object = await weights.source.head({ bucket, key, ...(versionId === undefined ? {} : { versionId }) })
  if (!rule || !object || row.phase === 'digest') await resendUnits(weights, row)
  else await planObject(weights, rule, object, 0, 'asked', undefined, run.id)
}

const resendAll = async (weights: WeightsDeps, run: Run, part: Part): Promise<void> => {
  const refused = new Set<string>()
  const sent = mapInOrder(part.inFlight, lookupsInFlight, async ([traceId]) => {
    const why = await resend(weights, run, traceId).then(() => undefined, reasonOf)
    return { traceId, why }
  })
  for await (const { traceId, why } of sent) {
    if (why === undefined) continue
    refused.add(traceId)
    refuse(part, await subjectOfRow(weights, traceId), why)
  }
  if (refused.size > 0) part.inFlight = part.inFlight.filter(([traceId]) => !refused.has(traceId))
}

/** What does not get on however often it is sent: the rest is done. Nothing sends it again but the next backfill. */
const giveUp = async (weights: WeightsDeps, part: Part): Promise<void> => {
  const why = 'its copy does not get on: the log of copySegment and the dead letters say why'
  for (const [traceId] of part.inFlight) refuse(part, await subjectOfRow(weights, traceId), why)
  part.inFlight = []
}

/** Sends the units of what is in flight again after a pause, which drops them, or where nothing has moved for long. */
export const resendStalled = async (weights: WeightsDeps, run: Run, part: Part): Promise<void> => {
  const nowMs = weights.clock.now()
  const isStalled = part.inFlight.length > 0 && nowMs - Math.max(part.movedAt, part.resentAt) > quietMs(weights)
  if (part.resentAt >= run.resumedAt && !isStalled) return
  if (isStalled && part.stalls >= stallsMax) return giveUp(weights, part)
  await resendAll(weights, run, part)
  part.resentAt = nowMs
  if (isStalled) part.stalls += 1
}

/** How many may be on their way. */
export const inFlightMax = ({ arrivals }: Pick<Part, 'arrivals'>): number =>
  Math.round(Math.min(inFlightObjects.max, Math.max(inFlightObjects.min, arrivals.perSecond * inFlightSeconds)))

export const isFull = (part: Part): boolean =>
  part.inFlight.length >= inFlightMax(part) ||
  part.inFlight.reduce((sum, [, bytes]) => sum + bytes, 0) >= inFlightBytesMax

/** One page of the listing. */
export const objectsPage = async (
  deps: ObjectsDeps,
  run: Run & { spec: ObjectsSpec },
  part: Part,
  entriesMax: number,
): Promise<PageDone> => {
  const { weights } = deps
  const { bucket, prefix, versions } = run.spec
  const from = cursorOf((value) => cursorSchema.safeParse(value).data, part.cursor)
  const pages = weights.source.versionPages(bucket, prefix, from, entriesMax)[Symbol.asyncIterator]()
  const page = (await pages.next()).value
  const entries: SourceVersionEntry[] = page?.entries ?? []
  const wanted = entries.filter(({ etag, isLatest }) => etag !== undefined && (versions === 'all' || isLatest))
  add(part, 'pages', 1)
  add(part, 'read', wanted.length)
  const looks = await toArray(mapInOrder(wanted, lookupsInFlight, (entry) => look(deps, run, { bucket, entry })))
  let bytes = 0
  for (const [index, looked] of looks.entries()) {
    const entry = wanted[index]
    if (looked.kind === 'planned' || looked.kind === 'ours') {
      bytes += looked.row.source.size
      part.inFlight.push([looked.row.traceId, looked.row.source.size])
      part.movedAt = weights.clock.now()
      add(part, 'planned', 1)
    } else if (looked.kind === 'refused')
      refuse(part, `s3://${bucket}/${entry?.key ?? ''}${entry?.versionId ? `#${entry.versionId}` : ''}`, looked.why)
    else add(part, looked.kind, 1)
  }
  if (page?.next) part.cursor = page.next
  return { items: wanted.length, bytes, readUnits: 0, isLast: page?.next === undefined }
}
