import type { Tensor } from './safetensors.ts'

/** Part of a plan's identity: another way to cut is another name. */
export const tensorCutter = 'safetensors/1'
export const ggufCutter = 'gguf/1'
export const torchCutter = 'torch/1'
export const gearCutter = 'gear/1'

/** Whether chunks follow tensors: the cuts then come from the tensor index. */
export const cutsAtTensors = (cutter: string): boolean => [tensorCutter, ggufCutter, torchCutter].includes(cutter)

export const chunkBytesMax = 4 * 2 ** 20
export const segmentBytesMaxDefault = 256 * 2 ** 20
const groupBytesMax = 2 ** 20

/** `tensor` where the cut lies in one tensor alone; `dtype` where all its tensors agree on it. */
export type Cut = { offset: number; length: number; dtype?: string; tensor?: string }
export type Segment = { offset: number; size: number }

function* pieces(start: number, end: number): Generator<{ offset: number; length: number }> {
  for (let offset = start; offset < end; offset += chunkBytesMax)
    yield { offset, length: Math.min(chunkBytesMax, end - offset) }
}

const groupCut = (group: readonly [Tensor, ...Tensor[]]): Cut => {
  const [{ name, dtype, start }] = group
  const length = group.reduce((sum, tensor) => sum + tensor.end - tensor.start, 0)
  return {
    offset: start,
    length,
    ...(group.every((tensor) => tensor.dtype === dtype) && { dtype }),
    ...(group.length === 1 && { tensor: name }),
  }
}

/** `tensors` in order of start and adjacent; a group never depends on what comes before its first tensor. */
function* dataCuts(tensors: Iterable<Tensor>): Generator<Cut> {
  let group: Tensor[] = []
  let groupBytes = 0
  const close = function* (): Generator<Cut> {
    const [first, ...rest] = group
    if (first) yield groupCut([first, ...rest])
    group = []
    groupBytes = 0
  }
  for (const tensor of tensors) {
    const size = tensor.end - tensor.start
    if (size === 0) continue
    const isSmall = size < groupBytesMax
    if (!isSmall || groupBytes + size > groupBytesMax) yield* close()
    if (isSmall) {
      group.push(tensor)
      groupBytes += size
    } else
      for (const piece of pieces(tensor.start, tensor.end)) yield { ...piece, dtype: tensor.dtype, tensor: tensor.name }
  }
  yield* close()
}

/**
 * Cuts a safetensors file, covering [0, fileSize) in order: the header every 4 MiB; then at tensor starts and every
 * 4 MiB inside a tensor; neighbours below 1 MiB are grouped up to 1 MiB. Depends on the tensors alone.
 */
export function* cutTensors(dataStart: number, tensors: readonly Tensor[], fileSize: number): Generator<Cut> {
  const dataEnd = tensors.reduce((end, tensor) => Math.max(end, tensor.end), dataStart)
  if (dataEnd !== fileSize) throw new RangeError(`tensors end at ${dataEnd}, the file at ${fileSize}`)
  yield* pieces(0, dataStart)
  yield* dataCuts(tensors)
}

/** The tensors with a byte in [start, end): what whoever copies that range must have for `cutsWithin`. */
export const tensorsWithin = (tensors: readonly Tensor[], start: number, end: number): Tensor[] =>
  tensors.filter((tensor) => tensor.end > tensor.start && tensor.end > start && tensor.start < end)

/**
 * The cuts of `cutTensors` in [start, end), which begins and ends at cuts (RangeError otherwise), from the tensors that
 * overlap it; more of them do no harm. `dataStart` only matters where the range begins in the header.
 */
export function* cutsWithin(dataStart: number, tensors: readonly Tensor[], start: number, end: number): Generator<Cut> {
  const candidates = function* (): Generator<Cut> {
    yield* pieces(0, dataStart)
    yield* dataCuts(tensorsWithin(tensors, start, end))
  }
  let covered = start
  for (const cut of candidates()) {
    const cutEnd = cut.offset + cut.length
    if (cutEnd <= start || cut.offset >= end) continue
    if (cut.offset !== covered || cutEnd > end)
      throw new RangeError(`the cut [${cut.offset}, ${cutEnd}) does not fit in the range [${start}, ${end})`)
    covered = cutEnd
    yield cut
  }
  if (covered !== end) throw new RangeError(`the cuts end at ${covered}, the range at ${end}`)
}

/** Cuts of one tensor together, as far as `bytesMax`: what lies beyond comes as further runs marked `isPart`. */
function* tensorRuns(cuts: Iterable<Cut>, bytesMax: number): Generator<{ lengths: number[]; isPart: boolean }> {
  let lengths: number[] = []
  let bytes = 0
  let isPart = false
  let tensor: string | undefined
  for (const cut of cuts) {
    const continues = cut.tensor !== undefined && cut.tensor === tensor
    if (!continues) {
      if (lengths.length > 0) yield { lengths, isPart }
      lengths = []
      bytes = 0
      isPart = false
    } else if (bytes + cut.length > bytesMax) {
      isPart = true
      yield { lengths, isPart }
      lengths = []
      bytes = 0
    }
    tensor = cut.tensor
    lengths.push(cut.length)
    bytes += cut.length
  }
  if (lengths.length > 0) yield { lengths, isPart }
}

/**
 * Groups cuts into segments of at most `segmentBytesMax` (one cut at least) that tile them. A tensor that fits in one
 * segment is not split where the segment before it is at least half full.
 */
export function* planSegments(
  cuts: Iterable<Cut>,
  segmentBytesMax = segmentBytesMaxDefault,
): Generator<Segment & { cuts: number }> {
  let segment = { offset: 0, size: 0, cuts: 0 }
  const next = (): Segment & { cuts: number } => {
    const done = segment
    segment = { offset: done.offset + done.size, size: 0, cuts: 0 }
    return done
  }
  for (const { lengths, isPart } of tensorRuns(cuts, segmentBytesMax)) {
    const runBytes = lengths.reduce((sum, length) => sum + length, 0)
    const isHalfFull = segment.size * 2 >= segmentBytesMax
    if (!isPart && segment.size > 0 && isHalfFull && segment.size + runBytes > segmentBytesMax) yield next()
    for (const length of lengths) {
      if (segment.size > 0 && segment.size + length > segmentBytesMax) yield next()
      segment.size += length
      segment.cuts += 1
    }
  }
  if (segment.cuts > 0) yield next()
}

/** Segments of a file whose structure is not known. */
export function* fixedSegments(fileSize: number, segmentBytes = segmentBytesMaxDefault): Generator<Segment> {
  for (let offset = 0; offset < fileSize; offset += segmentBytes)
    yield { offset, size: Math.min(segmentBytes, fileSize - offset) }
}
