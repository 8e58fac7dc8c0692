import { ChecksumMismatchError, CorruptError, NotFoundError, SupersededError, UnavailableError } from '../errors.ts'
import { createSavableHash, restoreHash } from './checksums.ts'
import { chunksOf } from './chunker.ts'
import { mismatch, replan, supersede } from './close.ts'
import { sha256Hex } from './codec.ts'
import type { Deadline, WeightsDeps } from './deps.ts'
import type { ObjectRow, ReleaseKey } from './ledger.ts'
import { type ChunkRef, chunksPartSchema, parseRecord } from './manifest.ts'
import { backfillMark, type DigestMessage } from './messages.ts'
import { recordFailure } from './outcome.ts'
import { touchRelease } from './plan.ts'
import { bodyName, readPart } from './store.ts'

const reserveMs = 20_000

export type DigestOutcome = 'digested' | 'continued' | 'already' | 'stale' | 'superseded' | 'mismatch' | 'replanned'

type Placed = { ref: ChunkRef; offset: number }

/** The chunks of a plan that overlap [from, to), from what its segments recorded. */
async function* chunksBetween(
  deps: WeightsDeps,
  traceId: string,
  planId: string,
  from: number,
  to: number,
): AsyncGenerator<Placed> {
  for await (const segment of deps.segments.list(traceId, planId, from, to))
    for (const part of segment.parts) {
      if (part.offset + part.size <= from || part.offset >= to) continue
      let offset = part.offset
      for (const ref of parseRecord(chunksPartSchema, bodyName(part, 'part'), await readPart(deps.store, part))
        .chunks) {
        if (offset + ref.length > from && offset < to) yield { ref, offset }
        offset += ref.length
      }
    }
}

const finishCheck = async (deps: WeightsDeps, message: DigestMessage, digest: Uint8Array): Promise<DigestOutcome> => {
  const piece = { start: message.offset, length: message.size, value: Buffer.from(digest).toString('base64') }
  const counted = await deps.digests.finish(message.traceId, message.planId, piece)
  return counted === 'counted' ? 'digested' : counted
}

const finishRelease = async (
  deps: WeightsDeps,
  row: ObjectRow,
  release: ReleaseKey,
  digest: Uint8Array,
): Promise<DigestOutcome> => {
  const sha256 = Buffer.from(digest).toString('hex')
  await deps.objects.update(row.traceId, row.planId, { sha256 })
  await touchRelease(deps, { ...row, sha256 }, release)
  await deps.releases.request(row.source.bucket, release.prefix, deps.clock.now())
  return 'digested'
}

const isCovered = (placed: readonly Placed[], from: number, to: number): boolean => {
  let covered = from
  for (const { ref, offset } of placed) {
    if (offset > covered) return false
    covered = offset + ref.length
  }
  return covered >= to
}

/** What is sealed stays so; that the source now gives other bytes is for a person to look at. */
const doubt = async (deps: WeightsDeps, row: ObjectRow, reason: string): Promise<void> => {
  deps.telemetry.count('ValidationFailures', 1)
  const { bucket, key, etag } = row.source
  await recordFailure(deps, {
    state: 'quarantined',
    traceId: row.traceId,
    reason: `its SHA-256 cannot be read for the release: ${reason}`,
    bucket,
    key,
    version: row.version,
    etag,
  })
}

/** Bytes whose chunk lists are in memory at a time. */
const windowBytes = 2 ** 30

/**
 * Reads the chunks that overlap [from, end) from the source, proves each against its id, and feeds what lies in the range
 * to the hash. Answers the position that it reached.
 */
const hashWindow = async (
  deps: WeightsDeps,
  message: DigestMessage,
  hash: ReturnType<typeof createSavableHash>,
  [from, end]: [number, number],
  isLate: () => boolean,
): Promise<number> => {
  let position = from
  const placed: Placed[] = []
  for await (const chunk of chunksBetween(deps, message.traceId, message.planId, position, end)) placed.push(chunk)
  const first = placed[0]
  if (!first)
    throw new NotFoundError(
      `no chunks on record for bytes ${position} to ${end} of ${message.source.key}: plan it again`,
    )
  const last = placed.at(-1) ?? first
  if (!isCovered(placed, position, end))
    throw new UnavailableError(`a segment of ${message.source.key} is being copied again: its digest has to wait`)
  const abort = new AbortController()
  const bytes = deps.source.read(message.source, first.offset, last.offset + last.ref.length, abort.signal)
  try {
    let index = 0
    for await (const plain of chunksOf(bytes, { cuts: placed.map(({ ref }) => ({ length: ref.length })) })) {
      const chunk = placed[index]
      if (!chunk) throw new CorruptError(`more chunks than are on record in ${message.source.key}`)
      if (`sha256:${sha256Hex(plain)}` !== chunk.ref.id)
        throw new ChecksumMismatchError(
          `bytes ${chunk.offset} on of ${message.source.key} are not those that were copied: its first read was wrong`,
        )
      const to = Math.min(end, chunk.offset + plain.length)
      hash.update(plain.subarray(position - chunk.offset, to - chunk.offset))
      position = to
      index += 1
      if (isLate()) break
    }
  } finally {
    abort.abort()
  }
  return position
}

