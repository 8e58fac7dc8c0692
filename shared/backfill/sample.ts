import * as z from 'zod'
import { ConflictError, isRetryable, SupersededError } from '../errors.ts'
import type { BlobStat, BlobStore, SourceObject } from '../ports.ts'
import { chunksOf } from '../weights/chunker.ts'
import type { Deadline, WeightsDeps } from '../weights/deps.ts'
import type { ChunkIndex } from '../weights/ledger.ts'
import type { ChunkRef } from '../weights/manifest.ts'
import { firstCuts } from '../weights/shape.ts'
import { type ChunkToStore, storeChunks } from '../weights/store-chunks.ts'

/** Objects that an estimate reads, cuts and encodes as a copy would, keeping nothing. */

const sampleBytesMax = 192 * 2 ** 20
/** Of one object, from its start. */
const sampleObjectBytesMax = 16 * 2 ** 20
const reserveMs = 60_000

const whole = z.number().nonnegative()
export const candidateSchema = z.object({
  hash: z.string(),
  key: z.string(),
  versionId: z.string().exactOptional(),
  size: whole,
  copies: whole,
})
export type Candidate = z.infer<typeof candidateSchema>

async function* nothing(): AsyncGenerator<BlobStat> {}

/** A replica that takes everything and keeps nothing, beside what the index says is in the true one. */
const dryStore = ({ chunks, clock, random, telemetry }: WeightsDeps) => {
  const known = new Map<string, ChunkRef>()
  const store: BlobStore = {
    stat: async () => undefined,
    create: async (name, body, options) => ({
      name,
      size: body.length,
      crc32c: options?.crc32c ?? 0,
      generation: '1',
      metageneration: '1',
      metadata: {},
      createdAt: 0,
    }),
    read: async () => undefined,
    list: nothing,
    update: async () => {
      throw new ConflictError('nothing is kept')
    },
  }
  const index: ChunkIndex = {
    lookup: async (id) => known.get(id) ?? chunks.lookup(id),
    record: async (refs) => {
      for (const ref of refs) known.set(ref.id.slice('sha256:'.length), ref)
    },
    forget: async (id) => void known.delete(id),
  }
  return { store, chunks: index, clock, random, telemetry }
}

async function* withTypes(
  chunks: AsyncIterable<Uint8Array>,
  how: 'gear' | { cuts: readonly { dtype?: string }[] },
): AsyncGenerator<ChunkToStore> {
  let index = 0
  for await (const plain of chunks) {
    yield { plain, dtype: how === 'gear' ? undefined : how.cuts[index]?.dtype }
    index += 1
  }
}

type Sampled = { objects: number; bytes: number; sent: number; chunks: number }

type Sample = Sampled & { unread: { copies: number; bytes: number; why?: string } }

/** One object as a copy would read and encode it: what is sent of it, and what is there already or comes twice. */
const readOne = async (
  weights: WeightsDeps,
  dry: ReturnType<typeof dryStore>,
  object: SourceObject,
): Promise<{ sent: number; chunks: number; end: number }> => {
  let sent = 0
  let chunks = 0
  const { how, end } = await firstCuts(weights, object, sampleObjectBytesMax)
  for await (const stored of storeChunks(
    dry,
    withTypes(chunksOf(weights.source.read(object, 0, end), how), how),
    true,
  )) {
    chunks += 1
    sent += stored.bytesSent
    await dry.chunks.record([stored.ref])
  }
  return { sent, chunks, end }
}

/** Reads and encodes what is sampled; what cannot be read, such as where its key is denied, is counted apart. */
export const readSample = async (
  weights: WeightsDeps,
  { bucket, sample, deadline }: { bucket: string; sample: readonly Candidate[]; deadline: Deadline },
): Promise<Sample> => {
  const dry = dryStore(weights)
  const total: Sample = { objects: 0, bytes: 0, sent: 0, chunks: 0, unread: { copies: 0, bytes: 0 } }
  let readBytes = 0
  for (const { key, versionId, copies, size } of sample) {
    if (readBytes >= sampleBytesMax || deadline.remainingMs() < reserveMs) break
    try {
      const object = await weights.source.head({
        bucket,
        key,
        ...(versionId === undefined ? {} : { versionId }),
      })
      if (!object || object.isArchived) continue
      const { sent, chunks, end } = await readOne(weights, dry, object)
      readBytes += end
      const scale = end === 0 ? 1 : object.size / end
      total.objects += copies
      total.bytes += object.size * copies
      total.sent += sent * scale
      total.chunks += chunks * scale * copies
    } catch (error) {
      if (isRetryable(error)) throw error
      // It was replaced meanwhile: nothing is wrong with it.
      if (error instanceof SupersededError) continue
      total.unread.copies += copies
      total.unread.bytes += size * copies
      total.unread.why ??= `s3://${bucket}/${key}: ${error instanceof Error ? error.message : String(error)}`
    }
  }
  return total
}
