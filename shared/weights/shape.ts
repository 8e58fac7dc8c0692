import { toArray } from '../bounded.ts'
import type { SourceObject } from '../ports.ts'
import { readLayout } from './container.ts'
import { type Cut, cutTensors, fixedSegments, gearCutter, planSegments, segmentBytesMaxDefault } from './cut.ts'
import type { WeightsDeps } from './deps.ts'
import { asHint } from './hint.ts'
import { findIdentical } from './identical.ts'
import type { Check, Identical } from './ledger.ts'
import { formatVersion, type TensorPartRef, tensorsPartSchema, toBytes } from './manifest.ts'
import { chunkParts } from './read.ts'
import type { Tensor } from './safetensors.ts'
import { readRange } from './source-range.ts'
import { storePart } from './store.ts'

/** Tensors in one part of the tensor index: what a segment's copy has to hold. */
const tensorsPerPart = 5000
/** Half of what readers accept. */
const tensorPartBytesMax = 32 * 2 ** 20

/** How an object is divided; `segments` can be gone over again. */
export type Shape = {
  cutter: string
  warnings: string[]
  tensors: TensorPartRef[]
  segments: () => Iterable<{ offset: number; size: number }>
  identical?: Identical
}

export const segmentBytesMaxOf = (deps: WeightsDeps): number => deps.segmentBytesMax ?? segmentBytesMaxDefault

const opaque = (deps: WeightsDeps, size: number, warnings: string[]): Shape => ({
  cutter: gearCutter,
  warnings,
  tensors: [],
  segments: () => fixedSegments(size, segmentBytesMaxOf(deps)),
})

/** Undefined where no reader would take it: a hostile file may claim any names and shapes. */
const plainPart = (dataStart: number, tensors: readonly Tensor[]): Uint8Array | undefined => {
  const part = { format: 'lifeboat/tensors', formatVersion, dataStart, tensors }
  if (!tensorsPartSchema.safeParse(part).success) return undefined
  const plain = toBytes(part)
  return plain.length <= tensorPartBytesMax ? plain : undefined
}

/** Undefined where the index would be of a size or form that its readers refuse. */
const storeTensors = async (
  deps: WeightsDeps,
  hint: Record<string, string>,
  dataStart: number,
  tensors: readonly Tensor[],
): Promise<TensorPartRef[] | undefined> => {
  const slices: Tensor[][] = []
  for (let first = 0; first === 0 || first < tensors.length; first += tensorsPerPart)
    slices.push(tensors.slice(first, first + tensorsPerPart))
  const plains = slices.map((slice) => plainPart(dataStart, slice))
  if (plains.includes(undefined)) return undefined
  const parts: TensorPartRef[] = []
  for (const [index, slice] of slices.entries()) {
    const { ref } = await storePart(deps, plains[index] ?? new Uint8Array(), hint)
    const { length: _length, codec: _codec, base: _base, ...stored } = ref
    parts.push({
      ...stored,
      from: index === 0 ? 0 : (slice[0]?.start ?? 0),
      to: slice.at(-1)?.end ?? dataStart,
      tensors: slice.length,
    })
  }
  return parts
}

/** How an object is cut. A file that is not what its name says is copied as opaque bytes, with a warning that says why. */
export const shapeOf = async (deps: WeightsDeps, object: SourceObject, traceId: string): Promise<Shape> => {
  const layout = await readLayout(object.key, object.size, (start, end) => readRange(deps.source, object, start, end))
  if (!layout) return opaque(deps, object.size, [])
  if (!layout.ok) return opaque(deps, object.size, [`copied as an opaque file: ${layout.reason}`])
  const { cutter, dataStart, tensors } = layout
  const index = await storeTensors(deps, { traceId }, dataStart, tensors)
  if (!index)
    return opaque(deps, object.size, ['copied as an opaque file: names or shapes of its tensors are no real ones'])
  return {
    cutter,
    warnings: [],
    tensors: index,
    segments: () => planSegments(cutTensors(dataStart, tensors, object.size), segmentBytesMaxOf(deps)),
  }
}

/** How the beginning of an object would be cut, of about `bytesMax` bytes up to `end`: for an estimate. */
export const firstCuts = async (
  deps: Pick<WeightsDeps, 'source'>,
  object: SourceObject,
  bytesMax: number,
): Promise<{ how: 'gear' | { cuts: Cut[] }; end: number }> => {
  const layout = await readLayout(object.key, object.size, (start, end) => readRange(deps.source, object, start, end))
  if (!layout?.ok) return { how: 'gear', end: Math.min(object.size, bytesMax) }
  const cuts: Cut[] = []
  let end = 0
  for (const cut of cutTensors(layout.dataStart, layout.tensors, object.size)) {
    if (cuts.length > 0 && end + cut.length > bytesMax) break
    cuts.push(cut)
    end += cut.length
  }
  return { how: { cuts }, end }
}

/** A segment for each part of an identical object, which takes the part over. */
export const shapeOfIdentical = async (
  deps: WeightsDeps,
  object: SourceObject,
  check: Check | null,
): Promise<Shape | undefined> => {
  return asHint(deps, 'not taken for identical', async () => {
    const found = await findIdentical(deps, object, check)
    if (!found) return undefined
    const { cutter, tensors, warnings } = found.manifest
    const segments = await toArray(chunkParts(deps.store, found.manifest.parts))
    return { cutter, tensors, warnings, segments: () => segments, identical: found.identical }
  })
}
