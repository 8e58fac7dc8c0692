import { isRetryable, SupersededError } from '../errors.ts'
import type { BlobStore } from '../ports.ts'
import { discard } from './buffers.ts'
import { sha256Hex } from './codec.ts'
import type { Cut } from './cut.ts'
import type { WeightsDeps } from './deps.ts'
import { ancestorsOf } from './lineage.ts'
import { type ChunkRef, type ObjectManifest, parseRecord, tensorsPartSchema, type TensorsPart } from './manifest.ts'
import { elementOf } from './planes.ts'
import { chunkParts, chunksOfParts } from './read.ts'
import { readRange } from './source-range.ts'
import { bodyName, type Hints, idHex, readPart } from './store.ts'

/** What the replica has of the version before, chunk by chunk of the same tensors. */

type Tensor = TensorsPart['tensors'][number]

/** Where the bytes of a base are in the source: an ancestor's own object. */
type Place = { source: ObjectManifest['source']; offset: number }

/**
 * `known` is the chunk at the same place of the same tensor in the version before: that body is used again where the chunk is
 * the same, which the index knows only of those that stand alone. `base` is the newest ancestor's that stands alone.
 */
export type Before = { known: ChunkRef; base?: { ref: ChunkRef; place: Place } }

/** By the offset of a cut in the object that is copied. */
export type Bases = ReadonlyMap<number, Before>

/** More than this the index of one ancestor is not read for: 40,000 tensors. */
const tensorPartsMax = 8

const tensorsByName = async (store: BlobStore, manifest: ObjectManifest): Promise<Map<string, Tensor>> => {
  const tensors = new Map<string, Tensor>()
  for (const part of manifest.tensors.slice(0, tensorPartsMax)) {
    const plain = await readPart(store, part)
    for (const tensor of parseRecord(tensorsPartSchema, bodyName(part, 'part'), plain).tensors)
      tensors.set(tensor.name, tensor)
  }
  return tensors
}

/** A row is as many bytes: more rows or fewer leave what is common where it was. */
const isAlike = (one: Tensor, other: Tensor): boolean =>
  one.dtype === other.dtype && one.shape.slice(1).join() === other.shape.slice(1).join()

/** The chunks of an object that begin at `offsets`. */
const chunksAt = async (
  store: BlobStore,
  manifest: ObjectManifest,
  offsets: ReadonlySet<number>,
): Promise<Map<number, ChunkRef>> => {
  const found = new Map<number, ChunkRef>()
  for await (const part of chunkParts(store, manifest.parts, [...offsets]))
    for await (const { ref, offset } of chunksOfParts(store, [part])) if (offsets.has(offset)) found.set(offset, ref)
  return found
}

/** The first tensor of a cut, and how far into it the cut begins. */
type Start = { cut: Cut; tensor: Tensor; within: number }

const startsOf = (cuts: readonly Cut[], tensors: readonly Tensor[]): Start[] => {
  const inOrder = tensors.filter(({ start, end }) => end > start)
  const starts: Start[] = []
  let at = 0
  for (const cut of cuts) {
    while (at < inOrder.length && (inOrder[at]?.end ?? 0) <= cut.offset) at += 1
    const tensor = inOrder[at]
    // Only floats have differences; of others the index knows all that is stored.
    if (tensor && tensor.start <= cut.offset && elementOf(cut.dtype))
      starts.push({ cut, tensor, within: cut.offset - tensor.start })
  }
  return starts
}

/** Looks one ancestor through; answers what still has no base. */
const lookThrough = async (
  store: BlobStore,
  manifest: ObjectManifest,
  starts: readonly Start[],
  bases: Map<number, Before>,
): Promise<Start[]> => {
  const tensors = await tensorsByName(store, manifest)
  const placeOf = ({ tensor, within }: Start): number | undefined => {
    const other = tensors.get(tensor.name)
    return other && isAlike(tensor, other) && other.start + within < other.end ? other.start + within : undefined
  }
  const offsets = new Set(starts.map(placeOf).filter((offset) => offset !== undefined))
  const chunks = await chunksAt(store, manifest, offsets)
  return starts.filter((start) => {
    const offset = placeOf(start)
    const ref = offset === undefined ? undefined : chunks.get(offset)
    if (offset === undefined || !ref) return true
    const before = bases.get(start.cut.offset)
    const isBase = ref.base === null
    bases.set(start.cut.offset, {
      known: before?.known ?? ref,
      ...(isBase && { base: { ref, place: { source: manifest.source, offset } } }),
    })
    return !isBase
  })
}

/** What the ancestors have of the cuts of a safetensors file. An ancestor that cannot be read ends the search. */
export const findBases = async (
  deps: Pick<WeightsDeps, 'store' | 'telemetry'>,
  parent: string,
  cuts: readonly Cut[],
  tensors: readonly Tensor[],
): Promise<Bases> => {
  const bases = new Map<number, Before>()
  let left = startsOf(cuts, tensors)
  try {
    for await (const manifest of ancestorsOf(deps.store, parent)) {
      if (left.length === 0) break
      left = await lookThrough(deps.store, manifest, left, bases)
    }
  } catch (error) {
    if (isRetryable(error)) throw error
    deps.telemetry.log('warn', `no further bases: ${String(error)}`, { stage: 'copy', parent })
  }
  return bases
}

/**
 * The base's bytes, read from the source and proved by the id that the replica has them under. Undefined where the source no
 * longer has them: from the replica they would cost more than they save (docs/adr/0016).
 */
export const readBaseOf = async (deps: WeightsDeps, before: Before): Promise<Hints['base']> => {
  if (!before.base) return undefined
  const { ref, place } = before.base
  const { bucket, key, versionId, etag } = place.source
  let plain: Uint8Array
  try {
    plain = await readRange(deps.source, { bucket, key, versionId, etag }, place.offset, place.offset + ref.length)
  } catch (error) {
    // Gone, archived, under a key that is denied by now, or not to be had: nothing that keeps the new version waiting.
    if (!(error instanceof SupersededError))
      deps.telemetry.log('warn', `not a base: ${String(error)}`, { stage: 'copy' })
    return undefined
  }
  if (sha256Hex(plain) === idHex(ref.id)) return { ref: baseRefOf(ref), plain }
  discard(plain)
  deps.telemetry.log(
    'warn',
    `not a base: the source has other bytes than ${ref.id} at byte ${place.offset} of ${key}`,
    {
      stage: 'copy',
    },
  )
  return undefined
}

const baseRefOf = ({ base: _base, ...ref }: ChunkRef): NonNullable<Hints['base']>['ref'] => ref
