import { mapInOrder } from '../bounded.ts'
import { ConflictError, CorruptError, NotFoundError } from '../errors.ts'
import type { BlobStat } from '../ports.ts'
import type { WeightsDeps } from './deps.ts'
import { type ChunkRef, chunksPartSchema, type PartRef, parseRecord } from './manifest.ts'
import { bodyName, readPart } from './store.ts'

/** The last look before a seal: every body that a manifest will name is there, is kept, and is the one that was recorded. */

/** Set by the collector on a body that nothing seems to name; see docs/format.md. */
export const condemnedKey = 'lifeboat-condemned'
const looksInFlight = 32
const raceTriesMax = 8

type Ref = { id: string; name?: string | undefined; storedBytes: number; crc32c: number; generation: string }

type Measured = Pick<BlobStat, 'generation' | 'size' | 'crc32c'>

/** Whether what is there is what was recorded. */
export const isRecorded = (stat: Measured, ref: Ref): boolean =>
  stat.generation === ref.generation && stat.size === ref.storedBytes && stat.crc32c === ref.crc32c

/** Retention is renewed when less than half of it is left, so that a reused chunk costs a write only now and then. */
const renewal = (deps: WeightsDeps, stat: BlobStat): number | undefined => {
  const days = deps.config.retention.days
  if (days === 0) return undefined
  const dayMs = 86_400_000
  const now = deps.clock.now()
  return (stat.retainUntil ?? 0) < now + (days * dayMs) / 2 ? now + days * dayMs : undefined
}

/** Looks at one body, takes back its condemnation and renews its retention. False when it is missing or another. */
export const keep = async (deps: WeightsDeps, name: string, ref: Ref): Promise<boolean> => {
  for (let tries = 0; tries < raceTriesMax; tries += 1) {
    const stat = await deps.store.stat(name)
    if (!stat || !isRecorded(stat, ref)) return false
    const retainUntil = renewal(deps, stat)
    const condemned = condemnedKey in stat.metadata
    if (!condemned && retainUntil === undefined) return true
    try {
      await deps.store.update(stat, {
        ...(condemned ? { metadata: { [condemnedKey]: null } } : {}),
        ...(retainUntil === undefined ? {} : { retainUntil }),
      })
      return true
    } catch (error) {
      if (error instanceof NotFoundError) return false
      if (!(error instanceof ConflictError)) throw error
    }
  }
  throw new ConflictError(`${name} changed ${raceTriesMax} times while it was kept for a manifest: try again`)
}

/** Renews the retention of a body or manifest that was just found, whatever it says. */
export const keepAsItIs = async (deps: WeightsDeps, { name, size, crc32c, generation }: BlobStat): Promise<boolean> =>
  keep(deps, name, { id: name, storedBytes: size, crc32c, generation })

const missingChunk = async (deps: WeightsDeps, chunks: readonly ChunkRef[]): Promise<ChunkRef | undefined> => {
  const look = async (chunk: ChunkRef): Promise<ChunkRef | undefined> =>
    (await keep(deps, bodyName(chunk, 'chunk'), chunk)) &&
    (!chunk.base || (await keep(deps, bodyName(chunk.base, 'chunk'), chunk.base)))
      ? undefined
      : chunk
  for await (const missing of mapInOrder(chunks, looksInFlight, look)) if (missing) return missing
  return undefined
}

/** The chunks that a part lists; undefined where its body is as recorded and wrong all the same. */
const chunksIn = async (deps: WeightsDeps, name: string, part: PartRef): Promise<ChunkRef[] | undefined> => {
  try {
    return parseRecord(chunksPartSchema, name, await readPart(deps.store, part)).chunks
  } catch (error) {
    if (error instanceof CorruptError) return undefined
    throw error
  }
}

/** What is missing of one part and the chunks that it lists, or undefined when all of it is kept. `isWrong`: its stored digests lie. */
export const missingOf = async (deps: WeightsDeps, part: PartRef): Promise<(Ref & { isWrong?: true }) | undefined> => {
  const name = bodyName(part, 'part')
  if (!(await keep(deps, name, part))) return part
  const chunks = await chunksIn(deps, name, part)
  if (!chunks) return { ...part, isWrong: true }
  const size = chunks.reduce((sum, chunk) => sum + chunk.length, 0)
  if (size !== part.size || chunks.length !== part.chunks) return part
  return missingChunk(deps, chunks)
}
