/**
 * The copy of one published object in this process alone: the functions' own wiring on the clouds of the environment, the
 * ledger in memory, one segment after the other. Takes BUCKET and KEY, prints one line of JSON.
 */
import { collectLessOften } from '../shared/collector.ts'
import { createMemoryChunkIndex, createMemoryLedger } from '../shared/clouds/memory/ledger.ts'
import { createMemoryQueue } from '../shared/clouds/memory/queue.ts'
import { createMemoryTelemetry } from '../shared/clouds/memory/telemetry.ts'
import { copySegment } from '../shared/weights/copy.ts'
import type { WeightsDeps } from '../shared/weights/deps.ts'
import { workMessageSchema, type WorkMessage } from '../shared/weights/messages.ts'
import { planObject } from '../shared/weights/plan.ts'
import { wireWeights } from '../shared/wiring.ts'

/** `cpuSeconds` of every thread of the process while it copied; RSS in bytes, `idle` before anything was read. */
export type CopyAlone = {
  seconds: number
  cpuSeconds: number
  bytesSent: number
  chunks: number
  rssIdleBytes: number
  rssMaxBytes: number
}

const copyOne = async (bucket: string, key: string): Promise<CopyAlone> => {
  const ledger = createMemoryLedger()
  const workQueue = createMemoryQueue<WorkMessage>()
  const telemetry = createMemoryTelemetry()
  const deps: WeightsDeps = {
    ...wireWeights().deps,
    ...ledger,
    chunks: createMemoryChunkIndex(),
    workQueue,
    telemetry,
  }
  const object = await deps.source.head({ bucket, key })
  const rule = deps.config.buckets[0]
  if (!object || !rule) throw new Error(`s3://${bucket}/${key} is not there, or no bucket is configured`)
  await planObject(deps, rule, object)
  const rssIdleBytes = process.memoryUsage.rss()
  const cpuBefore = process.cpuUsage()
  const startedAt = performance.now()
  for (const text of workQueue.messages.splice(0)) {
    const message = workMessageSchema.parse(JSON.parse(text))
    if (message.kind !== 'segment') throw new Error(`a plan of the bench sent a ${message.kind}`)
    const outcome = await copySegment(deps, message, { remainingMs: () => 3_600_000 })
    if (outcome !== 'copied') throw new Error(`the segment at ${message.offset} ended as ${outcome}`)
  }
  const seconds = (performance.now() - startedAt) / 1000
  const { user, system } = process.cpuUsage(cpuBefore)
  return {
    seconds,
    cpuSeconds: (user + system) / 1e6,
    bytesSent: telemetry.total('BytesSent'),
    chunks: telemetry.total('ChunksSent'),
    rssIdleBytes,
    rssMaxBytes: process.resourceUsage().maxRSS * 1024,
  }
}

if (import.meta.main) {
  collectLessOften()
  const [bucket = '', key = ''] = process.argv.slice(2)
  process.stdout.write(`${JSON.stringify(await copyOne(bucket, key))}\n`)
  process.exit(0)
}
