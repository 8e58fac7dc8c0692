/** What the domain asks of the clouds. Adapters are in `shared/clouds/`; one contract suite per port in `test/contract/`. */

/** Milliseconds since the epoch. */
export type Clock = { now(): number }
/** `next` is uniform in [0, 1); `hex` is `bytes` random bytes as hex. */
export type Random = { next(): number; hex(bytes: number): string }

// ---------------------------------------------------------------- source: S3

/** `versionId` is absent where the bucket has no version ids (or the id is `null`). */
export type ObjectRef = { bucket: string; key: string; versionId?: string | undefined }

export type ChecksumAlgorithm = 'CRC64NVME' | 'CRC32' | 'CRC32C' | 'SHA256' | 'SHA1' | 'MD5'
/** `value` is base64 of the big-endian digest; COMPOSITE is the digest of the concatenated part digests. */
export type SourceChecksum = { algorithm: ChecksumAlgorithm; type: 'FULL_OBJECT' | 'COMPOSITE'; value: string }

/** One object version as the source describes it. `etag` is without quotes; `lastModified` in ms; `partsCount` where it was a multipart upload. */
export type SourceObject = ObjectRef & {
  etag: string
  lastModified: number
  size: number
  checksums: SourceChecksum[]
  partsCount?: number
  contentType?: string
  contentEncoding?: string
  metadata?: Record<string, string>
  storageClass?: string
  /** True where S3 does not give the bytes until they are restored from an archive. */
  isArchived?: boolean
  /** True where the ETag is not an MD5: KMS or customer-key encryption. */
  etagIsOpaque?: boolean
}
/** `checksum` is base64 of this part's own digest, in the object's checksum algorithm. */
export type SourcePart = { number: number; size: number; checksum?: string }
export type SourceVersionEntry = {
  key: string
  versionId?: string
  isLatest: boolean
  lastModified: number
  /** Absent on a delete marker. */
  etag?: string
  size?: number
  /** True where S3 does not give the bytes; an archive that a listing does not tell of is not. */
  isArchived?: boolean
}

/** Where a listing of versions goes on: behind this key, or behind this version of it. */
export type VersionCursor = { key: string; versionId?: string }
export type VersionPage = { entries: SourceVersionEntry[]; next?: VersionCursor }

export interface ObjectSource {
  /** The version named, or the current one; undefined when there is none (or it is a delete marker). */
  head(ref: ObjectRef): Promise<SourceObject | undefined>
  /** Bytes [start, end) in order, any chunking. Throws SupersededError when the version is gone or its ETag is another. */
  read(
    object: ObjectRef & { etag: string },
    start: number,
    end: number,
    signal?: AbortSignal,
  ): AsyncIterable<Uint8Array>
  /** Every part of a multipart object in order, with sizes, from GetObjectAttributes or HeadObject by part. */
  parts(object: ObjectRef & { etag: string; partsCount: number }): AsyncIterable<SourcePart>
  /** Every version and delete marker under `prefix`, all pages, in no promised order. */
  versions(bucket: string, prefix: string): AsyncIterable<SourceVersionEntry>
  /** The same a page (of at most `entriesMax`) at a time, from where an earlier listing was left; `next` is absent on the last page. */
  versionPages(bucket: string, prefix: string, from?: VersionCursor, entriesMax?: number): AsyncIterable<VersionPage>
}

// --------------------------------------------------------------- replica: GCS

/** `crc32c` is the unsigned value; `generation` and `metageneration` are decimal strings; `retainUntil` in ms. */
export type BlobStat = {
  name: string
  size: number
  crc32c: number
  md5?: string
  generation: string
  metageneration: string
  metadata: Record<string, string>
  retainUntil?: number
  createdAt: number
}

/** A bucket under a prefix; names are relative to the prefix. */
export interface BlobStore {
  stat(name: string): Promise<BlobStat | undefined>
  /** Create-only. Resolves undefined when the name exists, whoever made it: compare before believing. `crc32c` is checked by the server. */
  create(
    name: string,
    body: Uint8Array,
    options?: { crc32c?: number; metadata?: Record<string, string>; contentType?: string },
  ): Promise<BlobStat | undefined>
  /** The whole body, at most `bytesMax` (CorruptError past it); undefined when there is none. */
  read(name: string, options?: { generation?: string; bytesMax?: number }): Promise<Uint8Array | undefined>
  /** All names under `prefix`, all pages, in UTF-8 order; with `from`, those that are not before it. */
  list(prefix: string, options?: { from?: string }): AsyncIterable<BlobStat>
  /**
   * Changes metadata (null removes a key) and extends retention, only on exactly this generation and metageneration.
   * Throws ConflictError when either differs and NotFoundError when it is gone.
   */
  update(
    blob: { name: string; generation: string; metageneration: string },
    change: { metadata?: Record<string, string | null>; retainUntil?: number },
  ): Promise<BlobStat>
}

// ---------------------------------------------------------------------- queue

/** Sends all messages (batched below the queue's limits); resolves when every one is accepted. */
export interface WorkQueue<T> {
  send(messages: Iterable<T> | AsyncIterable<T>): Promise<number>
}

// --------------------------------------------------------------------- signals

/** Counters and gauges by EMF; logs as structured lines. Both are decorators of work, never its purpose. */
export interface Telemetry {
  count(metric: string, value: number, unit?: 'Count' | 'Bytes' | 'Seconds'): void
  log(level: 'debug' | 'info' | 'warn' | 'error', message: string, fields?: Record<string, unknown>): void
}
