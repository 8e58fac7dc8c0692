import type { FileMetadata } from '@google-cloud/storage'
import { randomBytes } from 'node:crypto'
import pRetry from 'p-retry'
import { CorruptError } from '../../errors.ts'
import type { BlobStat, BlobStore } from '../../ports.ts'
import { crcNumber } from '../../weights/checksums.ts'
import { isObjectMissing, isPassing, messageOf, statusOf, translateError } from './errors.ts'
import { errorText, REQUEST_TIMEOUT_MS, send } from './request.ts'

/** Bodies of objects by our own requests: nothing here loads the package's client. */

export type BodyPlace = {
  auth: { getRequestHeaders(url?: string): Promise<Headers> }
  apiEndpoint: string
  /** Tries after the first, of what passes. */
  retriesMax: number
  bucketName: string
  /** Empty, or it ends with a slash. */
  prefix: string
  at: (name: string) => string
}

const ANSWER_BYTES_MAX = 2 ** 20
const RETRY_DELAY_MS = 500

const toBase64 = (crc32c: number): string => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(crc32c)
  return bytes.toString('base64')
}

export const toStat = (name: string, meta: FileMetadata): BlobStat => {
  const { generation, metageneration, crc32c } = meta
  if (generation === undefined || metageneration === undefined || crc32c === undefined)
    throw new CorruptError(`the metadata of ${name} lacks generation, metageneration or crc32c`)
  const until = meta.retention?.retainUntilTime
  return {
    name,
    size: Number(meta.size ?? 0),
    crc32c: Buffer.from(crc32c, 'base64').readUInt32BE(),
    ...(meta.md5Hash === undefined ? {} : { md5: meta.md5Hash }),
    generation: String(generation),
    metageneration: String(metageneration),
    metadata: (meta.metadata ?? {}) as Record<string, string>,
    ...(until === undefined ? {} : { retainUntil: new Date(until).getTime() }),
    createdAt: Date.parse(meta.timeCreated ?? ''),
  }
}

/** A create that lost: the name exists. A caller without delete permission may learn it as a 403 about just that. */
const nameExists = (error: unknown): boolean =>
  statusOf(error) === 412 || (statusOf(error) === 403 && messageOf(error).includes('storage.objects.delete'))

const retried = <T>({ retriesMax }: BodyPlace, attempt: () => Promise<T>): Promise<T> =>
  pRetry(attempt, {
    retries: retriesMax,
    minTimeout: RETRY_DELAY_MS,
    randomize: true,
    shouldRetry: ({ error }) => isPassing(error),
  })

/** A request with the client's authentication; throws an error with `code` for any other answer than 2xx. */
const call = async (
  { auth }: BodyPlace,
  options: Omit<Parameters<typeof send>[0], 'headers' | 'timeoutMs'> & { contentType?: string },
): Promise<Uint8Array> => {
  const { contentType, ...request } = options
  const authorization = Object.fromEntries(await auth.getRequestHeaders(request.url))
  const headers = { ...authorization, ...(contentType === undefined ? {} : { 'content-type': contentType }) }
  const { status, body } = await send({ ...request, headers, timeoutMs: REQUEST_TIMEOUT_MS })
  if (status >= 200 && status < 300) return body
  throw Object.assign(new Error(errorText(body)), { code: status })
}

/** Create-only, as the port's `create`. */
export const createBlob = async (
  place: BodyPlace,
  name: string,
  body: Uint8Array,
  options: Parameters<BlobStore['create']>[2] = {},
): Promise<BlobStat | undefined> => {
  const { apiEndpoint, bucketName, prefix, at } = place
  const { metadata, contentType = 'application/octet-stream' } = options
  const crc32c = toBase64(options.crc32c ?? crcNumber('CRC32C', body))
  const resource = { name: prefix + name, contentType, crc32c, ...(metadata ? { metadata } : {}) }
  const boundary = randomBytes(16).toString('hex')
  const opening = `--${boundary}\r\ncontent-type: application/json; charset=UTF-8\r\n\r\n${JSON.stringify(resource)}\r\n`
  const parts = [Buffer.from(`${opening}--${boundary}\r\ncontent-type: ${contentType}\r\n\r\n`), body]
  const query = new URLSearchParams({ uploadType: 'multipart', name: resource.name, ifGenerationMatch: '0' }).toString()
  const upload = async (): Promise<BlobStat> => {
    const answer = await call(place, {
      method: 'POST',
      url: `${apiEndpoint}/upload/storage/v1/b/${bucketName}/o?${query}`,
      contentType: `multipart/related; boundary=${boundary}`,
      parts: [...parts, Buffer.from(`\r\n--${boundary}--`)],
      bytesMax: ANSWER_BYTES_MAX,
      what: `create ${at(name)}`,
    })
    return toStat(name, JSON.parse(Buffer.from(answer).toString('utf8')) as FileMetadata)
  }
  try {
    return await retried(place, upload)
  } catch (error) {
    if (nameExists(error)) return undefined
    throw translateError('create', at(name), error)
  }
}

type Download = { place: BodyPlace; name: string; generation?: string | undefined; bytesMax: number }

/** One attempt at a whole body. */
const download = async ({ place, name, generation, bytesMax }: Download): Promise<Uint8Array> => {
  const { apiEndpoint, bucketName, prefix, at } = place
  const query = new URLSearchParams({ alt: 'media', ...(generation === undefined ? {} : { generation }) }).toString()
  const url = `${apiEndpoint}/storage/v1/b/${bucketName}/o/${encodeURIComponent(prefix + name)}?${query}`
  return call(place, { method: 'GET', url, bytesMax, what: `read ${at(name)}` })
}

/** The whole body, as the port's `read`. */
export const readBlob = async (
  place: BodyPlace,
  name: string,
  options: { generation?: string; bytesMax?: number } = {},
): Promise<Uint8Array | undefined> => {
  const { generation, bytesMax = Infinity } = options
  try {
    return await retried(place, () => download({ place, name, generation, bytesMax }))
  } catch (error) {
    if (isObjectMissing(error)) return undefined
    throw translateError('read', place.at(name), error)
  }
}
