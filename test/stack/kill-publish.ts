import { PutObjectCommand, type S3Client } from '@aws-sdk/client-s3'
import { setTimeout as sleep } from 'node:timers/promises'
import { createModel, type createNumbers, safetensorsBytes } from '../../local/start/synthetic-model.ts'
import { noise, sha256 } from '../support/stack.ts'

/** The stream of publishes that goes on while everything is killed. */

/** `files` maps each path to the SHA-256 of its content. */
export type PublishedRelease = { model: string; version: string; files: Map<string, string> }
export type Publisher = {
  releases: PublishedRelease[]
  /** Publishes one more, after those that are under way. */
  publishNext(): Promise<void>
}

const bucket = 'models'
const retryMs = 300
const retriesMax = 200

/** A publisher tries until S3 has taken it, as any would; a reply that was lost makes a second version of the same bytes. */
const put = async (s3: S3Client, Key: string, Body: Buffer): Promise<string | undefined> => {
  for (let tries = 0; ; tries += 1) {
    try {
      return (await s3.send(new PutObjectCommand({ Bucket: bucket, Key, Body }))).VersionId
    } catch (error) {
      if (tries === retriesMax) throw error
      await sleep(retryMs)
    }
  }
}

/**
 * A release has a safetensors file of which most tensors are those of the model's version before, opaque bytes of up to
 * 1.5 MB and an empty file. Every publish also replaces one object that belongs to no release.
 */
export const createPublisher = (s3: S3Client, next: ReturnType<typeof createNumbers>): Publisher => {
  const releases: PublishedRelease[] = []
  let round = 0
  let last: Promise<void> = Promise.resolve()
  const publish = async (): Promise<void> => {
    const number = (round += 1)
    const model = `m${number % 3}`
    const version = `v${number}`
    const base = createModel(1 + (number % 3), 3, 64 * 1024)
    const tensors = base.tensors.map((tensor, index) => (index === 1 ? { ...tensor, seed: 7000 + number } : tensor))
    const files = new Map<string, Buffer>([
      ['weights.safetensors', safetensorsBytes({ ...base, tensors })],
      ['extra.bin', noise(next(), 100_000 + (next() % 1_400_000))],
      ['config.json', Buffer.from(JSON.stringify({ number }))],
      ['EMPTY', Buffer.alloc(0)],
    ])
    const listed: { key: string; size: number; sha256: string; versionId?: string }[] = []
    for (const [key, body] of files) {
      const versionId = await put(s3, `${model}/${version}/${key}`, body)
      listed.push({ key, size: body.length, sha256: sha256(body), ...(versionId === undefined ? {} : { versionId }) })
    }
    await put(s3, 'latest.json', Buffer.from(JSON.stringify({ model, version })))
    await put(s3, `${model}/${version}/_PUBLISH.json`, Buffer.from(JSON.stringify({ files: listed })))
    releases.push({ model, version, files: new Map(listed.map((file) => [file.key, file.sha256])) })
  }
  return {
    releases,
    publishNext: async () => {
      last = last.then(publish)
      await last
    },
  }
}
