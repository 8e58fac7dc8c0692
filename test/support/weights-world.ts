import { createCipheriv } from 'node:crypto'
import { createMemoryBlobStore, type MemoryBlobStore } from '../../shared/clouds/memory/blob-store.ts'
import { createMemoryChunkIndex, createMemoryLedger, type MemoryChunkIndex } from '../../shared/clouds/memory/ledger.ts'
import { createMemoryQueue, type MemoryQueue } from '../../shared/clouds/memory/queue.ts'
import { createMemoryChain, createMemoryReleaseLedger } from '../../shared/clouds/memory/release-ledger.ts'
import { createMemorySource, type MemorySource, type Versioning } from '../../shared/clouds/memory/source.ts'
import { type OnStep, withSteps } from '../../shared/clouds/memory/steps.ts'
import { createMemoryTelemetry, type MemoryTelemetry } from '../../shared/clouds/memory/telemetry.ts'
import { type Config, parseConfig } from '../../shared/config.ts'
import type { SourceObject } from '../../shared/ports.ts'
import { evaluateRelease } from '../../shared/weights/release.ts'
import { commitObject } from '../../shared/weights/commit.ts'
import type { Brake, Deadline, WeightsDeps } from '../../shared/weights/deps.ts'
import type { ObjectRow } from '../../shared/weights/ledger.ts'
import {
  failedSchema,
  type FailedRecord,
  type ObjectManifest,
  objectManifestSchema,
  parseRecord,
  type ReleaseManifest,
  releaseManifestSchema,
  waitingSchema,
  type WaitingRecord,
} from '../../shared/weights/manifest.ts'
import type { PlanMessage, WorkMessage } from '../../shared/weights/messages.ts'
import { chunksOfParts, readChunk } from '../../shared/weights/read.ts'
import { receiveMessage } from '../../shared/weights/receive.ts'
import { sweep } from '../../shared/weights/sweep.ts'
import { work } from '../../shared/weights/work.ts'

/** The whole pipeline over memory: what the functions, queues and the ledger's stream do, one step at a time. */

export const account = '111122223333'
export const bucketName = 'models'
export const ample: Deadline = { remainingMs: () => 900_000 }

