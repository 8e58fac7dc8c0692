import * as z from 'zod'
import { toArray } from '../bounded.ts'
import { CorruptError } from '../errors.ts'
import { compareChecksum, type Verdict } from './check.ts'
import { mismatch, orderPlan, replan } from './close.ts'
import { sha256Hex } from './codec.ts'
import type { Deadline, WeightsDeps } from './deps.ts'
import { sendDigests } from './digest.ts'
import { isTakenOver, recordContent, verdictOfIdentical } from './identical.ts'
import type { ObjectRow, Piece, SegmentRow } from './ledger.ts'
import { cancelledSchema, type ObjectManifest, objectManifestSchema, parseRecord, toBytes } from './manifest.ts'
import { objectManifestName } from './names.ts'
import { manifestOf, type Tiling } from './object-manifest.ts'
import { segmentMessage, touchRelease } from './plan.ts'
import { keep, keepAsItIs, missingOf } from './presence.ts'
import { evaluateRelease } from './release.ts'
import { bodyName, idHex } from './store.ts'

const reserveMs = 30_000
const manifestBytesMax = 64 * 2 ** 20

export type CommitOutcome =
  | 'sealed'
  | 'not-ready'
  | 'reopened'
  | 'continued'
  | 'digesting'
  | 'replanned'
  | 'refused'
  | 'cancelled'

/** Throws unless the segments tile [0, size) exactly. */
const tilingOf = async (deps: WeightsDeps, row: ObjectRow): Promise<Tiling> => {
  const tiling: Tiling = { segments: [], parts: [], pieces: [], bytesSent: 0, bytesReused: 0 }
  let position = 0
  for await (const segment of deps.segments.list(row.traceId, row.planId)) {
    for (const part of segment.parts) {
      if (part.offset !== position)
        throw new CorruptError(
          `the segments of ${row.source.key} do not tile it: byte ${position} is followed by byte ${part.offset}`,
        )
      position += part.size
      tiling.parts.push(part)
    }
    tiling.segments.push(segment)
    tiling.pieces.push(...segment.pieces)
    tiling.bytesSent += segment.bytesSent
    tiling.bytesReused += segment.bytesReused
  }
  if (position !== row.source.size)
    throw new CorruptError(`the segments of ${row.source.key} end at byte ${position}, expected ${row.source.size}`)
  return tiling
}

/**
 * Looks at every body of the segments from the cursor on: of those that will be sealed, since another call may replace them
 * meanwhile. `reopened` when one was missing, `replanned` when it was of the
 * tensor index, which the plan itself made, `late` at the deadline.
 */
const lookAtAll = async (
  deps: WeightsDeps,
  row: ObjectRow,
  segments: readonly SegmentRow[],
  deadline: Deadline,
): Promise<'present' | 'reopened' | 'replanned' | 'late'> => {
  for (const ref of row.tensors) {
    if (await keep(deps, bodyName(ref, 'part'), ref)) continue
    deps.telemetry.log('warn', `copied anew: ${ref.id}, of the tensor index, is missing from the replica`, {
      stage: 'commit',
      traceId: row.traceId,
    })
    await replan(deps, row)
    return 'replanned'
  }
  for (const segment of segments) {
    if (segment.offset + segment.size <= (row.cursor ?? 0)) continue
    if (deadline.remainingMs() < reserveMs) {
      await deps.objects.update(row.traceId, row.planId, { cursor: segment.offset })
      return 'late'
    }
    for (const part of segment.parts) {
      const missing = await missingOf(deps, part)
      if (!missing) continue
      deps.telemetry.count('SegmentsReopened', 1)
      deps.telemetry.log('warn', `reopened: ${missing.id} is missing from the replica or is another body`, {
        traceId: row.traceId,
        offset: segment.offset,
      })
      await deps.chunks.forget(idHex(missing.id))
      await deps.segments.reopen(segment)
      // What was looked at may be replaced by now, and is looked at again.
      await deps.objects.update(row.traceId, row.planId, { cursor: 0 })
      const message = segmentMessage(row, segment)
      const distrusted = [...(message.distrusted ?? []), ...(missing.isWrong ? [idHex(missing.id)] : [])]
      await deps.workQueue.send([{ ...message, compare: true, ...(distrusted.length > 0 ? { distrusted } : {}) }])
      return 'reopened'
    }
  }
  return 'present'
}

const compare = async (deps: WeightsDeps, row: ObjectRow, pieces: readonly Piece[]): Promise<Verdict | undefined> => {
  if (!row.check) return undefined
  if (isTakenOver(row, pieces)) return verdictOfIdentical(row.check)
  const read = row.phase === 'digest' ? await toArray(deps.digests.list(row.traceId, row.planId)) : []
  return compareChecksum(
    row.check,
    row.source.size,
    [...pieces, ...read].toSorted((a, b) => a.start - b.start),
  )
}

/** A segment can be reopened while digests are read: the tiling then has a hole. */
const whenReopened = (error: unknown): undefined => {
  if (!(error instanceof CorruptError)) throw error
}

/**
 * Called for a row that has units left although its trigger said otherwise: the call that should have sent them was cut
 * off. Sending a unit that is under way or done is harmless.
 */
