import { createHash } from 'node:crypto'
import { CorruptError, FormatVersionError } from '../errors.ts'
import type { BlobStat, BlobStore, Clock, Random, Telemetry } from '../ports.ts'
import { type Codec, decodeBodyHeader } from './body.ts'
import { discard } from './buffers.ts'
import {
  type Base,
  crc32c,
  decodeBody,
  encodeBody,
  encodeDelta,
  type EncodedBody,
  hashBody,
  sha256Hex,
} from './codec.ts'
import type { ChunkIndex } from './ledger.ts'
import type { BaseRef, ChunkRef } from './manifest.ts'
import { alternateChunkName, alternateDeltaName, chunkName, deltaName, partName } from './names.ts'
import { hashOf, recordFailure } from './outcome.ts'

export type StoreDeps = {
  store: BlobStore
  clock: Clock
  random: Random
  telemetry: Telemetry
  /** Chunks and parts (SHA-256 in hex) whose bytes in the replica are read before they are believed. */
  distrusted?: ReadonlySet<string>
  /** encodeChecked unless given: a benchmark measures what the check costs. */
  encode?: typeof encodeChecked
}

/** `bytesSent` counts body bytes that left for the replica, kept or not; `indexed` says that the index had the chunk. */
export type Stored = { ref: ChunkRef; bytesSent: number; reused: boolean; indexed: boolean }

const md5 = (bytes: Uint8Array): string => createHash('md5').update(bytes).digest('base64')

const refOf = (mine: Encoded, codec: string, stat: BlobStat, canonicalName: string): ChunkRef => ({
  id: `sha256:${mine.id}`,
  length: mine.plainBytes,
  codec,
  base: mine.base ?? null,
  // A reader of format 1.0 then finds a delta, and refuses its codec, where it would miss a chunk.
  ...(stat.name === canonicalName && !mine.base ? {} : { name: stat.name }),
  storedBytes: stat.size,
  crc32c: stat.crc32c,
  generation: stat.generation,
})

/** Decodes a body that is about to leave and compares it with what it stands for: memory flips and encoder bugs stay here. */
const readBack = (id: string, body: Uint8Array, plainBytes: number, base: Base | undefined): void => {
  const found = hashBody(body, { plainBytesMax: plainBytes, base })
  if (found !== id)
    throw new CorruptError(
      `the encoder's output for sha256:${id} decodes to sha256:${found}: not sent; the machine's memory is suspect`,
    )
}

/** What is under an existing name: our very bytes, other bytes that decode to the same chunk, or something else. */
const inspect = async (
  deps: StoreDeps,
  stat: BlobStat,
  mine: Encoded,
): Promise<{ codec: string } | { wrong: string }> => {
  // An equal CRC can be forged, an equal MD5 of bytes that we choose cannot; neither says that the bytes can still be read.
  const isTrusted = deps.distrusted?.has(mine.id) !== true
  if (isTrusted && stat.size === mine.body.length && stat.crc32c === mine.crc32c && stat.md5 === md5(mine.body))
    return { codec: mine.codec }
  try {
    const body = await deps.store.read(stat.name, { generation: stat.generation, bytesMax: mine.plainBytes + 4096 })
    if (!body) return { wrong: 'it vanished while it was compared' }
    const base = mine.base && (await readBase(deps.store, mine.base))
    const found = hashBody(body, { plainBytesMax: mine.plainBytes, base })
    return found === mine.id ? { codec: decodeBodyHeader(body).codec } : { wrong: `its bytes are sha256:${found}` }
  } catch (error) {
    if (!(error instanceof CorruptError || error instanceof FormatVersionError)) throw error
    return { wrong: error.message }
  }
}

/** A body that may leave once it was read back. `plainBytes` is the chunk's length. */
export type Encoded = {
  id: string
  plainBytes: number
  codec: Codec
  /** What a delta is against, in the replica. */
  base?: BaseRef
  body: Uint8Array
  crc32c: number
}

/** What may make a chunk smaller: the dtype of its elements, and what the replica has of the version before it. */
export type Hints = { dtype?: string | undefined; base?: { ref: BaseRef; plain: Uint8Array } | undefined }

/** Above this a delta saves too little for a chunk that cannot be read without another: it stands alone, as a new base. */
const rebaseAbove = 0.8

/** The smallest body, or nearly: a delta only where it saves a fifth of what stands alone. */
const encodeSmallest = (plain: Uint8Array, { dtype, base }: Hints): EncodedBody & { base?: BaseRef } => {
  const alone = encodeBody(plain, { dtype })
  if (!base) return alone
  const delta = encodeDelta(plain, { dtype, base: { id: idHex(base.ref.id), plain: base.plain } })
  if (!delta) return alone
  const isDelta = delta.body.length <= rebaseAbove * alone.body.length
  discard(isDelta ? alone.body : delta.body)
  return isDelta ? { ...delta, base: base.ref } : alone
}

/** Encodes a chunk or part, which nothing has proved yet to decode to what it was. */
export const encodeUnchecked = (plain: Uint8Array, id: string, hints: Hints = {}): Encoded => {
  const encoded = encodeSmallest(plain, hints)
  return { ...encoded, id, plainBytes: plain.length, crc32c: crc32c(encoded.body) }
}

/** Encodes a chunk or part and proves that it decodes to what it was. Throws CorruptError where it does not. */
export const encodeChecked = (plain: Uint8Array, id: string, hints: Hints = {}): Encoded => {
  const encoded = encodeUnchecked(plain, id, hints)
  const base = encoded.base && hints.base && { id: idHex(encoded.base.id), plain: hints.base.plain }
  readBack(id, encoded.body, plain.length, base)
  return encoded
}

