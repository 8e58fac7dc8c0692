import { type Config, compilePath } from '../config.ts'
import { UnavailableError } from '../errors.ts'
import type { SourceObject } from '../ports.ts'
import { boundsWithin, chooseChecksum, runLengths } from './check.ts'
import type { WeightsDeps } from './deps.ts'
import { asHint } from './hint.ts'
import { forgetContent } from './identical.ts'
import { planIdOf, traceIdOf, versionOf } from './identity.ts'
import type { Check, ObjectRow, ReleaseKey, Repair } from './ledger.ts'
import { parentOf } from './lineage.ts'
import { formatVersion, type PendingManifest, toBytes } from './manifest.ts'
import { backfillMark, type SegmentMessage } from './messages.ts'
import { pendingName } from './names.ts'
import { segmentBytesMaxOf, shapeOf, shapeOfIdentical } from './shape.ts'

export type BucketRule = Config['buckets'][number]

/** The rule that covers a key: of those on its bucket, the one with the longest prefix. */
export const ruleFor = (config: Config, bucket: string, key: string): BucketRule | undefined =>
  config.buckets
    .filter((rule) => rule.name === bucket && key.startsWith(rule.prefix))
    .toSorted((a, b) => b.prefix.length - a.prefix.length)[0]

/** The release that a key belongs to, or undefined for an object that stands alone. */
export const releaseOf = (rule: BucketRule, key: string): ReleaseKey | undefined => {
  const match = compilePath(rule.release.path)(key, rule.prefix)
  return match && { ...match, prefix: key.slice(0, key.length - match.path.length) }
}

/** The same, but stored bodies that a check found to be wrong are read before they are believed. */
export const distrusting = (deps: WeightsDeps, repair: Repair | undefined): WeightsDeps =>
  repair ? { ...deps, distrusted: new Set(repair.bodies) } : deps

const checkOf = async (deps: WeightsDeps, object: SourceObject): Promise<Check | null> => {
  const chosen = chooseChecksum(object)
  if (!chosen || chosen.type === 'FULL_OBJECT') return chosen ?? null
  const partsCount = object.partsCount ?? Number(/-(\d+)$/.exec(chosen.value)?.[1])
  return { ...chosen, parts: await runLengths(deps.source.parts({ ...object, partsCount })) }
}

export const sourceRecord = (config: Config, object: SourceObject, version: string): PendingManifest['source'] => ({
  account: config.source.account,
  region: config.source.region,
  bucket: object.bucket,
  key: object.key,
  version,
  ...(object.versionId === undefined ? {} : { versionId: object.versionId }),
  etag: object.etag,
  lastModified: new Date(object.lastModified).toISOString(),
  ...(object.contentType === undefined ? {} : { contentType: object.contentType }),
  ...(object.contentEncoding === undefined ? {} : { contentEncoding: object.contentEncoding }),
  ...(object.metadata === undefined ? {} : { metadata: object.metadata }),
  ...(object.storageClass === undefined ? {} : { storageClass: object.storageClass }),
})

/** The message that copies one segment of a plan. */
export const segmentMessage = (
  row: ObjectRow,
  segment: { offset: number; size: number; index: number },
): SegmentMessage => {
  const { offset, size, index } = segment
  const { bucket, key, versionId, etag } = row.source
  const end = offset + size
  return {
    lifeboat: 1,
    kind: 'segment',
    traceId: row.traceId,
    planId: row.planId,
    source: { bucket, key, etag, versionId },
    offset,
    size,
    index,
    cutter: row.cutter,
    tensors: row.tensors.filter((part) => part.from < end && part.to > offset),
    digest: row.check && {
      algorithm: row.check.algorithm,
      bounds: boundsWithin(row.check, row.source.size, offset, end),
    },
    ...(row.identical ? { identical: row.identical } : {}),
    ...(row.parent === undefined ? {} : { parent: row.parent }),
    ...(row.repair ? { distrusted: row.repair.bodies } : {}),
    ...backfillMark(row),
  }
}

function* segmentMessages(
  row: ObjectRow,
  segments: Iterable<{ offset: number; size: number }>,
): Generator<SegmentMessage> {
  let index = 0
  for (const segment of segments) {
    yield segmentMessage(row, { ...segment, index })
    index += 1
  }
}

const pendingManifest = (deps: WeightsDeps, row: ObjectRow): PendingManifest => ({
  format: 'lifeboat/pending',
  formatVersion,
  traceId: row.traceId,
  planId: row.planId,
  source: sourceRecord(deps.config, row.source, row.version),
  size: row.source.size,
  cutter: row.cutter,
  segments: row.segments,
  warnings: row.warnings,
  tensors: row.tensors,
  plannedAt: new Date(deps.clock.now()).toISOString(),
})

const countOf = (items: Iterable<unknown>): number => {
  let count = 0
  for (const _ of items) count += 1
  return count
}

/** An event that the queue gives out for the first time, or again; or a plan that something of ours asked for. */
export type Delivery = 'first' | 'again' | 'asked'

export type Planned = { row: ObjectRow; outcome: 'planned' | 'resent' | 'duplicate' | 'already' | 'refused' }

const closed = ({ state }: ObjectRow): Planned['outcome'] | undefined => {
  if (state === 'protected' || state === 'sealed') return 'already'
  return state === 'refused' ? 'refused' : undefined
}