export const resendUnits = async (deps: WeightsDeps, row: ObjectRow): Promise<void> => {
  const tiling = row.phase === 'copy' ? undefined : await tilingOf(deps, row).catch(whenReopened)
  if (!tiling) return orderPlan(deps, row)
  const verdict = await compare(deps, row, tiling.pieces)
  if (verdict?.kind === 'missing') await sendDigests(deps, row, verdict.ranges)
}

/** Writes the manifest, or reads the one that an earlier call wrote. Undefined when the collector cancelled the plan. */
const seal = async (
  deps: WeightsDeps,
  row: ObjectRow,
  manifest: ObjectManifest,
): Promise<{ manifest: ObjectManifest; bytes: Uint8Array } | undefined> => {
  const name = objectManifestName(row.source.bucket, row.source.key, row.version, row.planId)
  const bytes = toBytes(manifest)
  const created = await deps.store.create(name, bytes, { contentType: 'application/json' })
  if (created) {
    await keepAsItIs(deps, created)
    return { manifest, bytes }
  }
  const found = await deps.store.read(name, { bytesMax: manifestBytesMax })
  if (!found) throw new CorruptError(`${name} exists and cannot be read`)
  const theirs = parseRecord(z.discriminatedUnion('format', [objectManifestSchema, cancelledSchema]), name, found)
  if (theirs.format === 'lifeboat/cancelled') return undefined
  const stat = await deps.store.stat(name)
  if (stat) await keepAsItIs(deps, stat)
  if (theirs.planId !== row.planId || theirs.size !== row.source.size || theirs.traceId !== row.traceId)
    throw new CorruptError(`${name} is the manifest of something else (plan ${theirs.planId}, ${theirs.size} bytes)`)
  return { manifest: theirs, bytes: found }
}

const close = async (
  deps: WeightsDeps,
  row: ObjectRow,
  sealed: { manifest: ObjectManifest; bytes: Uint8Array },
  tiling: Tiling,
): Promise<ObjectRow> => {
  const manifestDigest = `sha256:${sha256Hex(sealed.bytes)}`
  const { state, checksums, sequence } = sealed.manifest
  const change = { state, manifestDigest, ...(checksums.sha256 === undefined ? {} : { sha256: checksums.sha256 }) }
  const closed = { ...row, ...change }
  await deps.chain.advance(`object#${row.source.bucket}#${row.source.key}`, sequence, manifestDigest, {
    manifest: objectManifestName(row.source.bucket, row.source.key, row.version, row.planId),
  })
  if (row.release) await touchRelease(deps, closed, row.release)
  await recordContent(deps, row, {
    name: objectManifestName(row.source.bucket, row.source.key, row.version, row.planId),
    manifest: sealed.manifest,
    digest: manifestDigest,
  })
  // Releases that name the manifest before this one are sealed anew.
  if (row.release && row.repair)
    await deps.releases.reopen(row.source.bucket, row.release.prefix, row.planId, deps.clock.now())
  if (!(await deps.objects.update(row.traceId, row.planId, change))) return closed
  const lagSeconds = Math.max(0, (deps.clock.now() - row.since) / 1000)
  if (row.backfill === undefined) deps.telemetry.count('ReplicationLagSeconds', lagSeconds, 'Seconds')
  deps.telemetry.count(state === 'protected' ? 'ObjectsProtected' : 'ObjectsSealed', 1)
  deps.telemetry.log('info', `object ${state}`, {
    stage: 'commit',
    traceId: row.traceId,
    bucket: row.source.bucket,
    key: row.source.key,
    version: row.version,
    bytes: row.source.size,
    bytesSent: tiling.bytesSent,
    bytesReused: tiling.bytesReused,
    lagSeconds,
  })
  return closed
}

/**
 * Seals one object whose units are all done, or says what keeps it: every body is looked at, the source's checksum is
 * compared, and only then is the manifest written, create-only. Safe to run any number of times, also at once.
 */
export const commitObject = async (deps: WeightsDeps, traceId: string, deadline: Deadline): Promise<CommitOutcome> => {
  const row = await deps.objects.get(traceId)
  if (!row || row.state !== 'copying') return 'not-ready'
  if (row.left !== 0) {
    await resendUnits(deps, row)
    return 'not-ready'
  }
  const tiling = await tilingOf(deps, row)
  const verdict = await compare(deps, row, tiling.pieces)
  if (verdict?.kind === 'missing') {
    if (row.phase === 'digest') throw new CorruptError(`digests of ${row.source.key} were read and do not cover it`)
    await deps.digests.begin(row.traceId, row.planId, verdict.ranges.length)
    await sendDigests(deps, row, verdict.ranges)
    return 'digesting'
  }
  if (verdict?.kind === 'mismatch')
    return mismatch(
      deps,
      row,
      `checksum mismatch: the source says ${row.check?.algorithm} ${row.check?.value}, the bytes that were read have ${verdict.found}`,
    )
  const look = await lookAtAll(deps, row, tiling.segments, deadline)
  if (look !== 'present') return look === 'late' ? 'continued' : look
  const sealed = await seal(deps, row, await manifestOf(deps, row, tiling, verdict))
  if (!sealed) {
    await replan(deps, row)
    return 'cancelled'
  }
  const closed = await close(deps, row, sealed, tiling)
  if (closed.release) await evaluateRelease(deps, closed.source.bucket, closed.release)
  return 'sealed'
}
