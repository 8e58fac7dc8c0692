import {
  type DeleteMarkerEntry,
  GetObjectAttributesCommand,
  GetObjectCommand,
  type HeadObjectCommandOutput,
  HeadObjectCommand,
  ListObjectVersionsCommand,
  type ObjectVersion,
  type S3Client,
} from '@aws-sdk/client-s3'
import { setTimeout as sleep } from 'node:timers/promises'
import { mapInOrder } from '../../bounded.ts'
import { NotFoundError, SupersededError, UnavailableError } from '../../errors.ts'
import type {
  ObjectRef,
  ObjectSource,
  SourceChecksum,
  SourceObject,
  SourcePart,
  SourceVersionEntry,
  VersionCursor,
  VersionPage,
} from '../../ports.ts'
import { translateAwsError, translated } from './errors.ts'

const headsInFlight = 16
const readTriesMax = 4

const unquoted = (etag: string | undefined): string => (etag ?? '').replaceAll('"', '')
const realVersion = (id: string | undefined): { versionId?: string } =>
  id === undefined || id === 'null' ? {} : { versionId: id }
const where = (ref: ObjectRef): string =>
  `s3://${ref.bucket}/${ref.key}${ref.versionId === undefined ? '' : `#${ref.versionId}`}`

const checksumsOf = (output: HeadObjectCommandOutput): SourceChecksum[] => {
  const type = output.ChecksumType === 'COMPOSITE' ? 'COMPOSITE' : 'FULL_OBJECT'
  const found: [SourceChecksum['algorithm'], string | undefined][] = [
    ['CRC64NVME', output.ChecksumCRC64NVME],
    ['CRC32C', output.ChecksumCRC32C],
    ['CRC32', output.ChecksumCRC32],
    ['SHA256', output.ChecksumSHA256],
    ['SHA1', output.ChecksumSHA1],
  ]
  return found.flatMap(([algorithm, value]) =>
    value === undefined ? [] : [{ algorithm, type: value.includes('-') ? 'COMPOSITE' : type, value }],
  )
}

const archiveClasses = new Set(['GLACIER', 'DEEP_ARCHIVE'])

/** A restored copy can be read while it lasts, and the class stays as it was. */
const isArchived = ({ StorageClass, ArchiveStatus, Restore }: HeadObjectCommandOutput): boolean =>
  (archiveClasses.has(StorageClass ?? '') || ArchiveStatus !== undefined) &&
  Restore?.includes('ongoing-request="false"') !== true

const sourceObject = (ref: ObjectRef, output: HeadObjectCommandOutput): SourceObject => {
  const etag = unquoted(output.ETag)
  const partsCount = /-(\d+)$/.exec(etag)?.[1]
  const isEncrypted =
    output.ServerSideEncryption?.startsWith('aws:kms') === true || output.SSECustomerAlgorithm !== undefined
  return {
    bucket: ref.bucket,
    key: ref.key,
    ...realVersion(output.VersionId),
    etag,
    lastModified: output.LastModified?.getTime() ?? 0,
    size: output.ContentLength ?? 0,
    checksums: checksumsOf(output),
    ...(partsCount === undefined ? {} : { partsCount: Number(partsCount) }),
    ...(output.ContentType === undefined ? {} : { contentType: output.ContentType }),
    ...(output.ContentEncoding === undefined ? {} : { contentEncoding: output.ContentEncoding }),
    ...(Object.keys(output.Metadata ?? {}).length === 0 ? {} : { metadata: output.Metadata ?? {} }),
    ...(output.StorageClass === undefined ? {} : { storageClass: output.StorageClass }),
    ...(isArchived(output) ? { isArchived: true } : {}),
    ...(isEncrypted ? { etagIsOpaque: true } : {}),
  }
}

const params = (ref: ObjectRef & { etag?: string }) => ({
  Bucket: ref.bucket,
  Key: ref.key,
  VersionId: ref.versionId,
  ...(ref.etag === undefined ? {} : { IfMatch: `"${ref.etag}"` }),
})

type Answer = { name?: string; $metadata?: { httpStatusCode?: number }; cause?: Answer }
const statusOf = (error: unknown): number => {
  const { $metadata, cause } = error as Answer
  return ($metadata ?? cause?.$metadata)?.httpStatusCode ?? 0
}
const isGone = (error: unknown): boolean => {
  const { name } = error as Answer
  return name === 'NoSuchKey' || name === 'NoSuchVersion' || [404, 405, 412].includes(statusOf(error))
}

const gone = (object: ObjectRef & { etag: string }, cause?: unknown): SupersededError =>
  new SupersededError(`${where(object)} with ETag ${object.etag} is no longer in the source`, { cause })

/** One call about exactly this version; throws SupersededError when it is gone or another. */
const ofThisVersion = async <T>(
  object: ObjectRef & { etag: string },
  operation: string,
  call: () => Promise<T>,
): Promise<T> => {
  try {
    return await call()
  } catch (error) {
    throw isGone(error) ? gone(object, error) : translateAwsError(error, operation)
  }
}

/** One GET of [start, end) that gives what arrives; throws SupersededError when the version is gone or another. */
async function* getRange(
  client: S3Client,
  object: ObjectRef & { etag: string },
  start: number,
  end: number,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  try {
    const output = await client.send(
      new GetObjectCommand({ ...params(object), Range: `bytes=${start}-${end - 1}` }),
      signal ? { abortSignal: signal } : {},
    )
    if (!output.Body) throw new UnavailableError(`${where(object)}: an answer without a body`)
    yield* output.Body as unknown as AsyncIterable<Uint8Array>
  } catch (error) {
    if (isGone(error)) throw gone(object, error)
    throw translateAwsError(error, `read ${where(object)} from byte ${start}`)
  }
}

