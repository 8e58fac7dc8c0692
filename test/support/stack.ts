import {
  CreateBucketCommand,
  PutBucketNotificationConfigurationCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
} from '@aws-sdk/client-s3'
import { GetQueueAttributesCommand, SendMessageCommand, SQSClient } from '@aws-sdk/client-sqs'
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Fault } from '../../local/http.ts'
import { type LocalStack, startStack } from '../../local/stack.ts'
import { createNumbers } from '../../local/start/synthetic-model.ts'
import { createGcsBlobStore } from '../../shared/clouds/gcp/blob-store.ts'
import { createStorage } from '../../shared/clouds/gcp/storage-client.ts'
import type { BlobStore } from '../../shared/ports.ts'
import {
  cancelledSchema,
  type ObjectManifest,
  objectManifestSchema,
  parseRecord,
} from '../../shared/weights/manifest.ts'
import { chunksOfParts, readSmallObject } from '../../shared/weights/read.ts'
import { bodyName } from '../../shared/weights/store.ts'
import { type CliRun, runCli } from './cli.ts'

/** The whole of Lifeboat over real sockets, for the tests of test/stack and the evidence of bench/evidence. */

export const account = '111122223333'
/** Versioned and plain; suspended; and one that announces nothing, so that its events are sent by the test. */
export const buckets = ['models', 'plain', 'suspended', 'silent'] as const
export type SourceBucket = (typeof buckets)[number]

// One text for every test: the stack is packaged once for each configuration.
const configText = `formatVersion: 1
source: { account: "${account}", region: us-east-1 }
replica: { project: lifeboat-local, bucket: replica }
retention: { days: 1 }
rpo: { objectsMinutes: 1 }
buckets:
${buckets.map((name) => `  - { name: ${name}, release: { settleSeconds: 1, quietMinutes: 60 } }`).join('\n')}
`

const cacheDir = fileURLToPath(new URL('../../.cache/stack', import.meta.url))

export type TestStack = {
  stack: LocalStack
  sqs: SQSClient
  /** The replica as a principal sees it; the restorer unless named. */
  store(principal?: string): BlobStore
  put(bucket: string, key: string, body: Uint8Array | string): Promise<string | undefined>
  queueUrl(name: string): string
  /** Messages in a queue, hidden ones too. */
  messages(name: string): Promise<number>
  sendToObjects(body: unknown): Promise<void>
  setFaults(service: 'gcs' | 's3' | 'dynamodb' | 'sqs', faults: Fault[]): Promise<Fault[]>
  faults(service: 'gcs'): Promise<Fault[]>
  stats<T>(service: 'gcs' | 's3'): Promise<T>
  /** Everything that the instances of a function have written. */
  log(name: 'planObject' | 'copySegment' | 'commitObject' | 'measureLag'): string
  cli(args: readonly string[]): Promise<CliRun>
  stop(): Promise<void>
}

const createBucket = async ({ s3 }: LocalStack, Bucket: SourceBucket): Promise<void> => {
  await s3.send(new CreateBucketCommand({ Bucket }))
  const version = async (Status: 'Enabled' | 'Suspended'): Promise<unknown> =>
    s3.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration: { Status } }))
  if (Bucket === 'models' || Bucket === 'suspended') await version('Enabled')
  if (Bucket === 'suspended') await version('Suspended')
  if (Bucket === 'silent') return
  const NotificationConfiguration = { EventBridgeConfiguration: {} }
  await s3.send(new PutBucketNotificationConfigurationCommand({ Bucket, NotificationConfiguration }))
}

export const until = async <T>(
  check: () => Promise<T | undefined | false>,
  what: string | (() => Promise<string>),
  timeoutMs = 120_000,
): Promise<T> => {
  const deadline = Date.now() + timeoutMs
  for (;;) {
    const found = await check()
    if (found !== undefined && found !== false) return found
    if (Date.now() > deadline)
      throw new Error(`after ${timeoutMs / 1000} s still not: ${typeof what === 'string' ? what : await what()}`)
    await sleep(100)
  }
}

const openStore = (stack: LocalStack, principal: string): BlobStore => {
  const { project, bucket, prefix } = stack.config.replica
  const token = `${principal}@${project}.iam.gserviceaccount.com`
  const storage = createStorage({ projectId: project, endpoint: stack.clouds.endpoints.gcs, token })
  return createGcsBlobStore({ storage, bucket, prefix })
}

const readLog = (dir: string, name: string): string => {
  try {
    return readFileSync(join(dir, 'lambda', 'logs', `lifeboat-local-${name}.jsonl`), 'utf8')
  } catch {
    return ''
  }
}

