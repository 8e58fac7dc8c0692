import * as z from 'zod'
import { CorruptError, FormatVersionError } from '../errors.ts'
import type { BlobStat, BlobStore } from '../ports.ts'
import { type Base, crc32c, decodeBody, hashBody, sha256Hex } from '../weights/codec.ts'
import { chunkName, parseBodyName } from '../weights/names.ts'

/**
 * A scrub reads one slice of 30 at a time. A body's slice is the first byte of its SHA-256 modulo 30, so that a slice is
 * whole folders: slice 0 is `chunks/00/`, `chunks/1e/`, `chunks/3c/` and so on, then `deltas/` and `parts/` likewise. The
 * 256 first bytes make 16 slices of 9 folders and 14 of 8.
 */
export const slices = 30

const folders = ['chunks', 'deltas', 'parts'] as const

export const prefixesOfSlice = (slice: number): string[] => {
  const bytes = Array.from({ length: 256 }, (_, byte) => byte).filter((byte) => byte % slices === slice)
  return folders.flatMap((folder) => bytes.map((byte) => `${folder}/${byte.toString(16).padStart(2, '0')}/`))
}

/** What a reader may be made to allocate: above any cutter's chunk and any list of 10,000 chunks. */
const plainBytesMax = 64 * 2 ** 20

/** `needed`: how many objects name it, the first of them, and some that nothing makes good. */
export const wrongSchema = z.object({
  name: z.string(),
  generation: z.string(),
  id: z.string(),
  detail: z.string(),
  needed: z.object({ by: z.number(), first: z.string(), unmended: z.array(z.string()) }).optional(),
})
export type Wrong = z.infer<typeof wrongSchema>

export type ReadBack = 'fine' | 'vanished' | { wrong: string } | { unreadable: string }

/** What a delta is against, proved, from any body of it. Throws CorruptError where there is none. */
const findBase = async (store: BlobStore, id: string): Promise<Base> => {
  let why = 'it is not there'
  for await (const stat of store.list(chunkName(id)))
    try {
      const body = await store.read(stat.name, { generation: stat.generation, bytesMax: stat.size })
      const plain = body && decodeBody(body, { plainBytesMax })
      if (plain && sha256Hex(plain) === id) return { id, plain }
      if (plain) why = 'other bytes are under its name'
    } catch (error) {
      if (!(error instanceof CorruptError)) throw error
      why = error.message
    }
  throw new CorruptError(`its base sha256:${id} cannot be read: ${why}`)
}

/** Reads a body, decodes it within a bound and rehashes it: it is what its own name says, or it is wrong. */
export const readBack = async (store: BlobStore, stat: BlobStat): Promise<ReadBack> => {
  const parsed = parseBodyName(stat.name)
  if (!parsed) return { wrong: 'no body has such a name' }
  try {
    const body = await store.read(stat.name, { generation: stat.generation, bytesMax: stat.size })
    if (!body) return 'vanished'
    if (body.length !== stat.size) return { wrong: `${body.length} bytes came back, ${stat.size} are stored` }
    if (crc32c(body) !== stat.crc32c) return { wrong: `its bytes do not have the crc32c ${stat.crc32c} that is stored` }
    const base = parsed.kind === 'delta' ? await findBase(store, parsed.base) : undefined
    const found = hashBody(body, { plainBytesMax, base })
    return found === parsed.id ? 'fine' : { wrong: `it decodes to sha256:${found}` }
  } catch (error) {
    if (error instanceof FormatVersionError) return { unreadable: error.message }
    if (error instanceof CorruptError) return { wrong: error.message }
    throw error
  }
}
