import { toArray } from '../bounded.ts'
import { CorruptError, InvalidInputError, LifeboatError, NotFoundError } from '../errors.ts'
import type { BlobStore } from '../ports.ts'
import { decodeBody, sha256Hex } from './codec.ts'
import type { DecodeChunk } from './decode-chunk.ts'
import { type BaseRef, type ChunkRef, type ObjectManifest, objectManifestSchema, parseRecord } from './manifest.ts'
import { chunkName } from './names.ts'
import { chunksOfParts, readChunk } from './read.ts'
import { idHex } from './store.ts'

/** Reading for a restore: nothing from the replica is believed, and what can be saved is saved. */

/** Above any cutter's chunk; what a manifest may make a reader allocate. */
const chunkBytesMax = 32 * 2 ** 20
/** A body is never larger than its raw form; the rest is its header. */
const bodyOverheadMax = 64 * 2 ** 10
const manifestBytesMax = 64 * 2 ** 20
const readAttempts = 2

/** The error again with `where` in front; bad input that came from the replica is corruption and not the user's fault. */
export const inContext = (where: string, error: unknown): unknown => {
  if (!(error instanceof LifeboatError)) return error
  const message = `${where}: ${error.message}`
  if (error instanceof InvalidInputError) return new CorruptError(message, { cause: error })
  const kind = error.constructor as new (message: string, options: ErrorOptions) => LifeboatError
  return new kind(message, { cause: error })
}

/** Reads a record and answers its digest too. Throws CorruptError where it is not what `digest` or its schema says. */
export const readRecord = async <T>(
  store: BlobStore,
  name: string,
  schema: Parameters<typeof parseRecord<T>>[0],
  digest?: string,
): Promise<{ record: T; digest: string }> => {
  const bytes = await store.read(name, { bytesMax: manifestBytesMax })
  if (!bytes) throw new NotFoundError(`${name} is not in the replica`)
  const found = `sha256:${sha256Hex(bytes)}`
  if (digest !== undefined && found !== digest)
    throw new CorruptError(`${name} is ${found}, and the release names ${digest}: it was replaced or damaged`)
  try {
    return { record: parseRecord(schema, name, bytes), digest: found }
  } catch (error) {
    throw error instanceof InvalidInputError ? new CorruptError(error.message, { cause: error }) : error
  }
}

export const readObjectManifest = (
  store: BlobStore,
  name: string,
  digest?: string,
): Promise<{ record: ObjectManifest; digest: string }> => readRecord(store, name, objectManifestSchema, digest)

/** The chunks of an object in order. Throws CorruptError unless they tile [0, size) exactly. */
export async function* chunksOfObject(
  store: BlobStore,
  manifest: ObjectManifest,
): AsyncGenerator<{ ref: ChunkRef; offset: number }> {
  let position = 0
  for await (const chunk of chunksOfParts(store, manifest.parts)) {
    const { ref, offset } = chunk
    if (offset !== position)
      throw new CorruptError(`the manifest's parts do not tile it: byte ${position} is followed by byte ${offset}`)
    checkBounds(ref)
    if (ref.base) checkBounds(ref.base)
    position += ref.length
    yield chunk
  }
  if (position !== manifest.size)
    throw new CorruptError(`the manifest's parts end at byte ${position}, its size is ${manifest.size}`)
}

/** Any other body of the chunk that stands alone: another generation under its name, or one kept aside; its hash proves it. */
const findElsewhere = async (store: BlobStore, ref: BaseRef): Promise<Uint8Array | undefined> => {
  for (const { name } of await toArray(store.list(chunkName(idHex(ref.id)))))
    try {
      const body = await store.read(name, { bytesMax: ref.length + bodyOverheadMax })
      if (!body) continue
      const plain = decodeBody(body, { plainBytesMax: ref.length })
      if (plain.length === ref.length && sha256Hex(plain) === idHex(ref.id)) return plain
    } catch (error) {
      if (!(error instanceof CorruptError)) throw error
    }
  return undefined
}

/** A manifest from elsewhere may name a large base as well as a large chunk. */
const checkBounds = ({ id, length, storedBytes }: BaseRef): void => {
  if (length > chunkBytesMax || storedBytes > length + bodyOverheadMax)
    throw new CorruptError(`chunk ${id} claims ${length} bytes (${storedBytes} stored): not believed`)
}

/**
 * The plain bytes of a chunk: read again where the first read was damaged on the way, then any body in the replica that
 * hashes to its id; its base, where it is a delta, likewise. Throws the first CorruptError where there is none.
 */
export const readChunkAnyhow = async (store: BlobStore, ref: ChunkRef, decode?: DecodeChunk): Promise<Uint8Array> => {
  let first: CorruptError | undefined
  for (let attempt = 0; attempt < readAttempts; attempt += 1)
    try {
      const base = ref.base && {
        id: idHex(ref.base.id),
        plain: await readChunkAnyhow(store, { ...ref.base, base: null }, decode),
      }
      return await readChunk(store, ref, { base: base ?? undefined, decode })
    } catch (error) {
      if (!(error instanceof CorruptError)) throw error
      first ??= error
    }
  const plain = await findElsewhere(store, ref)
  if (plain) return plain
  throw first ?? new CorruptError(`chunk ${ref.id} cannot be read`)
}
