import type { Bucket, FileMetadata, Storage } from '@google-cloud/storage'
import type { BlobStat, BlobStore } from '../../ports.ts'
import { type BodyPlace, createBlob, readBlob, toStat } from './blob-bodies.ts'
import { isObjectMissing, translateError } from './errors.ts'

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
const RETRIES = 5

type Place = BodyPlace & { bucket: Bucket }

const statBlob = async ({ bucket, prefix, at }: Place, name: string): Promise<BlobStat | undefined> => {
  try {
    const [meta] = await bucket.file(prefix + name).getMetadata()
    return toStat(name, meta)
  } catch (error) {
    if (isObjectMissing(error)) return undefined
    throw translateError('stat', at(name), error)
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
  const place: Place = {
    auth: storage.authClient,
    apiEndpoint: storage.apiEndpoint,
    // As often and with the waits that the client was given.
    retriesMax: storage.retryOptions.maxRetries ?? RETRIES,
    bucketName: options.bucket,
    bucket: storage.bucket(options.bucket),
    prefix,
    at,
  }
  return {
    stat: (name) => statBlob(place, name),
    create: (name, body, created) => createBlob(place, name, body, created),
    read: (name, wanted) => readBlob(place, name, wanted),
    list: (under, { from } = {}) => listBlobs(place, under, from),
    update: (blob, change) => updateBlob(place, retentionMode, blob, change),
  }
}
