import { createHash } from 'node:crypto'
import { NotFoundError, SupersededError } from '../../errors.ts'
import { copyOf } from './copy-of.ts'
import { createSortedKeys, type SortedKeys } from './sorted-keys.ts'
import type {
  ChecksumAlgorithm,
  Clock,
  ObjectRef,
  ObjectSource,
  SourceChecksum,
  SourceObject,
  SourcePart,
  SourceVersionEntry,
  VersionCursor,
  VersionPage,
} from '../../ports.ts'
import { compositeOf, createRangeCrc } from '../../weights/checksums.ts'

export type Versioning = 'versioned' | 'suspended' | 'unversioned'

export type PutOptions = {
  /** None but the ETag where null; CRC64NVME of the whole object where absent, as S3 does by itself. */
  checksum?: { algorithm: ChecksumAlgorithm; type: SourceChecksum['type'] } | null
  /** Uploads in parts of this many bytes. */
  partBytes?: number
  /** Encrypted with a KMS key: the ETag is no MD5. */
  isEncrypted?: boolean
  storageClass?: string
  /** A copy of an archived object that can be read. */
  isRestored?: boolean
  contentType?: string
  contentEncoding?: string
  metadata?: Record<string, string>
  /** What S3 says instead of the truth. */
  checksumValue?: string
}

type Version = { object: SourceObject; body: Uint8Array; parts: SourcePart[] }
type Marker = { versionId?: string; lastModified: number }
/** Newest first; what has no version id is the null version, of which there is one at most. */
type Entry = { version: Version } | { marker: Marker }
/** `order` has the keys in UTF-8, as latin1: S3 lists in the order of bytes. */
type Bucket = { versioning: Versioning; keys: Map<string, Entry[]>; order: SortedKeys }

const readBytes = 256 * 1024
const archiveClasses = new Set(['GLACIER', 'DEEP_ARCHIVE'])

const digestOf = (algorithm: ChecksumAlgorithm, bytes: Uint8Array): Uint8Array => {
  if (algorithm === 'SHA256' || algorithm === 'SHA1' || algorithm === 'MD5')
    return createHash(algorithm.toLowerCase()).update(bytes).digest()
  const crc = createRangeCrc(algorithm)
  crc.update(bytes)
  return crc.digest()
}

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64')

const piecesOf = (body: Uint8Array, partBytes: number | undefined): Uint8Array[] => {
  if (partBytes === undefined) return [body]
  const count = Math.max(1, Math.ceil(body.length / partBytes))
  return Array.from({ length: count }, (_, index) => body.subarray(index * partBytes, (index + 1) * partBytes))
}

const hex = (digest: Uint8Array): string => Buffer.from(digest).toString('hex')

const etagOf = (pieces: readonly Uint8Array[], options: PutOptions, salt: number): string => {
  const suffix = options.partBytes === undefined ? '' : `-${pieces.length}`
  if (options.isEncrypted) return hex(digestOf('MD5', Buffer.from(`encrypted ${salt}`))) + suffix
  const whole = Buffer.concat(pieces.map((piece) => digestOf('MD5', piece)))
  return hex(options.partBytes === undefined ? whole : digestOf('MD5', whole)) + suffix
}

const checksumOf = (pieces: readonly Uint8Array[], options: PutOptions): SourceChecksum[] => {
  const { checksum = { algorithm: 'CRC64NVME', type: 'FULL_OBJECT' } } = options
  if (!checksum) return []
  const { algorithm, type } = checksum
  const digests = pieces.map((piece) => digestOf(algorithm, piece))
  const value =
    type === 'COMPOSITE' ? compositeOf(algorithm, digests) : base64(digestOf(algorithm, Buffer.concat(pieces)))
  return [{ algorithm, type, value: options.checksumValue ?? value }]
}

const versionIdOf = (entry: Entry): string | undefined =>
  'version' in entry ? entry.version.object.versionId : entry.marker.versionId