/** Starts a stack of its own over `dir`; options as of startStack. */
export const startTestStack = async (
  dir: string,
  options: { redeliverSeconds?: number; rolesFile?: string; scheduleSpeed?: number } = {},
): Promise<TestStack> => {
  mkdirSync(dir, { recursive: true })
  const configFile = join(dir, 'lifeboat.yml')
  writeFileSync(configFile, configText)
  const stack = await startStack({ dir, configFile, cacheDir, buckets: false, scheduleSpeed: 20, ...options })
  const { endpoints } = stack.clouds
  const credentials = { accessKeyId: 'local', secretAccessKey: 'local' }
  const sqs = new SQSClient({ endpoint: endpoints.sqs, region: 'us-east-1', credentials })
  const queueUrl = (name: string): string => `${endpoints.sqs}/${account}/lifeboat-local-${name}`
  const control = async <T>(service: keyof typeof endpoints, path: string, init?: RequestInit): Promise<T> =>
    (await (await fetch(`${endpoints[service]}/_lifeboat/${path}`, init)).json()) as T
  for (const bucket of buckets) await createBucket(stack, bucket)
  const store = (principal = 'lifeboat-restorer'): BlobStore => openStore(stack, principal)
  return {
    stack,
    sqs,
    store,
    put: async (Bucket, Key, Body) =>
      (await stack.s3.send(new PutObjectCommand({ Bucket, Key, Body: Buffer.from(Body) }))).VersionId,
    queueUrl,
    messages: async (name) => {
      const AttributeNames = ['ApproximateNumberOfMessages', 'ApproximateNumberOfMessagesNotVisible'] as const
      const { Attributes } = await sqs.send(
        new GetQueueAttributesCommand({ QueueUrl: queueUrl(name), AttributeNames: [...AttributeNames] }),
      )
      return AttributeNames.reduce((sum, attribute) => sum + Number(Attributes?.[attribute] ?? 0), 0)
    },
    sendToObjects: async (body) => {
      const MessageBody = typeof body === 'string' ? body : JSON.stringify(body)
      await sqs.send(new SendMessageCommand({ QueueUrl: queueUrl('objects'), MessageBody }))
    },
    setFaults: (service, faults) => control(service, 'faults', { method: 'PUT', body: JSON.stringify(faults) }),
    faults: (service) => control(service, 'faults'),
    stats: (service) => control(service, 'stats'),
    log: (name) => readLog(dir, name),
    cli: (args) => runCli(args, { openReplica: async () => ({ store: store(), url: 'gs://replica/' }) }),
    stop: async () => {
      sqs.destroy()
      await stack.stop()
    },
  }
}

/** What S3 tells EventBridge of one object. */
export const createdEvent = (bucket: string, key: string, about: { etag?: string; versionId?: string } = {}) => ({
  version: '0',
  id: createHash('md5').update(`${bucket}/${key}`).digest('hex'),
  'detail-type': 'Object Created',
  source: 'aws.s3',
  account,
  time: '2026-01-01T00:00:00Z',
  region: 'us-east-1',
  resources: [`arn:aws:s3:::${bucket}`],
  detail: {
    version: '0',
    bucket: { name: bucket },
    object: {
      key,
      size: 1,
      ...(about.etag === undefined ? {} : { etag: about.etag }),
      ...(about.versionId === undefined ? {} : { 'version-id': about.versionId }),
      sequencer: '00',
    },
    reason: 'PutObject',
  },
})

/** Bytes without any pattern, the same for the same seed. */
export const noise = (seed: number, size: number): Buffer => {
  const next = createNumbers(seed)
  const words = Uint32Array.from({ length: Math.ceil(size / 4) }, next)
  return Buffer.from(words.buffer, 0, size)
}

export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

export type Manifest = { name: string; object: ObjectManifest }

/** Every sealed manifest of the keys that `wanted` says. */
export const manifestsOf = async (
  store: BlobStore,
  wanted: (source: ObjectManifest['source']) => boolean = () => true,
): Promise<Manifest[]> => {
  const found: Manifest[] = []
  for await (const { name } of store.list('objects/')) {
    const record = parseRecord(objectManifestSchema.or(cancelledSchema), name, (await store.read(name))!)
    if (record.format === 'lifeboat/object' && wanted(record.source)) found.push({ name, object: record })
  }
  return found
}

/** The bytes that a manifest stands for, every chunk rehashed. */
export const contentOf = async (store: BlobStore, object: ObjectManifest): Promise<Buffer> =>
  Buffer.from(await readSmallObject(store, object, 2 ** 28))

/** What a manifest names and the replica lacks, or has in another generation. */
export const missingBodies = async (store: BlobStore, { name, object }: Manifest): Promise<string[]> => {
  const missing: string[] = []
  const look = async (body: string, generation: string): Promise<void> => {
    const stat = await store.stat(body)
    if (stat?.generation !== generation) missing.push(`${body}#${generation} of ${name}`)
  }
  for (const part of object.parts) await look(bodyName(part, 'part'), part.generation)
  for await (const { ref } of chunksOfParts(store, object.parts)) await look(bodyName(ref, 'chunk'), ref.generation)
  return missing
}
