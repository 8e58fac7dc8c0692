/**
 * One instance's share of a copy from disk to disk: the code of the copy function, the ledger in memory. Takes FILE, FOLDER,
 * SHARE, SHARES and `checked` or `unchecked`; waits for a line on stdin, prints one line of JSON.
 */
import { once } from 'node:events'
import { stat } from 'node:fs/promises'
import { collectLessOften } from '../shared/collector.ts'
import { createMemoryChunkIndex, createMemoryLedger } from '../shared/clouds/memory/ledger.ts'
import { createMemoryChain, createMemoryReleaseLedger } from '../shared/clouds/memory/release-ledger.ts'
import { createMemoryQueue } from '../shared/clouds/memory/queue.ts'
import { createMemoryTelemetry } from '../shared/clouds/memory/telemetry.ts'
import { parseConfig } from '../shared/config.ts'
import type { SourceObject } from '../shared/ports.ts'
import { copySegment } from '../shared/weights/copy.ts'
import type { WeightsDeps } from '../shared/weights/deps.ts'
import type { Piece } from '../shared/weights/ledger.ts'
import type { PartRef } from '../shared/weights/manifest.ts'
import { workMessageSchema, type WorkMessage } from '../shared/weights/messages.ts'
import { planObject } from '../shared/weights/plan.ts'
import { encodeChecked, encodeUnchecked } from '../shared/weights/store.ts'
import { systemClock, systemRandom } from '../shared/wiring-common.ts'
import { createDiskSource, createDiskStore } from './disk.ts'
import { configText } from './local-stack.ts'

/** CPU of every thread. */
export type StageShare = { seconds: number; cpuSeconds: number; bytesSent: number; parts: PartRef[]; pieces: Piece[] }

/** As S3 describes an object by default: a CRC-64/NVME of the whole. Nothing here compares it. */
const describe = async (file: string): Promise<SourceObject> => ({
  bucket: 'models',
  key: 'model.safetensors',
  versionId: '1',
  etag: '0'.repeat(32),
  lastModified: 0,
  size: (await stat(file)).size,
  checksums: [{ algorithm: 'CRC64NVME', type: 'FULL_OBJECT', value: 'AAAAAAAAAAA=' }],
})

const [file = '', folder = '', share = '0', shares = '1', how = 'checked'] = process.argv.slice(2)
collectLessOften()
const ledger = createMemoryLedger()
const workQueue = createMemoryQueue<WorkMessage>()
const telemetry = createMemoryTelemetry()
const object = await describe(file)
const deps: WeightsDeps = {
  config: parseConfig(configText, { stage: 'local', file: 'lifeboat.yml' }),
  source: createDiskSource(file, object),
  store: createDiskStore(folder),
  ...ledger,
  releases: createMemoryReleaseLedger(),
  chain: createMemoryChain(),
  chunks: createMemoryChunkIndex(),
  objectsQueue: createMemoryQueue(),
  workQueue,
  telemetry,
  clock: systemClock,
  random: systemRandom,
  // Segments that shares can have as many of.
  segmentBytesMax: 64 * 2 ** 20,
  encode: how === 'checked' ? encodeChecked : encodeUnchecked,
}
const rule = deps.config.buckets[0]
if (!rule) throw new Error('no bucket is configured')
await planObject(deps, rule, object)
const mine = workQueue.messages.filter((_, index) => index % Number(shares) === Number(share))
process.stdout.write('ready\n')
await once(process.stdin, 'data')
const cpuBefore = process.cpuUsage()
const startedAt = performance.now()
const parts: PartRef[] = []
const pieces: Piece[] = []
for (const text of mine) {
  const message = workMessageSchema.parse(JSON.parse(text))
  if (message.kind !== 'segment') throw new Error(`a plan of the bench sent a ${message.kind}`)
  const outcome = await copySegment(deps, message, { remainingMs: () => 3_600_000 })
  if (outcome !== 'copied') throw new Error(`the segment at ${message.offset} ended as ${outcome}`)
  const done = await deps.segments.get(message.traceId, message.planId, message.offset)
  parts.push(...(done?.parts ?? []))
  pieces.push(...(done?.pieces ?? []))
}
const seconds = (performance.now() - startedAt) / 1000
const { user, system } = process.cpuUsage(cpuBefore)
const cpuSeconds = (user + system) / 1e6
const result: StageShare = { seconds, cpuSeconds, bytesSent: telemetry.total('BytesSent'), parts, pieces }
process.stdout.write(`${JSON.stringify(result)}\n`)
process.exit(0)
