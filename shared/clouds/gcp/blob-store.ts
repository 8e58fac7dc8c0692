import type { Bucket, FileMetadata, Storage } from '@google-cloud/storage'
import pRetry from 'p-retry'
import { CorruptError } from '../../errors.ts'
import type { BlobStat, BlobStore } from '../../ports.ts'
import { crcNumber } from '../../weights/checksums.ts'
import { isObjectMissing, isPassing, messageOf, statusOf, translateError } from './errors.ts'
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
const READ_RETRIES = 5
const READ_RETRY_DELAY_MS = 500

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

const createBlob: (place: Place, ...args: Parameters<BlobStore['create']>) => ReturnType<BlobStore['create']> = async (
  { bucket, prefix, at },
  name,
  body,
  options = {},
) => {
  const file = bucket.file(prefix + name)
  const { metadata, contentType = 'application/octet-stream' } = options
  const crc32c = toBase64(options.crc32c ?? crcNumber('CRC32C', body))
  try {
    await file.save(Buffer.from(body.buffer, body.byteOffset, body.byteLength), {
      resumable: false,
      validation: false,
      timeout: REQUEST_TIMEOUT_MS,
      contentType,
      metadata: { contentType, crc32c, ...(metadata ? { metadata } : {}) },
      preconditionOpts: { ifGenerationMatch: 0 },
    })
    return toStat(name, file.metadata)
  } catch (error) {
    if (nameExists(error)) return undefined
    throw translateError('create', at(name), error)
  }
}

type Download = { place: Place; name: string; generation?: string | undefined; bytesMax: number }

/**
 * One attempt at a whole body: the client's authentication on a plain fetch, at twice the speed of its streams, which
 * moreover leave a rejection that nobody handles when they retry a status, and that ends a Lambda.
 */
const download = async ({ place, name, generation, bytesMax }: Download): Promise<Uint8Array> => {
  const { storage, bucket, prefix, at } = place
  const query = new URLSearchParams({ alt: 'media', ...(generation === undefined ? {} : { generation }) }).toString()
  const url = `${storage.apiEndpoint}/storage/v1/b/${bucket.name}/o/${encodeURIComponent(prefix + name)}?${query}`
  const headers = await storage.authClient.getRequestHeaders(url)
  const response = await fetch(url, { headers, signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) })
  const failed = response.status !== 200
  const parts: Uint8Array[] = []
  let size = 0
  for await (const part of response.body ?? []) {
    size += part.length
    if (!failed && size > bytesMax)
      throw new CorruptError(`read ${at(name)}: more than the ${bytesMax} bytes it may have`)
    parts.push(part)
  }
  const body = Buffer.concat(parts, size)
  if (failed) throw Object.assign(new Error(String(body)), { code: response.status })
  return body
}

const readBlob = async (
  place: Place,
  name: string,
  options: { generation?: string; bytesMax?: number } = {},
): Promise<Uint8Array | undefined> => {
  const { generation, bytesMax = Infinity } = options
  try {
    return await pRetry(() => download({ place, name, generation, bytesMax }), {
      retries: READ_RETRIES,
      minTimeout: READ_RETRY_DELAY_MS,
      randomize: true,
      shouldRetry: ({ error }) => isPassing(error),
    })
  } catch (error) {
    if (isObjectMissing(error)) return undefined
    throw translateError('read', place.at(name), error)
  }
}

async function* listBlobs({ bucket, prefix, at }: Place, under: string): AsyncGenerator<BlobStat> {
  let pageToken: string | undefined
  do {
    const query = { prefix: prefix + under, maxResults: PAGE_NAMES, fields: LIST_FIELDS, autoPaginate: false }
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
    list: (under) => listBlobs(place, under),
    update: (blob, change) => updateBlob(place, retentionMode, blob, change),
  }
}
