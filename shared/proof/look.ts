import type { BlobStat, BlobStore } from '../ports.ts'
import { condemnedKey, isRecorded } from '../weights/presence.ts'

/** What is wrong with something in the replica. `body` is the id (SHA-256 in hex) of a chunk or part that it is about. */
export type Flaw = { kind: string; subject: string; detail: string; body?: string }

export type BodyRef = { id: string; storedBytes: number; crc32c: number; generation: string }

type Seen = Pick<BlobStat, 'generation' | 'size' | 'crc32c'> & { condemned: boolean }

/** Chunks that many versions share are asked for once a call. */
const seenMax = 50_000

/** Looks at bodies without changing anything: undefined where one is there, is kept, and is the one that was recorded. */
export type Look = (name: string, ref: BodyRef) => Promise<Flaw | undefined>

export const createLook = (store: BlobStore): Look => {
  const seen = new Map<string, Promise<Seen | undefined>>()
  const ask = async (name: string): Promise<Seen | undefined> => {
    const stat = await store.stat(name)
    if (!stat) return undefined
    const { generation, size, crc32c, metadata } = stat
    return { generation, size, crc32c, condemned: condemnedKey in metadata }
  }
  const lookUp = (name: string): Promise<Seen | undefined> => {
    const known = seen.get(name)
    if (known) return known
    const oldest = seen.size >= seenMax ? seen.keys().next().value : undefined
    if (oldest !== undefined) seen.delete(oldest)
    const asked = ask(name)
    asked.catch(() => seen.delete(name))
    seen.set(name, asked)
    return asked
  }
  return async (name, ref) => {
    const found = await lookUp(name)
    const body = ref.id.slice('sha256:'.length)
    const flaw = (kind: string, detail: string): Flaw => ({ kind, subject: name, detail, body })
    if (!found) return flaw('missing', `generation ${ref.generation} is not in the replica`)
    if (!isRecorded(found, ref))
      return flaw(
        'wrong-body',
        `recorded generation ${ref.generation}, ${ref.storedBytes} bytes, crc32c ${ref.crc32c}; found ${found.generation}, ${found.size}, ${found.crc32c}`,
      )
    return found.condemned ? flaw('condemned', 'marked for deletion although a manifest names it') : undefined
  }
}
