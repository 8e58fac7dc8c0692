import { toArray } from '../bounded.ts'
import { CorruptError, SupersededError } from '../errors.ts'
import { type Bases, findBases, readBaseOf } from './bases.ts'
import { createPieceDigester } from './check.ts'
import { chunksOf } from './chunker.ts'
import { replan, supersede } from './close.ts'
import { type Cut, cutsAtTensors, cutsWithin } from './cut.ts'
import type { Deadline, WeightsDeps } from './deps.ts'
import { asHint } from './hint.ts'
import { readIdentical } from './identical.ts'
import type { Identical, ObjectRow } from './ledger.ts'
import {
  type ChunkRef,
  formatVersion,
  type PartRef,
  parseRecord,
  tensorsPartSchema,
  type TensorsPart,
  toBytes,
} from './manifest.ts'
import type { SegmentMessage } from './messages.ts'
import { chunkParts } from './read.ts'
import { type ChunkToStore, storeChunks } from './store-chunks.ts'
import { bodyName, readPart, storePart } from './store.ts'

const chunksPerPart = 10_000
/** A segment is handed on after this long, so that its message is never near its visibility timeout. */
const segmentMsMax = 180_000
const reserveMs = 20_000

export type CopyOutcome = 'copied' | 'continued' | 'already' | 'stale' | 'superseded' | 'replanned'

type Progress = {
  refs: ChunkRef[]
  fresh: ChunkRef[]
  reused: number
  position: number
  bytesSent: number
  bytesReused: number
}

const tensorsOf = async (deps: WeightsDeps, message: SegmentMessage): Promise<TensorsPart> => {
  const parts: TensorsPart[] = []
  for (const ref of message.tensors)
    parts.push(parseRecord(tensorsPartSchema, bodyName(ref, 'part'), await readPart(deps.store, ref)))
  return {
    format: 'lifeboat/tensors',
    formatVersion,
    dataStart: parts[0]?.dataStart ?? 0,
    tensors: parts.flatMap((part) => part.tensors),
  }
}

type Cuts = { cuts: readonly Cut[]; bases: Bases } | 'gear'

const none: Bases = new Map()

const cutsOf = async (deps: WeightsDeps, message: SegmentMessage, from: number, to: number): Promise<Cuts> => {
  if (!cutsAtTensors(message.cutter)) return 'gear'
  const { dataStart, tensors } = await tensorsOf(deps, message)
  const cuts = [...cutsWithin(dataStart, tensors, from, to)]
  // What was found missing or wrong may be a base: then every chunk stands alone.
  const isTrusting = message.compare !== true && message.distrusted === undefined
  const bases = message.parent !== undefined && isTrusting ? await findBases(deps, message.parent, cuts, tensors) : none
  return { cuts, bases }
}

const storeParts = async (
  deps: WeightsDeps,
  message: SegmentMessage,
  from: number,
  refs: readonly ChunkRef[],
): Promise<PartRef[]> => {
  const parts: PartRef[] = []
  let offset = from
  for (let first = 0; first < refs.length; first += chunksPerPart) {
    const chunks = refs.slice(first, first + chunksPerPart)
    const size = chunks.reduce((sum, chunk) => sum + chunk.length, 0)
    const { ref } = await storePart(deps, toBytes({ format: 'lifeboat/chunks', formatVersion, chunks }), {
      traceId: message.traceId,
    })
    const { length: _length, codec: _codec, base: _base, ...stored } = ref
    parts.push({ ...stored, kind: 'chunks', offset, size, chunks: chunks.length })
    offset += size
  }
  return parts
}

/** Reads, cuts, hashes, encodes and sends [position, end) with everything overlapping, until the end or the deadline. */
const copyRange = async (
  deps: WeightsDeps,
  message: SegmentMessage,
  how: Cuts,
  digester: ReturnType<typeof createPieceDigester>,
  isLate: () => boolean,
): Promise<Progress> => {
  const start = message.done?.position ?? message.offset
  const end = message.offset + message.size
  const progress: Progress = {
    refs: [],
    fresh: [],
    reused: 0,
    position: start,
    bytesSent: message.done?.bytesSent ?? 0,
    bytesReused: message.done?.bytesReused ?? 0,
  }
  const abort = new AbortController()
  async function* source(): AsyncGenerator<ChunkToStore> {
    let index = 0
    for await (const plain of chunksOf(deps.source.read(message.source, start, end, abort.signal), how)) {
      digester.update(plain)
      const cut = how === 'gear' ? undefined : how.cuts[index]
      index += 1
      const before = how !== 'gear' && cut ? how.bases.get(cut.offset) : undefined
      yield {
        plain,
        dtype: cut?.dtype,
        ...(before && { known: before.known, readBase: () => readBaseOf(deps, before) }),
      }
      if (isLate()) return
    }
  }
  try {
    for await (const stored of storeChunks(deps, source(), message.compare !== true)) {
      progress.refs.push(stored.ref)
      progress.position += stored.ref.length
      progress.bytesSent += stored.bytesSent
      // The index answers for bodies that stand alone: who reuses one need not know of any other.
      if (!stored.indexed && !stored.ref.base) progress.fresh.push(stored.ref)
      if (!stored.reused) continue
      progress.reused += 1
      progress.bytesReused += stored.ref.length
    }
  } finally {
    abort.abort()
  }
  return progress
}

