import { CorruptError } from '../errors.ts'
import type { BlobStore } from '../ports.ts'
import { discard } from './buffers.ts'
import type { Base } from './codec.ts'
import { decodeChunk, type DecodeChunk } from './decode-chunk.ts'
import {
  type ChunkRef,
  chunksPartSchema,
  indexPartSchema,
  type ObjectManifest,
  type PartRef,
  parseRecord,
} from './manifest.ts'
import { bodyName, idHex, readPart } from './store.ts'

/** Reading an object from the replica alone: manifest, parts, chunks. */

/**
 * The parts that list chunks, in order, through index parts however deep; with `offsets`, those alone that one of these
 * bytes lies in, and no index is read for the others.
 */
export async function* chunkParts(
  store: BlobStore,
  parts: readonly PartRef[],
  offsets?: readonly number[],
): AsyncGenerator<PartRef> {
  for (const part of parts) {
    if (offsets && !offsets.some((offset) => offset >= part.offset && offset < part.offset + part.size)) continue
    if (part.kind === 'chunks') yield part
    else {
      const index = parseRecord(indexPartSchema, bodyName(part, 'part'), await readPart(store, part))
      yield* chunkParts(store, index.parts, offsets)
    }
  }
}

/** Chunk references of the parts in order. */
export async function* chunksOfParts(
  store: BlobStore,
  parts: readonly PartRef[],
): AsyncGenerator<{ ref: ChunkRef; offset: number }> {
  for await (const part of chunkParts(store, parts)) {
    const name = bodyName(part, 'part')
    let offset = part.offset
    for (const ref of parseRecord(chunksPartSchema, name, await readPart(store, part)).chunks) {
      yield { ref, offset }
      offset += ref.length
    }
    if (offset !== part.offset + part.size)
      throw new CorruptError(`part ${name} lists ${offset - part.offset} bytes, expected ${part.size}`)
  }
}

/**
 * The plain bytes of one chunk, proved by its id; where that fails, its stored checksum tells damage from a wrong body. The base of
 * a delta is read, and proved, too, unless the caller has it.
 */
export const readChunk = async (
  store: BlobStore,
  ref: ChunkRef,
  { base: given, decode = decodeChunk }: { base?: Base | undefined; decode?: DecodeChunk | undefined } = {},
): Promise<Uint8Array> => {
  const name = bodyName(ref, 'chunk')
  const body = await store.read(name, { generation: ref.generation, bytesMax: ref.storedBytes })
  if (!body) throw new CorruptError(`chunk ${name}, generation ${ref.generation}, is missing from the replica`)
  const base = ref.base
    ? (given ?? { id: idHex(ref.base.id), plain: await readChunk(store, { ...ref.base, base: null }) })
    : undefined
  const plain = await decode(name, body, ref, base)
  // Raw bytes are a view of the body.
  if (plain.buffer !== body.buffer) discard(body)
  if (base && base !== given) discard(base.plain)
  return plain
}

/** A small object whole. Throws CorruptError above `bytesMax`. */
export const readSmallObject = async (
  store: BlobStore,
  manifest: ObjectManifest,
  bytesMax: number,
): Promise<Uint8Array> => {
  if (manifest.size > bytesMax)
    throw new CorruptError(`${manifest.source.key} has ${manifest.size} bytes, expected at most ${bytesMax}`)
  const parts: Uint8Array[] = []
  for await (const { ref } of chunksOfParts(store, manifest.parts)) parts.push(await readChunk(store, ref))
  return Buffer.concat(parts)
}
