import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { type LocalStack, startStack } from '../local/stack.ts'
import { type LocalFile, uploadFile } from '../local/start/publish.ts'
import { toArray } from '../shared/bounded.ts'
import { createGcsBlobStore } from '../shared/clouds/gcp/blob-store.ts'
import { createStorage } from '../shared/clouds/gcp/storage-client.ts'
import type { BlobStore } from '../shared/ports.ts'
import { readObjectManifest } from '../shared/weights/restore-read.ts'

/** Lifeboat on the embedded clouds for a benchmark, in a folder that is gone afterwards. */

export const bucket = 'models'
export const copyFunction = 'lifeboat-local-copySegment'
export const cacheDir = fileURLToPath(new URL('../.cache/stack', import.meta.url))
const sealTimeoutMs = 30 * 60_000
const pollMs = 200

export const configText = `formatVersion: 1
source: { account: "111122223333", region: us-east-1 }
replica: { project: lifeboat-local, bucket: replica, bigtableInstance: replica }
buckets: [{ name: ${bucket} }]
retention: { days: 0 }
`

/** Where generated files and clouds go; `LIFEBOAT_BENCH_DIR` names another disk. */
export const withFolder = async <T>(work: (dir: string) => Promise<T>): Promise<T> => {
  const parent = process.env['LIFEBOAT_BENCH_DIR'] ?? tmpdir()
  await mkdir(parent, { recursive: true })
  const dir = await mkdtemp(join(parent, 'lifeboat-bench-'))
  try {
    return await work(dir)
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}

export const writeConfig = async (dir: string): Promise<string> => {
  const configFile = join(dir, 'lifeboat.yml')
  await writeFile(configFile, configText)
  return configFile
}

/** Two instances of each function, as on a machine of two cores. */
export const withStack = async <T>(work: (stack: LocalStack) => Promise<T>): Promise<T> =>
  withFolder(async (dir) => {
    const stack = await startStack({ dir, configFile: await writeConfig(dir), cacheDir, instancesMax: 2 })
    try {
      return await work(stack)
    } finally {
      await stack.stop()
    }
  })

export const openReplica = (stack: LocalStack): BlobStore =>
  createGcsBlobStore({
    storage: createStorage({
      projectId: stack.config.replica.project,
      endpoint: stack.clouds.endpoints.gcs,
      token: 'lifeboat-restorer',
    }),
    bucket: stack.config.replica.bucket,
  })

export const functionsOfObjects = ['planObject', 'copySegment', 'commitObject'].map((name) => `lifeboat-local-${name}`)

/** Runs every function of objects once without work, so that no cold start is measured. */
export const warmUp = async (stack: LocalStack): Promise<void> => {
  for (const name of functionsOfObjects) {
    const url = `${stack.runner().url}/2015-03-31/functions/${name}/invocations`
    const response = await fetch(url, { method: 'POST', body: '{"Records":[]}' })
    const text = await response.text()
    if (response.headers.has('x-amz-function-error')) throw new Error(`${name} fails without work: ${text}`)
  }
}

/** The most memory that any instance of the copy function has held, as its own process says. */
export const copyRssMaxBytes = async (stack: LocalStack): Promise<number> => {
  const response = await fetch(`${stack.runner().url}/_lifeboat/stats`)
  const stats = (await response.json()) as Record<string, { rssMaxBytes: number }>
  return stats[copyFunction]?.rssMaxBytes ?? Number.NaN
}

/** `from` and `to` in ms: from the first segment's begin to the last one's end. */
export type CopyStage = { from: number; to: number; segments: number }

/** What the copy function itself logged of the segments that it copied since `since` (ms). */
export const copyStage = async (stack: LocalStack, since: number): Promise<CopyStage> => {
  const text = await readFile(join(stack.dir, 'lambda', 'logs', `${copyFunction}.jsonl`), 'utf8')
  const stage: CopyStage = { from: Number.POSITIVE_INFINITY, to: 0, segments: 0 }
  for (const line of text.split('\n')) {
    if (!line.includes('"segment copied"')) continue
    const { timestamp, seconds } = JSON.parse(line) as { timestamp: string; seconds: number }
    const to = Date.parse(timestamp)
    if (to < since) continue
    stage.from = Math.min(stage.from, to - seconds * 1000)
    stage.to = Math.max(stage.to, to)
    stage.segments += 1
  }
  return stage
}

/** `lagMs` from the end of the PUT to the sealed manifest. */
export type Replicated = { lagMs: number; copy: CopyStage }

/** Publishes one file, as a new version where the key is there, calls `onPublished`, and waits until its manifest is sealed. Throws when that takes half an hour. */
export const replicate = async (
  stack: LocalStack,
  key: string,
  file: LocalFile,
  onPublished: () => void = () => undefined,
): Promise<Replicated> => {
  const store = openReplica(stack)
  const folder = `objects/${bucket}/${key}/`
  const before = new Set((await toArray(store.list(folder))).map(({ name }) => name))
  await uploadFile(stack.s3, bucket, key, file)
  const publishedAt = Date.now()
  onPublished()
  while (Date.now() - publishedAt < sealTimeoutMs) {
    for await (const { name } of store.list(folder)) {
      if (before.has(name)) continue
      const { record } = await readObjectManifest(store, name)
      return { lagMs: Date.parse(record.sealedAt) - publishedAt, copy: await copyStage(stack, publishedAt) }
    }
    await sleep(pollMs)
  }
  throw new Error(`s3://${bucket}/${key} was not sealed after ${sealTimeoutMs / 60_000} minutes`)
}