const find = (bucket: Bucket | undefined, ref: ObjectRef): Version | undefined => {
  const entries = bucket?.keys.get(ref.key) ?? []
  const entry = ref.versionId === undefined ? entries[0] : entries.find((one) => versionIdOf(one) === ref.versionId)
  return entry && 'version' in entry ? entry.version : undefined
}

const insert = (bucket: Bucket, key: string, entry: Entry): void => {
  const kept = bucket.keys.get(key) ?? []
  const others = bucket.versioning === 'versioned' ? kept : kept.filter((other) => versionIdOf(other) !== undefined)
  bucket.keys.set(key, [entry, ...others])
  bucket.order.add(Buffer.from(key).toString('latin1'))
}

const versionOf = (
  ref: ObjectRef,
  body: Uint8Array,
  put: PutOptions,
  made: { lastModified: number; salt: number },
): Version => {
  const pieces = piecesOf(body, put.partBytes)
  const { contentType, contentEncoding, metadata, storageClass, isEncrypted } = put
  const object: SourceObject = {
    ...ref,
    etag: etagOf(pieces, put, made.salt),
    lastModified: made.lastModified,
    size: body.length,
    checksums: checksumOf(pieces, put),
    ...(put.partBytes === undefined ? {} : { partsCount: pieces.length }),
    ...(contentType === undefined ? {} : { contentType }),
    ...(contentEncoding === undefined ? {} : { contentEncoding }),
    ...(metadata === undefined ? {} : { metadata }),
    ...(storageClass === undefined ? {} : { storageClass }),
    ...(archiveClasses.has(storageClass ?? '') && !put.isRestored ? { isArchived: true } : {}),
    ...(isEncrypted ? { etagIsOpaque: true } : {}),
  }
  const parts = pieces.map((piece, index) => ({ number: index + 1, size: piece.length }))
  return { object, body: Uint8Array.from(body), parts }
}

const contentOf = ({ object, body }: Version): Pick<SourceVersionEntry, 'etag' | 'size' | 'isArchived'> => ({
  etag: object.etag,
  size: body.length,
  ...(archiveClasses.has(object.storageClass ?? '') ? { isArchived: true } : {}),
})

function* keysUnder({ order }: Bucket, prefix: string, from: string): Generator<string> {
  let at = order.from(Buffer.from(from).toString('latin1'))
  while (at !== undefined) {
    const key = Buffer.from(at, 'latin1').toString()
    if (!key.startsWith(prefix)) return
    yield key
    at = order.behind(at)
  }
}

/** Behind the cursor; where its version is gone, from the start of its key. */
function* listVersions(bucket: Bucket, prefix: string, from?: VersionCursor): Generator<SourceVersionEntry> {
  for (const key of keysUnder(bucket, prefix, from?.key ?? prefix)) {
    const entries = bucket.keys.get(key) ?? []
    const isLeft = (entry: Entry): boolean => (versionIdOf(entry) ?? 'null') === (from?.versionId ?? 'null')
    const first = from?.key === key ? entries.findIndex(isLeft) + 1 : 0
    for (const [index, entry] of entries.entries()) {
      if (index < first) continue
      const { versionId, lastModified } = 'version' in entry ? entry.version.object : entry.marker
      const content = 'version' in entry ? contentOf(entry.version) : {}
      yield { key, ...(versionId === undefined ? {} : { versionId }), isLatest: index === 0, lastModified, ...content }
    }
  }
}

/** Small, so that tests meet several. */
const smallPageEntries = 3

async function* pagesOf(
  bucket: Bucket,
  prefix: string,
  { from, entriesMax }: { from: VersionCursor | undefined; entriesMax: number },
): AsyncGenerator<VersionPage> {
  let entries: SourceVersionEntry[] = []
  for (const entry of listVersions(bucket, prefix, from)) {
    const last = entries.at(-1)
    if (last && entries.length === entriesMax) {
      yield { entries, next: { key: last.key, versionId: last.versionId ?? 'null' } }
      entries = []
    }
    entries.push(entry)
  }
  yield { entries }
}