/** The name in the replica, or with a nonce the one beside it. */
type NameOf = (nonce?: string) => string

const sendBody = async (
  deps: StoreDeps,
  mine: Encoded,
  nameOf: NameOf,
  metadata: Record<string, string>,
): Promise<Stored> => {
  const { codec, body } = mine
  const options = { crc32c: mine.crc32c, metadata: { codec, ...metadata } }
  const canonical = nameOf()
  const created = await deps.store.create(canonical, body, options)
  if (created)
    return {
      ref: refOf(mine, codec, created, canonical),
      bytesSent: body.length,
      reused: false,
      indexed: false,
    }

  const existing = await deps.store.stat(canonical)
  if (existing) {
    const verdict = await inspect(deps, existing, mine)
    if ('codec' in verdict)
      return {
        ref: refOf(mine, verdict.codec, existing, canonical),
        bytesSent: body.length,
        reused: true,
        indexed: false,
      }
    await recordFailure(deps, {
      state: 'quarantined',
      traceId: hashOf(existing.name, existing.generation),
      reason: `the body under ${existing.name} is not that chunk: ${verdict.wrong}; the true body is kept under another name`,
      name: existing.name,
      detail: `generation ${existing.generation}, ${existing.size} bytes`,
    })
  }
  const alternate = nameOf(deps.random.hex(8))
  const second = await deps.store.create(alternate, body, options)
  if (!second) throw new CorruptError(`a name chosen at random exists: ${alternate}`)
  return {
    ref: refOf(mine, codec, second, canonical),
    bytesSent: body.length * 2,
    reused: false,
    indexed: false,
  }
}

/**
 * Sends an encoded chunk and says under which name, generation and checksum the replica has it; what is found under the
 * name is compared before it is believed. Takes the body over: it is empty afterwards.
 */
export const sendChunk = async (deps: StoreDeps, encoded: Encoded): Promise<Stored> => {
  const { id, body, base } = encoded
  const nameOf: NameOf = base
    ? (nonce) => (nonce ? alternateDeltaName(id, idHex(base.id), nonce) : deltaName(id, idHex(base.id)))
    : (nonce) => (nonce ? alternateChunkName(id, nonce) : chunkName(id))
  try {
    return await sendBody(deps, encoded, nameOf, {})
  } finally {
    discard(body)
  }
}

/** The chunk as the index has it on record: nothing needs to be encoded or sent. */
export const lookUpChunk = async (chunks: ChunkIndex, id: string): Promise<Stored | undefined> => {
  const ref = await chunks.lookup(id)
  return ref && { ref, bytesSent: 0, reused: true, indexed: true }
}

/** Makes sure that the replica has a chunk. Nothing is encoded or sent when the index has it on record as verified. */
export const storeChunk = async (
  deps: StoreDeps & { chunks: ChunkIndex },
  plain: Uint8Array,
  plainId = sha256Hex(plain),
  believeIndex = true,
): Promise<Stored> =>
  (believeIndex ? await lookUpChunk(deps.chunks, plainId) : undefined) ?? sendChunk(deps, encodeChecked(plain, plainId))

/** Stores a list as a content-addressed part. `hint` goes into the object's metadata, for people and for the collector. */
export const storePart = async (deps: StoreDeps, plain: Uint8Array, hint: Record<string, string>): Promise<Stored> => {
  const id = sha256Hex(plain)
  const encoded = encodeChecked(plain, id)
  return sendBody(deps, encoded, (nonce) => (nonce ? `${partName(id)}~${nonce}` : partName(id)), hint)
}

export const idHex = (id: string): string => id.slice('sha256:'.length)

/** Where a reference's body is. */
export const bodyName = (
  ref: { id: string; name?: string | undefined; base?: { id: string } | null | undefined },
  kind: 'chunk' | 'part',
): string => {
  if (ref.name !== undefined) return ref.name
  if (kind === 'part') return partName(idHex(ref.id))
  return ref.base ? deltaName(idHex(ref.id), idHex(ref.base.id)) : chunkName(idHex(ref.id))
}

/** What a delta is against, whole and proved by its id. Throws CorruptError where it is missing or is something else. */
export const readBase = async (store: BlobStore, ref: BaseRef): Promise<Base> => {
  const name = bodyName(ref, 'chunk')
  const body = await store.read(name, { generation: ref.generation, bytesMax: ref.storedBytes })
  if (!body) throw new CorruptError(`base ${name}, generation ${ref.generation}, is missing from the replica`)
  const plain = decodeBody(body, { plainBytesMax: ref.length })
  const id = idHex(ref.id)
  if (plain.length !== ref.length || sha256Hex(plain) !== id)
    throw new CorruptError(`base ${name} does not hash to its id`)
  return { id, plain }
}

/** Lists of at most 10,000 chunks with room to spare. */
const partPlainBytesMax = 64 * 2 ** 20

/** Fetches, decodes and rehashes a part. Throws CorruptError when it is missing or not what its id says. */
export const readPart = async (
  store: BlobStore,
  ref: { id: string; name?: string | undefined; generation: string },
): Promise<Uint8Array> => {
  const name = bodyName(ref, 'part')
  const body = await store.read(name, { generation: ref.generation, bytesMax: partPlainBytesMax })
  if (!body) throw new CorruptError(`part ${name}, generation ${ref.generation}, is missing from the replica`)
  const plain = decodeBody(body, { plainBytesMax: partPlainBytesMax })
  if (`sha256:${sha256Hex(plain)}` !== ref.id) throw new CorruptError(`part ${name} does not hash to its name`)
  return plain
}