/** A cut connection goes on from the byte that it reached: the version and ETag are fixed, so the bytes are the same. */
async function* readResuming(
  client: S3Client,
  object: ObjectRef & { etag: string },
  start: number,
  end: number,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  let position = start
  let tries = 0
  while (position < end) {
    try {
      for await (const bytes of getRange(client, object, position, end, signal)) {
        position += bytes.length
        tries = 0
        yield bytes
      }
      if (position < end) throw new UnavailableError(`${where(object)}: the answer ended at byte ${position} of ${end}`)
    } catch (error) {
      tries += 1
      if (!(error instanceof UnavailableError) || tries >= readTriesMax || signal?.aborted) throw error
      await sleep(100 * 2 ** tries)
    }
  }
}

async function* partsByHead(
  client: S3Client,
  object: ObjectRef & { etag: string; partsCount: number },
): AsyncGenerator<SourcePart> {
  const numbers = Array.from({ length: object.partsCount }, (_, index) => index + 1)
  yield* mapInOrder(numbers, headsInFlight, async (number) => {
    const output = await ofThisVersion(object, `head part ${number} of ${where(object)}`, () =>
      client.send(new HeadObjectCommand({ ...params(object), PartNumber: number })),
    )
    return { number, size: output.ContentLength ?? 0 }
  })
}

async function* partsByAttributes(client: S3Client, object: ObjectRef & { etag: string }): AsyncGenerator<SourcePart> {
  let marker: string | undefined
  do {
    const output = await ofThisVersion(object, `list the parts of ${where(object)}`, () =>
      client.send(
        new GetObjectAttributesCommand({
          Bucket: object.bucket,
          Key: object.key,
          VersionId: object.versionId,
          ObjectAttributes: ['ObjectParts', 'ETag'],
          PartNumberMarker: marker,
          MaxParts: 1000,
        }),
      ),
    )
    // GetObjectAttributes takes no If-Match.
    if (unquoted(output.ETag) !== object.etag) throw gone(object)
    for (const part of output.ObjectParts?.Parts ?? []) {
      const checksum =
        part.ChecksumSHA256 ?? part.ChecksumSHA1 ?? part.ChecksumCRC32C ?? part.ChecksumCRC32 ?? part.ChecksumCRC64NVME
      yield { number: part.PartNumber ?? 0, size: part.Size ?? 0, ...(checksum === undefined ? {} : { checksum }) }
    }
    marker = output.ObjectParts?.IsTruncated ? output.ObjectParts.NextPartNumberMarker : undefined
  } while (marker !== undefined)
}

const decode = (key: string | undefined): string => decodeURIComponent((key ?? '').replaceAll('+', ' '))

const versionEntry = (version: ObjectVersion): SourceVersionEntry => ({
  ...markerEntry(version),
  etag: unquoted(version.ETag),
  size: version.Size ?? 0,
  ...(archiveClasses.has(version.StorageClass ?? '') ? { isArchived: true } : {}),
})

const markerEntry = ({ Key, VersionId, IsLatest, LastModified }: DeleteMarkerEntry): SourceVersionEntry => ({
  key: decode(Key),
  ...realVersion(VersionId),
  isLatest: IsLatest === true,
  lastModified: LastModified?.getTime() ?? 0,
})

async function* listVersionPages(
  client: S3Client,
  bucket: string,
  prefix: string,
  from?: VersionCursor,
  entriesMax?: number,
): AsyncGenerator<VersionPage> {
  let cursor = from
  do {
    const at = { KeyMarker: cursor?.key, VersionIdMarker: cursor?.versionId }
    const page = await translated(`list versions of s3://${bucket}/${prefix}`, () =>
      client.send(
        new ListObjectVersionsCommand({
          Bucket: bucket,
          Prefix: prefix,
          ...at,
          EncodingType: 'url',
          MaxKeys: entriesMax,
        }),
      ),
    )
    const { NextKeyMarker, NextVersionIdMarker } = page
    cursor = page.IsTruncated
      ? { key: decode(NextKeyMarker), ...(NextVersionIdMarker === undefined ? {} : { versionId: NextVersionIdMarker }) }
      : undefined
    const entries = [...(page.Versions ?? []).map(versionEntry), ...(page.DeleteMarkers ?? []).map(markerEntry)]
    yield { entries, ...(cursor && { next: cursor }) }
  } while (cursor !== undefined)
}

/** The source of objects on S3. */
export const createS3Source = (client: S3Client): ObjectSource => ({
  head: async (ref) => {
    try {
      const output = await translated(`head ${where(ref)}`, () =>
        client.send(new HeadObjectCommand({ ...params(ref), ChecksumMode: 'ENABLED' })),
      )
      return sourceObject(ref, output)
    } catch (error) {
      // A delete marker that is named by its version answers 405.
      if (error instanceof NotFoundError || statusOf(error) === 405) return undefined
      throw error
    }
  },
  read: (object, start, end, signal) => readResuming(client, object, start, end, signal),
  parts: async function* parts(object) {
    let found = 0
    for await (const part of partsByAttributes(client, object)) {
      found += 1
      yield part
    }
    // S3 lists parts only where the object has a checksum of its own.
    if (found === 0) yield* partsByHead(client, object)
  },
  versions: async function* versions(bucket, prefix) {
    for await (const { entries } of listVersionPages(client, bucket, prefix)) yield* entries
  },
  versionPages: (bucket, prefix, from, entriesMax) => listVersionPages(client, bucket, prefix, from, entriesMax),
})
