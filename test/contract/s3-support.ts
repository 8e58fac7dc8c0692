import { createHash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  GetObjectCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  S3Client,
  type S3ClientConfig,
} from '@aws-sdk/client-s3'
import { type S3Options, type S3Server, startS3 } from '../../local/s3/server.ts'

/** What a check gets: a real SDK client and a bucket of its own without versioning. */
export type Subject = { client: S3Client; bucket: string }
export type Checks = Record<string, (subject: Subject) => Promise<void>>

export const mebibyte = 2 ** 20

/** Bytes that differ everywhere and are the same in every run. */
export const bytesOf = (size: number, seed = 1): Buffer => {
  const bytes = Buffer.alloc(size)
  let state = (seed * 2654435761) >>> 0
  for (let at = 0; at < size; at += 1) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    bytes[at] = state >>> 24
  }
  return bytes
}

export const md5 = (bytes: Uint8Array): string => createHash('md5').update(bytes).digest('hex')

export const setVersioning = async ({ client, bucket }: Subject, status: 'Enabled' | 'Suspended'): Promise<void> => {
  await client.send(new PutBucketVersioningCommand({ Bucket: bucket, VersioningConfiguration: { Status: status } }))
}

export const putObject = ({ client, bucket }: Subject, key: string, body: Uint8Array | string, more = {}) =>
  client.send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: body, ...more }))

export const getObject = async ({ client, bucket }: Subject, key: string, more = {}) => {
  const answer = await client.send(new GetObjectCommand({ Bucket: bucket, Key: key, ...more }))
  return { ...answer, bytes: Buffer.from(await answer.Body!.transformToByteArray()) }
}

export const nine = '123456789'

type Failure = Error & {
  $metadata?: { httpStatusCode?: number }
  $response?: { headers: Record<string, string> }
}

/** What a refused request was refused with. */
export const failureOf = async (
  sent: Promise<unknown>,
): Promise<{ name: string; status: number | undefined; headers: Record<string, string> }> => {
  const error = await sent.then(
    () => undefined,
    (reason: unknown) => reason as Failure,
  )
  if (!error) throw new Error('the request was accepted')
  return { name: error.name, status: error.$metadata?.httpStatusCode, headers: error.$response?.headers ?? {} }
}

export const clientOf = (endpoint: string, more: S3ClientConfig = {}): S3Client =>
  new S3Client({
    endpoint,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: { accessKeyId: 'x', secretAccessKey: 'x' },
    ...more,
  })

/** The embedded server on a folder of its own, both gone after `stop`. */
export const startEmbedded = async (
  options: Partial<S3Options> = {},
): Promise<{ server: S3Server; client: S3Client; dir: string; stop: () => Promise<void> }> => {
  const dir = options.dir ?? (await mkdtemp(join(tmpdir(), 's3-contract-')))
  const server = await startS3({ ...options, dir })
  const client = clientOf(server.url)
  const stop = async (): Promise<void> => {
    client.destroy()
    await server.close()
    await rm(dir, { recursive: true, force: true, maxRetries: 3 })
  }
  return { server, client, dir, stop }
}