/**
 * Plans one object version: the pending manifest before anything is copied, the ledger's row, then a message for each
 * segment. Idempotent: a redelivery resends the same plan, a sealed version is left alone. `attempt` above the one on
 * record plans anew, and with `repair` that of a sealed version too. An event whose plan has been sent whole is a duplicate and sends nothing; one that comes for the
 * first time while another call plans the same throws UnavailableError, to come again once that call has sent its plan.
 * `backfill` names the backfill that asks.
 */
export const planObject = async (
  deps: WeightsDeps,
  rule: BucketRule,
  object: SourceObject,
  attempt = 0,
  delivery: Delivery = 'asked',
  repair?: Repair,
  backfill?: string,
): Promise<Planned> => {
  const version = versionOf(object)
  const traceId = traceIdOf(object.bucket, object.key, version)
  const before = await deps.objects.get(traceId)
  const number = Math.max(attempt, before ? before.attempt + (before.state === 'superseded' ? 1 : 0) : 0)
  const ended = before && closed(before)
  const isRepair = repair !== undefined && attempt > (before?.attempt ?? 0)
  if (before && ended && !isRepair && (ended === 'already' || before.attempt >= attempt))
    return { row: before, outcome: ended }
  if (delivery !== 'asked' && before?.sentAt !== undefined && before.attempt === number)
    return { row: before, outcome: 'duplicate' }

  // A repair that is under way stays one, whatever asks for its plan again.
  const mending = isRepair ? repair : before?.state === 'copying' ? before.repair : undefined
  const check = await checkOf(deps, object)
  // What a backfill began stays its own, whatever asks for its plan again.
  const broughtBy = before?.state === 'copying' ? before.backfill : backfill
  // Another attempt, or a repair, reads what an earlier plan took over.
  if (isRepair) await forgetContent(deps, check, object.size)
  const identical = number === 0 && !mending ? await shapeOfIdentical(deps, object, check) : undefined
  const shape = identical ?? (await shapeOf(distrusting(deps, mending), object, traceId))
  const release = releaseOf(rule, object.key)
  // What is mended stands alone: what is wrong may be a base.
  const parent =
    shape.tensors.length > 0 && !mending
      ? await asHint(deps, 'no parent', () => parentOf(deps, rule, object, release))
      : undefined
  const segments = countOf(shape.segments())
  const row: ObjectRow = {
    traceId,
    source: object,
    version,
    planId: planIdOf({
      object,
      version,
      cutter: shape.cutter,
      segmentBytesMax: segmentBytesMaxOf(deps),
      tensorParts: shape.tensors.map((part) => part.id),
      attempt: number,
      ...(shape.identical ? { identical: shape.identical.digest } : {}),
    }),
    attempt: number,
    state: 'copying',
    phase: 'copy',
    left: segments,
    segments,
    cutter: shape.cutter,
    warnings: shape.warnings,
    tensors: shape.tensors,
    check,
    ...(check
      ? {}
      : { uncheckedReason: 'the source has no checksum of this object that its bytes could be compared with' }),
    ...(release ? { release } : {}),
    ...(parent === undefined ? {} : { parent }),
    plannedAt: deps.clock.now(),
    // What was in the replica once is late from when it was found wanting, and not from when it came to be.
    since: isRepair ? deps.clock.now() : mending ? (before?.since ?? object.lastModified) : object.lastModified,
    ...(shape.identical ? { identical: shape.identical } : {}),
    ...(mending ? { repair: mending } : {}),
    ...(broughtBy === undefined ? {} : { backfill: broughtBy }),
  }
  for (const warning of row.warnings)
    deps.telemetry.log('warn', warning, { traceId, bucket: object.bucket, key: object.key })
  await deps.store.create(pendingName(version, row.planId), toBytes(pendingManifest(deps, row)), {
    contentType: 'application/json',
  })
  if (release) await touchRelease(deps, row, release)
  const begun = await deps.objects.begin(row)
  if (!begun && delivery === 'first')
    throw new UnavailableError(
      `another call plans s3://${object.bucket}/${object.key} (${traceId}): it is looked at again`,
    )
  await deps.workQueue.send(segmentMessages(row, shape.segments()))
  if (segments > 0) await deps.objects.update(traceId, row.planId, { sentAt: deps.clock.now() })
  if (begun) deps.telemetry.count('ObjectsPlanned', 1)
  return { row, outcome: begun ? 'planned' : 'resent' }
}

/** Keeps the release's list of members current: what was planned, and what became of it. */
export const touchRelease = async (deps: WeightsDeps, row: ObjectRow, release: ReleaseKey): Promise<void> => {
  const { source } = row
  const crc64nvme = source.checksums.find((sum) => sum.algorithm === 'CRC64NVME' && sum.type === 'FULL_OBJECT')?.value
  await deps.releases.touch(
    {
      bucket: source.bucket,
      prefix: release.prefix,
      path: release.path,
      key: source.key,
      traceId: row.traceId,
      version: row.version,
      etag: source.etag,
      lastModified: source.lastModified,
      size: source.size,
      state: row.state,
      planId: row.planId,
      plannedAt: row.plannedAt,
      ...(row.manifestDigest === undefined ? {} : { manifestDigest: row.manifestDigest }),
      ...(row.sha256 === undefined ? {} : { sha256: row.sha256 }),
      ...(crc64nvme === undefined ? {} : { crc64nvme }),
    },
    { model: release.model, ...(release.version === undefined ? {} : { version: release.version }) },
    deps.clock.now(),
  )
}