/** Backfills have metrics of their own. */
const prefixOf = ({ backfill }: SegmentMessage): string => (backfill === undefined ? '' : 'Backfill')

const count = (deps: WeightsDeps, message: SegmentMessage, progress: Progress): void => {
  const read = progress.position - (message.done?.position ?? message.offset)
  // An alarm looks at what production sends.
  const of = prefixOf(message)
  deps.telemetry.count(`${of}BytesRead`, read, 'Bytes')
  deps.telemetry.count(`${of}BytesSent`, progress.bytesSent - (message.done?.bytesSent ?? 0), 'Bytes')
  deps.telemetry.count(`${of}BytesSaved`, progress.bytesReused - (message.done?.bytesReused ?? 0), 'Bytes')
  deps.telemetry.count('ChunksSent', progress.refs.length - progress.reused)
  deps.telemetry.count('ChunksReused', progress.reused)
}

/** A part of a protected manifest of the same bytes is one of this object too; commit looks at all that it names. */
const takeOver = async (
  deps: WeightsDeps,
  row: ObjectRow,
  message: SegmentMessage,
  identical: Identical,
): Promise<CopyOutcome> => {
  const { traceId, planId, offset, size, index } = message
  const part = await asHint(deps, 'not taken over', async () => {
    const manifest = await readIdentical(deps, identical)
    const parts = await toArray(chunkParts(deps.store, manifest?.parts ?? [], [offset]))
    return parts.find((one) => one.offset === offset && one.size === size)
  })
  if (!part) {
    await replan(deps, row)
    return 'replanned'
  }
  deps.telemetry.count(`${prefixOf(message)}BytesSaved`, size, 'Bytes')
  const done = { parts: [part], pieces: [], bytesSent: 0, bytesReused: size }
  const counted = await deps.segments.finish({ traceId, planId, offset, size, index, ...done })
  return counted === 'counted' ? 'copied' : counted
}

/**
 * Copies one segment. Safe to run any number of times, also at once: chunks are create-only and the result is counted in
 * one transaction. What the deadline leaves goes on as a new message.
 */
export const copySegment = async (
  given: WeightsDeps,
  message: SegmentMessage,
  deadline: Deadline,
): Promise<CopyOutcome> => {
  const deps = message.distrusted ? { ...given, distrusted: new Set(message.distrusted) } : given
  const row = await deps.objects.get(message.traceId)
  if (!row || row.planId !== message.planId || row.state !== 'copying') return 'stale'
  if (await deps.segments.get(message.traceId, message.planId, message.offset)) return 'already'

  if (message.identical && message.compare !== true) return takeOver(deps, row, message, message.identical)

  const start = message.done?.position ?? message.offset
  const end = message.offset + message.size
  const startedAt = deps.clock.now()
  const isLate = (): boolean => deadline.remainingMs() < reserveMs || deps.clock.now() - startedAt > segmentMsMax
  let how: Cuts
  try {
    how = await cutsOf(deps, message, start, end)
  } catch (error) {
    if (!(error instanceof CorruptError)) throw error
    deps.telemetry.log('warn', `copied anew: ${error.message}`, { stage: 'copy', traceId: message.traceId })
    await replan(deps, row)
    return 'replanned'
  }
  const digester = createPieceDigester(message.digest, start, end, message.done?.pieces)
  let progress: Progress
  try {
    progress = await copyRange(deps, message, how, digester, isLate)
  } catch (error) {
    if (!(error instanceof SupersededError)) throw error
    await supersede(deps, row, error.message)
    return 'superseded'
  }
  count(deps, message, progress)
  await deps.chunks.record(progress.fresh)
  const parts = [...(message.done?.parts ?? []), ...(await storeParts(deps, message, start, progress.refs))]
  const { position, bytesSent, bytesReused } = progress
  const pieces = digester.pieces()
  if (position < end) {
    await deps.workQueue.send([{ ...message, done: { position, parts, pieces, bytesSent, bytesReused } }])
    return 'continued'
  }
  const { traceId, planId, offset, size, index } = message
  const counted = await deps.segments.finish({
    traceId,
    planId,
    offset,
    size,
    index,
    parts,
    pieces,
    bytesSent,
    bytesReused,
  })
  return counted === 'counted' ? 'copied' : counted
}