const hashRange = async (
  deps: WeightsDeps,
  message: DigestMessage,
  hash: ReturnType<typeof createSavableHash>,
  isLate: () => boolean,
): Promise<number> => {
  const end = message.offset + message.size
  let position = message.resume?.position ?? message.offset
  do position = await hashWindow(deps, message, hash, [position, Math.min(end, position + windowBytes)], isLate)
  while (position < end && !isLate())
  return position
}

/**
 * A second, sequential read of a range for a digest that cannot be put together from segments. Each chunk read is proved
 * to be the one that the replica holds, so the digest speaks of the copied bytes. A deadline saves the hash's state.
 */
export const digestRange = async (
  deps: WeightsDeps,
  message: DigestMessage,
  deadline: Deadline,
): Promise<DigestOutcome> => {
  const row = await deps.objects.get(message.traceId)
  if (!row || row.planId !== message.planId) return 'stale'
  if (message.purpose === 'check' && row.state !== 'copying') return 'stale'
  if (message.purpose === 'release' && (row.sha256 !== undefined || !row.release)) return 'already'

  const hash = message.resume
    ? restoreHash(message.algorithm, message.resume.state)
    : createSavableHash(message.algorithm)
  let position: number
  try {
    position = await hashRange(deps, message, hash, () => deadline.remainingMs() < reserveMs)
  } catch (error) {
    if (error instanceof ChecksumMismatchError) {
      await (message.purpose === 'check' ? mismatch(deps, row, error.message) : doubt(deps, row, error.message))
      return 'mismatch'
    }
    // A list of chunks is missing from the replica: no commit looks at it while digests are left.
    if (error instanceof CorruptError && message.purpose === 'check') {
      deps.telemetry.log('warn', `copied anew: ${error.message}`, { stage: 'digest', traceId: row.traceId })
      await replan(deps, row)
      return 'replanned'
    }
    if (!(error instanceof SupersededError)) throw error
    if (message.purpose === 'check') await supersede(deps, row, error.message)
    return 'superseded'
  }
  deps.telemetry.count('BytesReadAgain', position - (message.resume?.position ?? message.offset), 'Bytes')
  if (position < message.offset + message.size) {
    if (message.purpose === 'release')
      await deps.objects.update(row.traceId, row.planId, { nudgedAt: deps.clock.now() })
    await deps.workQueue.send([{ ...message, resume: { position, state: hash.save() } }])
    return 'continued'
  }
  const digest = hash.digest()
  if (message.purpose === 'check') return finishCheck(deps, message, digest)
  return row.release ? finishRelease(deps, row, row.release, digest) : 'already'
}

const isSequential = (algorithm: string | undefined): algorithm is 'SHA256' | 'SHA1' | 'MD5' =>
  algorithm === 'SHA256' || algorithm === 'SHA1' || algorithm === 'MD5'

/** Sends a second read of each range, for a checksum that does not combine from segments. */
export const sendDigests = async (
  deps: WeightsDeps,
  row: ObjectRow,
  ranges: readonly { start: number; end: number }[],
): Promise<void> => {
  const algorithm = row.check?.algorithm
  if (!isSequential(algorithm)) throw new CorruptError(`the CRC pieces of ${row.source.key} do not cover it`)
  const { bucket, key, versionId, etag } = row.source
  const messages = ranges.map(({ start, end }): DigestMessage => ({
    lifeboat: 1,
    kind: 'digest',
    purpose: 'check',
    traceId: row.traceId,
    planId: row.planId,
    source: { bucket, key, etag, versionId },
    algorithm,
    offset: start,
    size: end - start,
    ...backfillMark(row),
  }))
  await deps.workQueue.send(messages)
}