export type MemorySource = ObjectSource & {
  createBucket(name: string, versioning: Versioning): void
  setVersioning(name: string, versioning: Versioning): void
  put(bucket: string, key: string, body: Uint8Array, options?: PutOptions): SourceObject
  /** Deletes the version named, or the current one (by a delete marker where there are versions); its marker's id. */
  delete(bucket: string, key: string, versionId?: string): string | undefined
  /** What S3 has under a name, whole. */
  bodyOf(ref: ObjectRef): Uint8Array | undefined
  /** Bits flip on the way of the next reads of a key: applied to what `read` gives. */
  damageReads(key: string, times: number): void
}

/** S3 as the source of objects, in memory; times are those of `clock` to the second, as S3 gives them. `pageEntries` are in a page at most. */
export const createMemorySource = (options: { clock: Clock; pageEntries?: number }): MemorySource => {
  const buckets = new Map<string, Bucket>()
  const damaged = new Map<string, number>()
  const { pageEntries = smallPageEntries } = options
  let puts = 0
  const require = (name: string): Bucket => {
    const bucket = buckets.get(name)
    if (!bucket) throw new NotFoundError(`bucket ${name} does not exist`)
    return bucket
  }
  const now = (): number => Math.floor(options.clock.now() / 1000) * 1000
  const nextId = (bucket: Bucket): { versionId?: string } => {
    puts += 1
    return bucket.versioning === 'versioned' ? { versionId: `v${String(puts).padStart(8, '0')}` } : {}
  }
  const exact = (object: ObjectRef & { etag: string }): Version => {
    const version = find(buckets.get(object.bucket), object)
    if (version?.object.etag !== object.etag)
      throw new SupersededError(`s3://${object.bucket}/${object.key} with ETag ${object.etag} is no longer there`)
    return version
  }
  const takeDamage = (key: string): boolean => {
    const left = damaged.get(key) ?? 0
    damaged.set(key, left - 1)
    return left > 0
  }
  return {
    createBucket: (name, versioning) =>
      void buckets.set(name, { versioning, keys: new Map(), order: createSortedKeys() }),
    setVersioning: (name, versioning) => {
      require(name).versioning = versioning
    },
    put: (name, key, body, put = {}) => {
      const bucket = require(name)
      const id = nextId(bucket)
      const version = versionOf({ bucket: name, key, ...id }, body, put, { lastModified: now(), salt: puts })
      insert(bucket, key, { version })
      return copyOf(version.object)
    },
    delete: (name, key, versionId) => {
      const bucket = require(name)
      if (versionId !== undefined || bucket.versioning === 'unversioned') {
        const kept = bucket.keys.get(key) ?? []
        bucket.keys.set(
          key,
          kept.filter((entry) => versionIdOf(entry) !== versionId),
        )
        return versionId
      }
      const marker = { ...nextId(bucket), lastModified: now() }
      insert(bucket, key, { marker })
      return marker.versionId
    },
    bodyOf: (ref) => find(buckets.get(ref.bucket), ref)?.body,
    damageReads: (key, times) => void damaged.set(key, times),
    head: async (ref) => copyOf(find(buckets.get(ref.bucket), ref)?.object),
    read: async function* read(object, start, end) {
      const { body } = exact(object)
      const isDamaged = takeDamage(object.key)
      for (let at = start; at < end; at += readBytes) {
        const bytes = Uint8Array.from(body.subarray(at, Math.min(end, at + readBytes)))
        if (isDamaged) bytes[0] = (bytes[0] ?? 0) ^ 1
        yield bytes
      }
    },
    parts: async function* parts(object) {
      yield* exact(object).parts
    },
    versions: async function* versions(name, prefix) {
      yield* listVersions(require(name), prefix)
    },
    versionPages: async function* versionPages(name, prefix, from, entriesMax = Infinity) {
      yield* pagesOf(require(name), prefix, { from, entriesMax: Math.min(entriesMax, pageEntries) })
    },
  }
}
