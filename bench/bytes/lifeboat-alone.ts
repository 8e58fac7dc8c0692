/**
 * Two versions of a model through the pipeline in this process alone: what the functions do with their own wiring on the S3
 * and GCS of the environment, one message after the other, the ledger and the queues in memory. Takes BUCKET and the keys
 * of both versions as JSON, prints one line of JSON.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { collectLessOften } from '../../shared/collector.ts'
import { createMemoryChunkIndex, createMemoryLedger } from '../../shared/clouds/memory/ledger.ts'
import { createMemoryQueue } from '../../shared/clouds/memory/queue.ts'
import { createMemoryChain, createMemoryReleaseLedger } from '../../shared/clouds/memory/release-ledger.ts'
import { createMemoryTelemetry } from '../../shared/clouds/memory/telemetry.ts'
import type { BlobStore } from '../../shared/ports.ts'
import { commitObject } from '../../shared/weights/commit.ts'
import type { WeightsDeps } from '../../shared/weights/deps.ts'
import type { PlanMessage, WorkMessage } from '../../shared/weights/messages.ts'
import { planObject, ruleFor } from '../../shared/weights/plan.ts'
import { publishName } from '../../shared/weights/release-rules.ts'
import { evaluateRelease } from '../../shared/weights/release.ts'
import { work } from '../../shared/weights/work.ts'
import { wireWeights } from '../../shared/wiring.ts'

/**
 * `bodyBytes` of the files' chunks and deltas, `recordBytes` of everything else, the marker's own bytes too; CPU of all
 * threads; memory is absent without /proc.
 */
export type VersionAlone = {
  bodyBytes: number
  recordBytes: number
  seconds: number
  cpuSeconds: number
  rssMaxBytes?: number
}

const stepsMax = 100_000
const deadline = { remainingMs: () => 3_600_000 }

type Sizes = { bodyBytes: number; recordBytes: number }

/** Counts what is created, by what it is. */
const counting = (store: BlobStore, sizes: Sizes): BlobStore => ({
  ...store,
  create: async (name, body, options) => {
    const made = await store.create(name, body, options)
    if (made) sizes[/^(chunks|deltas)\//.test(name) ? 'bodyBytes' : 'recordBytes'] += made.size
    return made
  },
})

type Pipeline = { deps: WeightsDeps; drain: () => Promise<void> }

const createPipeline = (sizes: Sizes): Pipeline => {
  const ready: (() => Promise<unknown>)[] = []
  const ledger = createMemoryLedger({
    onReady: (traceId) => ready.push(async () => commitObject(deps, traceId, deadline)),
  })
  const evaluate = async (bucket: string, prefix: string): Promise<void> => {
    const release = await deps.releases.get(bucket, prefix)
    if (release) await evaluateRelease(deps, bucket, release)
  }
  const workQueue = createMemoryQueue<WorkMessage>()
  const wired = wireWeights().deps
  const deps: WeightsDeps = {
    ...wired,
    store: counting(wired.store, sizes),
    objects: ledger.objects,
    segments: ledger.segments,
    digests: ledger.digests,
    chunks: createMemoryChunkIndex(),
    releases: createMemoryReleaseLedger((bucket, prefix) => ready.push(async () => evaluate(bucket, prefix))),
    chain: createMemoryChain(),
    objectsQueue: createMemoryQueue<PlanMessage>(),
    workQueue,
    telemetry: createMemoryTelemetry(),
  }
  const drain = async (): Promise<void> => {
    for (let step = 0; step < stepsMax; step += 1) {
      const message = workQueue.messages.shift()
      const next = message === undefined ? ready.shift() : async () => work(deps, message, deadline)
      if (!next) return
      await next()
    }
    throw new Error('the pipeline does not come to rest')
  }
  return { deps, drain }
}

/** Linux counts the peak anew from here: proc_pid_clear_refs(5). */
const forgetPeak = (): void => {
  try {
    writeFileSync('/proc/self/clear_refs', '5')
  } catch {
    // Elsewhere nothing is read either.
  }
}

const peakBytes = (): number | undefined => {
  try {
    const kibibytes = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]
    return kibibytes === undefined ? undefined : Number(kibibytes) * 1024
  } catch {
    return undefined
  }
}

const replicate = async (
  { deps, drain }: Pipeline,
  sizes: Sizes,
  bucket: string,
  keys: readonly string[],
): Promise<VersionAlone> => {
  const before = { ...sizes }
  forgetPeak()
  const cpuBefore = process.cpuUsage()
  const startedAt = performance.now()
  for (const key of keys) {
    const object = await deps.source.head({ bucket, key })
    const rule = ruleFor(deps.config, bucket, key)
    if (!object || !rule) throw new Error(`s3://${bucket}/${key} is not there, or not configured`)
    const bodiesBefore = sizes.bodyBytes
    const { row: planned } = await planObject(deps, rule, object)
    await drain()
    if (key.endsWith(`/${publishName}`)) {
      sizes.recordBytes += sizes.bodyBytes - bodiesBefore
      sizes.bodyBytes = bodiesBefore
    }
    const row = await deps.objects.get(planned.traceId)
    if (row?.state !== 'protected') throw new Error(`s3://${bucket}/${key} ended as ${row?.state}`)
  }
  const seconds = (performance.now() - startedAt) / 1000
  const { user, system } = process.cpuUsage(cpuBefore)
  const peak = peakBytes()
  return {
    bodyBytes: sizes.bodyBytes - before.bodyBytes,
    recordBytes: sizes.recordBytes - before.recordBytes,
    seconds,
    cpuSeconds: (user + system) / 1e6,
    ...(peak === undefined ? {} : { rssMaxBytes: peak }),
  }
}

if (import.meta.main) {
  collectLessOften()
  const [bucket = '', keys = '[]'] = process.argv.slice(2)
  const sizes: Sizes = { bodyBytes: 0, recordBytes: 0 }
  const pipeline = createPipeline(sizes)
  const versions: VersionAlone[] = []
  for (const version of JSON.parse(keys) as string[][]) versions.push(await replicate(pipeline, sizes, bucket, version))
  process.stdout.write(`${JSON.stringify(versions)}\n`)
  process.exit(0)
}
