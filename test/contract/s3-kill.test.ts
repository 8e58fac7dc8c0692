import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  CompleteMultipartUploadCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  GetObjectCommand,
  ListObjectVersionsCommand,
  PutBucketNotificationConfigurationCommand,
  PutObjectCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { type Delivery, type Receiver, startReceiver } from './s3-receiver.ts'
import { bytesOf, clientOf, md5, mebibyte, setVersioning } from './s3-support.ts'

const server = new URL('../../local/s3/server.ts', import.meta.url).href
const program = `
  const { startS3 } = await import(${JSON.stringify(server)})
  const { url } = await startS3({ dir: process.env.DIR, eventsUrl: process.env.EVENTS })
  process.stdout.write(url + '\\n')
`

/** The server as a process of its own; `url` once it listens. */
const spawnServer = async (dir: string, eventsUrl: string): Promise<{ child: ChildProcess; url: string }> => {
  const child = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', program],
    {
      env: { ...process.env, DIR: dir, EVENTS: eventsUrl },
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  return { child, url: String(line).trim() }
}

const kill = async (child: ChildProcess): Promise<void> => {
  const gone = once(child, 'exit')
  child.kill('SIGKILL')
  await gone
}

let dir: string
let receiver: Receiver
let running: ChildProcess | undefined
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 's3-kill-'))
  receiver = await startReceiver()
})
afterAll(async () => {
  if (running) await kill(running)
  await receiver.close()
  await rm(dir, { recursive: true, force: true })
})

test('a SIGKILL in a burst of puts loses nothing that was acknowledged, and no event', async () => {
  const Bucket = 'burst'
  const first = await spawnServer(dir, receiver.url)
  running = first.child
  let client = clientOf(first.url, { maxAttempts: 1 })
  await client.send(new CreateBucketCommand({ Bucket }))
  await setVersioning({ client, bucket: Bucket }, 'Enabled')
  const NotificationConfiguration = { EventBridgeConfiguration: {} }
  await client.send(new PutBucketNotificationConfigurationCommand({ Bucket, NotificationConfiguration }))
  const upload = await client.send(new CreateMultipartUploadCommand({ Bucket, Key: 'parts' }))
  const at = { Bucket, Key: 'parts', UploadId: upload.UploadId }
  const partBytes = bytesOf(5 * mebibyte, 3)
  const partOne = await client.send(new UploadPartCommand({ ...at, PartNumber: 1, Body: partBytes }))

  const deliveries: Delivery[] = []
  receiver.failNext(1_000_000)
  const acknowledged = new Map<string, { seed: number; versionId: string }>()
  let next = 0
  const writer = async (): Promise<void> => {
    for (;;) {
      const seed = (next += 1)
      const sent = client.send(new PutObjectCommand({ Bucket, Key: `k${seed}`, Body: bytesOf(seed * 997, seed) }))
      const done = await sent.catch(() => undefined)
      if (!done) return
      acknowledged.set(`k${seed}`, { seed, versionId: done.VersionId! })
    }
  }
  const writers = Array.from({ length: 6 }, writer)
  await vi.waitFor(() => expect(acknowledged.size).toBeGreaterThan(100), { timeout: 20_000, interval: 5 })
  await kill(first.child)
  await Promise.all(writers)
  client.destroy()

  receiver.failNext(0)
  const second = await spawnServer(dir, receiver.url)
  running = second.child
  client = clientOf(second.url)
  for (const [Key, { seed, versionId }] of acknowledged) {
    const { Body, VersionId } = await client.send(new GetObjectCommand({ Bucket, Key }))
    expect(VersionId).toBe(versionId)
    const read = md5(await Body!.transformToByteArray())
    expect([Key, read]).toEqual([Key, md5(bytesOf(seed * 997, seed))])
  }
  const partTwo = await client.send(new UploadPartCommand({ ...at, PartNumber: 2, Body: 'end' }))
  const Parts = [partOne, partTwo].map(({ ETag }, index) => ({ ETag, PartNumber: index + 1 }))
  await client.send(new CompleteMultipartUploadCommand({ ...at, MultipartUpload: { Parts } }))

  const { Versions = [] } = await client.send(new ListObjectVersionsCommand({ Bucket }))
  const stored = new Map(Versions.map(({ Key, VersionId }) => [Key!, VersionId!]))
  await vi.waitFor(
    () => {
      deliveries.push(...receiver.take())
      const told = new Map(
        deliveries.map(({ event }) => [event!.detail.object.key, event!.detail.object['version-id']!]),
      )
      expect(told).toEqual(stored)
    },
    { timeout: 15_000, interval: 50 },
  )
  // One file per stored single object and two of the upload: what the killed process was writing is gone.
  expect((await readdir(join(dir, 'bodies'))).length).toBe(stored.size + 1)
  client.destroy()
})
