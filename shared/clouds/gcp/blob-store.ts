import type { Bucket, FileMetadata, Storage } from '@google-cloud/storage'
import { randomBytes } from 'node:crypto'
import pRetry from 'p-retry'
import { CorruptError } from '../../errors.ts'
import type { BlobStat, BlobStore } from '../../ports.ts'
import { crcNumber } from '../../weights/checksums.ts'
import { isObjectMissing, isPassing, messageOf, statusOf, translateError } from './errors.ts'
import { errorText, send } from './request.ts'
import { REQUEST_TIMEOUT_MS } from './storage-client.ts'

/** `retentionMode` Locked can never be shortened by anyone; what an object has once must stay the store's mode. */
export type GcsBlobStoreOptions = {
  storage: Storage
  bucket: string
  prefix?: string
  retentionMode?: 'Locked' | 'Unlocked'
}

const FIELDS = 'name,size,crc32c,md5Hash,generation,metageneration,metadata,retention,timeCreated'
const LIST_FIELDS = `items(${FIELDS}),nextPageToken`
const PAGE_NAMES = 1000
const ANSWER_BYTES_MAX = 2 ** 20
const RETRIES = 5
const RETRY_DELAY_MS = 500

const toBase64 = (crc32c: number): string => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(crc32c)
  return bytes.toString('base64')
}

const toStat = (name: string, meta: FileMetadata): BlobStat => {
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

type Place = { storage: Storage; bucket: Bucket; prefix: string; at: (name: string) => string }

const statBlob = async ({ bucket, prefix, at }: Place, name: string): Promise<BlobStat | undefined> => {
  try {
    const [meta] = await bucket.file(prefix + name).getMetadata()
    return toStat(name, meta)
  } catch (error) {
    if (isObjectMissing(error)) return undefined
    throw translateError('stat', at(name), error)
  }
}

/** Tries again what passes, as often and with the waits that the client was given. */
const retried = <T>(storage: Storage, attempt: () => Promise<T>): Promise<T> =>
  pRetry(attempt, {
    retries: storage.retryOptions.maxRetries ?? RETRIES,
    minTimeout: RETRY_DELAY_MS,
    randomize: true,
    shouldRetry: ({ error }) => isPassing(error),
  })

/** A request with the client's authentication; throws an error with `code` for any other answer than 2xx. */
const call = async (
  { storage }: Place,
  options: Omit<Parameters<typeof send>[0], 'headers' | 'timeoutMs'> & { contentType?: string },
): Promise<Uint8Array> => {
  const { contentType, ...request } = options
  const authorization = Object.fromEntries(await storage.authClient.getRequestHeaders(request.url))
  const headers = { ...authorization, ...(contentType === undefined ? {} : { 'content-type': contentType }) }
  const { status, body } = await send({ ...request, headers, timeoutMs: REQUEST_TIMEOUT_MS })
  if (status >= 200 && status < 300) return body
  throw Object.assign(new Error(errorText(body)), { code: status })
}

const createBlob = async (
  place: Place,
  name: string,
  body: Uint8Array,
  options: Parameters<BlobStore['create']>[2] = {},
): Promise<BlobStat | undefined> => {
  const { storage, bucket, prefix, at } = place
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
      url: `${storage.apiEndpoint}/upload/storage/v1/b/${bucket.name}/o?${query}`,
      contentType: `multipart/related; boundary=${boundary}`,
      parts: [...parts, Buffer.from(`\r\n--${boundary}--`)],
      bytesMax: ANSWER_BYTES_MAX,
      what: `create ${at(name)}`,
    })
    return toStat(name, JSON.parse(Buffer.from(answer).toString('utf8')) as FileMetadata)
  }
  try {
    return await retried(storage, upload)
  } catch (error) {
    if (nameExists(error)) return undefined
    throw translateError('create', at(name), error)
  }
}

type Download = { place: Place; name: string; generation?: string | undefined; bytesMax: number }

/** One attempt at a whole body. */
const download = async ({ place, name, generation, bytesMax }: Download): Promise<Uint8Array> => {
  const { storage, bucket, prefix, at } = place
  const query = new URLSearchParams({ alt: 'media', ...(generation === undefined ? {} : { generation }) }).toString()
  const url = `${storage.apiEndpoint}/storage/v1/b/${bucket.name}/o/${encodeURIComponent(prefix + name)}?${query}`
  return call(place, { method: 'GET', url, bytesMax, what: `read ${at(name)}` })
}

const readBlob = async (
  place: Place,
  name: string,
  options: { generation?: string; bytesMax?: number } = {},
): Promise<Uint8Array | undefined> => {
  const { generation, bytesMax = Infinity } = options
  try {
    return await retried(place.storage, () => download({ place, name, generation, bytesMax }))
  } catch (error) {
    if (isObjectMissing(error)) return undefined
    throw translateError('read', place.at(name), error)
  }
}

async function* listBlobs({ bucket, prefix, at }: Place, under: string, from?: string): AsyncGenerator<BlobStat> {
  const startOffset = from === undefined ? {} : { startOffset: prefix + from }
  let pageToken: string | undefined
  do {
    const query = {
      prefix: prefix + under,
      ...startOffset,
      maxResults: PAGE_NAMES,
      fields: LIST_FIELDS,
      autoPaginate: false,
    }
    const answer = await bucket
      .getFiles({ ...query, ...(pageToken === undefined ? {} : { pageToken }) })
      .catch((error: unknown) => {
        throw translateError('list', at(under), error)
      })
    const [, next, page] = answer as [unknown, { pageToken?: string } | null, { items?: FileMetadata[] }]
    for (const meta of page.items ?? []) yield toStat((meta.name ?? '').slice(prefix.length), meta)
    pageToken = next?.pageToken
  } while (pageToken !== undefined)
}

const updateBlob = async (
  { bucket, prefix, at }: Place,
  mode: 'Locked' | 'Unlocked',
  ...[blob, change]: Parameters<BlobStore['update']>
): Promise<BlobStat> => {
  const { metadata, retainUntil } = change
  const retention =
    retainUntil === undefined ? {} : { retention: { mode, retainUntilTime: new Date(retainUntil).toISOString() } }
  try {
    const [meta] = await bucket
      .file(prefix + blob.name)
      .setMetadata(
        { ...(metadata ? { metadata } : {}), ...retention },
        { ifGenerationMatch: blob.generation, ifMetagenerationMatch: blob.metageneration },
      )
    return toStat(blob.name, meta)
  } catch (error) {
    throw translateError('update', at(blob.name), error)
  }
}

/**
 * A bucket under `prefix`. Retries (throttling, 5xx, network, with jitter) are the SDK's: every write carries a
 * precondition, so a write whose reply was lost answers as if someone else had made it.
 */
export const createGcsBlobStore = (options: GcsBlobStoreOptions): BlobStore => {
  const { storage, retentionMode = 'Unlocked' } = options
  const prefix = options.prefix ? options.prefix.replace(/\/*$/, '/') : ''
  const at = (name: string): string => `gs://${options.bucket}/${prefix}${name}`
  const place: Place = { storage, bucket: storage.bucket(options.bucket), prefix, at }
  return {
    stat: (name) => statBlob(place, name),
    create: (name, body, created) => createBlob(place, name, body, created),
    read: (name, wanted) => readBlob(place, name, wanted),
    list: (under, { from } = {}) => listBlobs(place, under, from),
    update: (blob, change) => updateBlob(place, retentionMode, blob, change),
  }
}
