import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { BlobStore } from '../../shared/ports.ts'
import { parseRecord, type ReleaseManifest, releaseManifestSchema } from '../../shared/weights/manifest.ts'
import type { LocalStack } from '../stack.ts'

/** What moves while a publish is replicated, counted by the embedded clouds and by the functions' own metrics. */

export type Counters = {
  /** Bytes that S3 served to the functions. */
  bytesRead: number
  /** Bytes of bodies that arrived at the embedded GCS, refused ones too. */
  bytesSent: number
  /** Of those, bytes and creations under `chunks/`. */
  chunkBytesSent: number
  chunksSent: number
  chunksReused: number
  bytesSaved: number
  segments: number
}

const none: Counters = {
  bytesRead: 0,
  bytesSent: 0,
  chunkBytesSent: 0,
  chunksSent: 0,
  chunksReused: 0,
  bytesSaved: 0,
  segments: 0,
}

export const minus = (now: Counters, then: Counters): Counters => {
  const names = Object.keys(none) as (keyof Counters)[]
  return Object.fromEntries(names.map((name) => [name, now[name] - then[name]])) as Counters
}

type GcsStats = { bytesReceived: number; byPrefix: Record<string, { bytesReceived: number; creates: number }> }

const stats = async <T>(endpoint: string): Promise<T> =>
  (await (await fetch(`${endpoint}/_lifeboat/stats`)).json()) as T

/** Adds up the EMF lines that a function wrote since the last call. */
export const createMetricsTail = (file: string): ((add: (line: Record<string, unknown>) => void) => Promise<void>) => {
  let position = 0
  let rest = ''
  return async (add) => {
    const handle = await open(file).catch(() => undefined)
    if (!handle) return
    try {
      const { size } = await handle.stat()
      const bytes = Buffer.alloc(Math.max(0, size - position))
      await handle.read(bytes, 0, bytes.length, position)
      position = size
      const lines = (rest + bytes.toString('utf8')).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) if (line.includes('"_aws"')) add(JSON.parse(line) as Record<string, unknown>)
    } finally {
      await handle.close()
    }
  }
}

/** The values of a metric in a line: one, or a list of those of an invocation. */
export const numbersOf = (value: unknown): number[] =>
  [value].flat(2).filter((one): one is number => typeof one === 'number')

export const total = (value: unknown): number => numbersOf(value).reduce((sum, one) => sum + one, 0)

export const createCounters = (stack: LocalStack, dir: string): (() => Promise<Counters>) => {
  const tail = createMetricsTail(join(dir, 'lambda', 'logs', 'lifeboat-local-copySegment.jsonl'))
  const copied = { chunksReused: 0, bytesSaved: 0, segments: 0 }
  return async () => {
    await tail((line) => {
      copied.chunksReused += total(line['ChunksReused'])
      copied.bytesSaved += total(line['BytesSaved'])
      copied.segments += line['BytesRead'] === undefined ? 0 : 1
    })
    const { bytesRead } = await stats<{ bytesRead: number }>(stack.clouds.endpoints.s3)
    const gcs = await stats<GcsStats>(stack.clouds.endpoints.gcs)
    const chunks = gcs.byPrefix[`${stack.config.replica.bucket}/chunks`]
    return {
      bytesRead,
      bytesSent: gcs.bytesReceived,
      chunkBytesSent: chunks?.bytesReceived ?? 0,
      chunksSent: chunks?.creates ?? 0,
      ...copied,
    }
  }
}

const findRelease = async (store: BlobStore, model: string, version: string): Promise<ReleaseManifest | undefined> => {
  for await (const { name } of store.list('releases/')) {
    const body = await store.read(name)
    const release = body && parseRecord(releaseManifestSchema, name, body)
    if (release?.model === model && release.version === version) return release
  }
  return undefined
}

const pollMs = 100
const progressEveryMs = 250

/** Waits until the release of a version is in the replica. Throws with what is known when it takes longer than `timeoutMs`. */
export const waitForRelease = async (
  store: BlobStore,
  model: string,
  version: string,
  options: { timeoutMs: number; onProgress: () => Promise<void> },
): Promise<ReleaseManifest> => {
  const startedAt = Date.now()
  let shownAt = 0
  for (;;) {
    const release = await findRelease(store, model, version)
    if (release) return release
    const now = Date.now()
    if (now - startedAt > options.timeoutMs)
      throw new Error(
        `${model}@${version} was not in the replica after ${options.timeoutMs / 1000} s: see the logs of the functions`,
      )
    if (now - shownAt >= progressEveryMs) {
      shownAt = now
      await options.onProgress()
    }
    await sleep(pollMs)
  }
}
