import { mapInOrder } from '../bounded.ts'
import { discard } from './buffers.ts'
import { sha256Hex } from './codec.ts'
import type { ChunkIndex } from './ledger.ts'
import type { ChunkRef } from './manifest.ts'
import {
  type Encoded,
  encodeChecked,
  type Hints,
  lookUpChunk,
  sendChunk,
  type StoreDeps,
  type Stored,
} from './store.ts'

/**
 * What bounds the memory of a copy, for chunks of at most 4 MiB: those being encoded and read back take at most six buffers of
 * a chunk each (with its base, its planes, and bodies of both ways), those being sent one body.
 */
const encodedAtOnce = 3
const sentAtOnce = 12

/**
 * `known` is a chunk of a protected manifest, used again where it is the same. `readBase` answers what the replica has of
 * the version before, its bytes proved, where that can be had.
 */
export type ChunkToStore = {
  plain: Uint8Array
  known?: ChunkRef
  dtype?: string | undefined
  readBase?: (() => Promise<Hints['base']>) | undefined
}

type Work = { encoded: Encoded; first: PromiseWithResolvers<Stored> } | { known: () => Promise<Stored> }

const settle = async (first: PromiseWithResolvers<Stored>, storing: Promise<Stored>): Promise<Stored> => {
  try {
    const stored = await storing
    first.resolve(stored)
    return stored
  } catch (error) {
    first.reject(error)
    throw error
  }
}

/**
 * Stores chunks and answers in their order; reading, hashing, encoding and sending overlap. A chunk that comes again is not
 * stored again. Takes the chunks' buffers over: they are empty afterwards.
 */
export async function* storeChunks(
  deps: StoreDeps & { chunks: ChunkIndex },
  plains: AsyncIterable<ChunkToStore>,
  believeIndex: boolean,
): AsyncGenerator<Stored> {
  const seen = new Map<string, Promise<Stored>>()
  const lookUp = async (id: string): Promise<Stored | undefined> =>
    believeIndex && deps.distrusted?.has(id) !== true ? lookUpChunk(deps.chunks, id) : undefined

  const encode = async ({ plain, dtype, known: before, readBase }: ChunkToStore): Promise<Work> => {
    const id = sha256Hex(plain)
    const same = seen.get(id)
    if (same) return { known: async () => ({ ...(await same), bytesSent: 0, reused: true, indexed: true }) }
    const first = Promise.withResolvers<Stored>()
    first.promise.catch(() => undefined)
    seen.set(id, first.promise)
    try {
      const isSame = believeIndex && before?.id === `sha256:${id}` && deps.distrusted === undefined
      const known =
        (await lookUp(id)) ?? (isSame ? { ref: before, bytesSent: 0, reused: true, indexed: true } : undefined)
      if (known) {
        first.resolve(known)
        return { known: async () => known }
      }
      const base = await readBase?.()
      try {
        return { encoded: (deps.encode ?? encodeChecked)(plain, id, { dtype, base }), first }
      } finally {
        if (base) discard(base.plain)
      }
    } catch (error) {
      // Whoever waits for it is let go.
      first.reject(error)
      throw error
    }
  }
  const encodeAndDiscard = async (chunk: ChunkToStore): Promise<Work> => {
    try {
      return await encode(chunk)
    } finally {
      discard(chunk.plain)
    }
  }
  const send = (work: Work): Promise<Stored> =>
    'known' in work ? work.known() : settle(work.first, sendChunk(deps, work.encoded))
  yield* mapInOrder(mapInOrder(plains, encodedAtOnce, encodeAndDiscard), sentAtOnce, send)
}