/** Repeatable: mulberry32, https://gist.github.com/tommyettinger/46a874533244883189143505d203312c */
export const seeded = (seed: number): (() => number) => {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Bytes that no codec makes smaller, the same for the same seed. */
export const noise = (bytes: number, seed = 1): Buffer => {
  const key = Buffer.alloc(16)
  key.writeUInt32BE(seed)
  return createCipheriv('aes-128-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(bytes))
}

/** A safetensors file of tensors of U8, each of so many bytes. */
export const safetensorsOf = (tensors: Record<string, number>, seed = 1): Buffer => {
  let offset = 0
  const entries = Object.entries(tensors).map(([name, bytes]) => {
    const begin = offset
    offset += bytes
    return [name, { dtype: 'U8', shape: [bytes], data_offsets: [begin, offset] }]
  })
  const json = Buffer.from(JSON.stringify(Object.fromEntries(entries)))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(json.length))
  return Buffer.concat([length, json, noise(offset, seed)])
}

const worldStart = Date.UTC(2026, 0, 1)

/** `at` and `tick` are the world's clock in ms. */
export type World = {
  deps: WeightsDeps
  config: Config
  source: MemorySource
  store: MemoryBlobStore
  chunks: MemoryChunkIndex
  telemetry: MemoryTelemetry
  objectsQueue: MemoryQueue<PlanMessage>
  workQueue: MemoryQueue<WorkMessage>
  /** Trace ids that the ledger's stream has announced. */
  ready: string[]
  rows: () => ObjectRow[]
  now: () => number
  tick: (ms: number) => void
  /** Puts an object and sends its event; `quiet` sends none. */
  publish: (
    key: string,
    body: Uint8Array,
    options?: Parameters<MemorySource['put']>[3] & { quiet?: boolean },
  ) => SourceObject
  announce: (object: SourceObject, times?: number) => void
  /** Handles messages and triggers until there are none; what fails is tried again, `triesMax` times in all. */
  run: (options?: {
    triesMax?: number
    /** Chooses what comes next, uniform in [0, 1): the oldest where absent. */
    pick?: () => number
    deadline?: Deadline
    /** A record of the stream that fails does not come again: the sweep finds what it announced. */
    losesTriggers?: boolean
    brake?: Brake
  }) => Promise<unknown[]>
  /** Takes a message or trigger at random and answers the call that handles it; undefined when there is none. */
  take: (pick: () => number) => (() => Promise<void>) | undefined
  sweep: () => ReturnType<typeof sweep>
  manifests: () => Promise<ObjectManifest[]>
  releases: () => Promise<ReleaseManifest[]>
  failures: () => Promise<FailedRecord[]>
  waits: () => Promise<WaitingRecord[]>
  restore: (manifest: ObjectManifest) => Promise<Buffer>
  /** Names under a folder of the replica, such as `chunks/`. */
  names: (folder: string) => string[]
}

export type WorldOptions = {
  versioning?: Versioning
  onStep?: OnStep
  segmentBytesMax?: number
  release?: Record<string, unknown>
  retentionDays?: number
  seed?: number
  now?: () => number
  /** Of the source's listings. */
  pageEntries?: number
}

export const eventOf = (object: SourceObject): string =>
  JSON.stringify({
    version: '0',
    id: 'e',
    source: 'aws.s3',
    'detail-type': 'Object Created',
    account,
    time: new Date(object.lastModified).toISOString(),
    detail: {
      bucket: { name: object.bucket },
      object: {
        key: object.key,
        etag: object.etag,
        size: object.size,
        ...(object.versionId === undefined ? {} : { 'version-id': object.versionId }),
      },
    },
  })

const configs = new Map<string, Config>()

const configOf = (options: WorldOptions): Config => {
  const text = JSON.stringify({
    formatVersion: 1,
    source: { account, region: 'eu-west-1' },
    replica: { project: 'replica-project', bucket: 'replica' },
    buckets: [{ name: bucketName, ...(options.release ? { release: options.release } : {}) }],
    retention: { days: options.retentionDays ?? 30 },
  })
  const config = configs.get(text) ?? parseConfig(text, { stage: 'test', file: 'lifeboat.yml' })
  configs.set(text, config)
  return config
}

const readers = (store: MemoryBlobStore) => {
  const all = async <T>(prefix: string, read: (name: string, body: Uint8Array) => T): Promise<T[]> => {
    const found: T[] = []
    for (const name of store.names().filter((candidate) => candidate.startsWith(prefix))) {
      const body = await store.read(name)
      if (body && !Buffer.from(body).includes('"format": "lifeboat/cancelled"')) found.push(read(name, body))
    }
    return found
  }
  return {
    manifests: async () => all('objects/', (name, body) => parseRecord(objectManifestSchema, name, body)),
    releases: async () => all('releases/', (name, body) => parseRecord(releaseManifestSchema, name, body)),
    failures: async () => all('failed/', (name, body) => parseRecord(failedSchema, name, body)),
    waits: async () => all('waiting/', (name, body) => parseRecord(waitingSchema, name, body)),
    restore: async (manifest: ObjectManifest) => {
      const parts: Uint8Array[] = []
      for await (const { ref } of chunksOfParts(store, manifest.parts)) parts.push(await readChunk(store, ref))
      return Buffer.concat(parts)
    },
  }
}

/** What the committer does with one record of the ledger's stream: a trace id, or an order to evaluate a release. */
const onReady = async (deps: WeightsDeps, order: string, deadline: Deadline): Promise<void> => {
  if (!order.startsWith('{')) return void (await commitObject(deps, order, deadline))
  const { bucket, prefix } = JSON.parse(order) as { bucket: string; prefix: string }
  const release = await deps.releases.get(bucket, prefix)
  if (release) await evaluateRelease(deps, bucket, release)
}

export const createWorld = (options: WorldOptions = {}): World => {
  let at = options.now?.() ?? worldStart
  const clock = { now: () => at }
  const next = seeded(options.seed ?? 1)
  const ready: string[] = []
  const { pageEntries } = options
  const source = createMemorySource({ clock, ...(pageEntries === undefined ? {} : { pageEntries }) })
  source.createBucket(bucketName, options.versioning ?? 'versioned')
  const store = createMemoryBlobStore({ now: clock.now })
  const ledger = createMemoryLedger({ onReady: (traceId) => void ready.push(traceId) })
  const chunks = createMemoryChunkIndex()
  const telemetry = createMemoryTelemetry()
  const objectsQueue = createMemoryQueue<PlanMessage>()
  const workQueue = createMemoryQueue<WorkMessage>()
  const watched = <T extends object>(name: string, port: T): T =>
    options.onStep ? withSteps(name, port, options.onStep) : port
  const deps: WeightsDeps = {
    config: configOf(options),
    source: watched('source', source),
    store: watched('store', store),
    objects: watched('objects', ledger.objects),
    segments: watched('segments', ledger.segments),
    digests: watched('digests', ledger.digests),
    chunks: watched('chunks', chunks),
    releases: watched(
      'releases',
      createMemoryReleaseLedger((bucket, prefix) => void ready.push(JSON.stringify({ bucket, prefix }))),
    ),
    chain: watched('chain', createMemoryChain()),
    objectsQueue: watched('objectsQueue', objectsQueue),
    workQueue: watched('workQueue', workQueue),
    telemetry,
    clock,
    random: {
      next,
      hex: (bytes) => Array.from({ length: bytes * 2 }, () => Math.floor(next() * 16).toString(16)).join(''),
    },
    ...(options.segmentBytesMax === undefined ? {} : { segmentBytesMax: options.segmentBytesMax }),
  }

  const handlers = (deadline: Deadline, brake?: Brake) => [
    { from: objectsQueue.messages, handle: async (message: string) => receiveMessage(deps, message) },
    { from: workQueue.messages, handle: async (message: string) => work(deps, message, deadline, brake) },
    { from: ready, handle: async (order: string) => onReady(deps, order, deadline) },
  ]
  const take: World['take'] = (pick) => {
    const busy = handlers(ample).filter(({ from }) => from.length > 0)
    const chosen = busy[Math.floor(pick() * busy.length)]
    if (!chosen) return undefined
    const [message = ''] = chosen.from.splice(Math.floor(pick() * chosen.from.length), 1)
    return async () => {
      try {
        await chosen.handle(message)
      } catch (error) {
        chosen.from.push(message)
        throw error
      }
    }
  }
  const run: World['run'] = async (how = {}) => {
    const { triesMax = 1, pick = () => 0, deadline = ample, losesTriggers = false, brake } = how
    const failed: unknown[] = []
    const tries = new Map<string, number>()
    for (let step = 0; step < 100_000; step += 1) {
      const busy = handlers(deadline, brake).filter(({ from }) => from.length > 0)
      const chosen = busy[Math.floor(pick() * busy.length)]
      if (!chosen) return failed
      const [message = ''] = chosen.from.splice(Math.floor(pick() * chosen.from.length), 1)
      try {
        await chosen.handle(message)
      } catch (error) {
        failed.push(error)
        const tried = (tries.get(message) ?? 0) + 1
        tries.set(message, tried)
        if (tried < triesMax && !(losesTriggers && chosen.from === ready)) chosen.from.push(message)
      }
    }
    throw new Error('the world does not come to rest')
  }
  const announce: World['announce'] = (object, times = 1) => {
    for (let time = 0; time < times; time += 1) objectsQueue.messages.push(eventOf(object))
  }
  return {
    deps,
    config: deps.config,
    source,
    store,
    chunks,
    telemetry,
    objectsQueue,
    workQueue,
    ready,
    rows: () => ledger.rows(),
    now: clock.now,
    tick: (ms) => {
      at += ms
    },
    publish: (key, body, { quiet = false, ...put } = {}) => {
      const object = source.put(bucketName, key, body, put)
      if (!quiet) announce(object)
      return object
    },
    announce,
    run,
    take,
    sweep: async () => sweep(deps, ample),
    ...readers(store),
    names: (folder) => store.names().filter((name) => name.startsWith(folder)),
  }
}
