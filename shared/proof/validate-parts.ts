import { mapInOrder } from '../bounded.ts'
import { CorruptError, InvalidInputError } from '../errors.ts'
import type { BlobStore } from '../ports.ts'
import {
  type ChunkRef,
  chunksPartSchema,
  indexPartSchema,
  type ObjectManifest,
  type PartRef,
  parseRecord,
  tensorsPartSchema,
} from '../weights/manifest.ts'
import { bodyName, idHex, readPart } from '../weights/store.ts'
import type { BodyRef, Flaw, Look } from './look.ts'

/** The bodies that one manifest names: each is there, and together they are the object. */

const looksInFlight = 32

export type PartsCheck = {
  store: BlobStore
  look: Look
  isLate: () => boolean
  count: (name: string, by?: number) => void
  flaw: (flaw: Flaw) => void
  /** Parts that end at or before this byte were looked at by an earlier call. */
  from: number
  hasLooked?: boolean
}

/** Looks at a part, then reads and rehashes it. Undefined where it is not what was recorded. */
const openPart = async (
  check: PartsCheck,
  ref: BodyRef & { name?: string | undefined },
): Promise<Uint8Array | undefined> => {
  const name = bodyName(ref, 'part')
  check.count('parts')
  const flaw = await check.look(name, ref)
  if (flaw) check.flaw(flaw)
  if (flaw && flaw.kind !== 'condemned') return undefined
  try {
    return await readPart(check.store, ref)
  } catch (error) {
    if (!(error instanceof CorruptError)) throw error
    check.flaw({ kind: 'wrong-bytes', subject: name, detail: error.message, body: idHex(ref.id) })
    return undefined
  }
}

const parsed = <T>(
  check: PartsCheck,
  schema: Parameters<typeof parseRecord<T>>[0],
  part: BodyRef & { name?: string | undefined },
  plain: Uint8Array,
): T | undefined => {
  try {
    return parseRecord(schema, bodyName(part, 'part'), plain)
  } catch (error) {
    if (!(error instanceof InvalidInputError)) throw error
    check.flaw({ kind: 'wrong-part', subject: bodyName(part, 'part'), detail: error.message })
    return undefined
  }
}

const lookAtChunk = async (check: PartsCheck, chunk: ChunkRef): Promise<(Flaw | undefined)[]> => {
  check.count('chunks')
  const own = await check.look(bodyName(chunk, 'chunk'), chunk)
  if (!chunk.base) return [own]
  check.count('bases')
  return [own, await check.look(bodyName(chunk.base, 'chunk'), chunk.base)]
}

const lookAtChunks = async (check: PartsCheck, part: PartRef, chunks: readonly ChunkRef[]): Promise<void> => {
  const size = chunks.reduce((sum, chunk) => sum + chunk.length, 0)
  if (size !== part.size || chunks.length !== part.chunks)
    check.flaw({
      kind: 'does-not-tile',
      subject: bodyName(part, 'part'),
      detail: `lists ${chunks.length} chunks of ${size} bytes, the manifest says ${part.chunks} of ${part.size}`,
    })
  for await (const flaws of mapInOrder(chunks, looksInFlight, (chunk) => lookAtChunk(check, chunk)))
    for (const flaw of flaws) if (flaw) check.flaw(flaw)
}

/** Byte at which the next call goes on, or undefined when all parts that tile [start, start + size) were looked at. */
const walk = async (
  check: PartsCheck,
  parts: readonly PartRef[],
  whole: { subject: string; start: number; size: number },
): Promise<number | undefined> => {
  let position = whole.start
  for (const part of parts) {
    if (part.offset !== position)
      check.flaw({
        kind: 'does-not-tile',
        subject: whole.subject,
        detail: `byte ${position} is followed by byte ${part.offset}`,
      })
    position = part.offset + part.size
    if (position <= check.from) continue
    // Every call gets on by a part at least.
    if (check.hasLooked && check.isLate()) return part.offset
    check.hasLooked = true
    const plain = await openPart(check, part)
    if (!plain) continue
    if (part.kind === 'chunks') {
      const list = parsed(check, chunksPartSchema, part, plain)
      if (list) await lookAtChunks(check, part, list.chunks)
      continue
    }
    const index = parsed(check, indexPartSchema, part, plain)
    const inner = { subject: bodyName(part, 'part'), start: part.offset, size: part.size }
    const stoppedAt = index && (await walk(check, index.parts, inner))
    if (stoppedAt !== undefined) return stoppedAt
  }
  if (position !== whole.start + whole.size)
    check.flaw({
      kind: 'does-not-tile',
      subject: whole.subject,
      detail: `ends at byte ${position}, expected ${whole.start + whole.size}`,
    })
  return undefined
}

/** Looks at all that a manifest names. Answers the byte at which the next call goes on where this one was late. */
export const checkParts = async (
  check: PartsCheck,
  name: string,
  manifest: ObjectManifest,
): Promise<number | undefined> => {
  if (check.from === 0)
    for (const part of manifest.tensors) {
      const plain = await openPart(check, part)
      if (plain) parsed(check, tensorsPartSchema, part, plain)
    }
  return walk(check, manifest.parts, { subject: name, start: 0, size: manifest.size })
}
