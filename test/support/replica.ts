import { createHash } from 'node:crypto'
import type { BlobStore, SourceChecksum } from '../../shared/ports.ts'
import { combinePieces, createRangeCrc } from '../../shared/weights/checksums.ts'
import { encodeBody, sha256Hex } from '../../shared/weights/codec.ts'
import {
  type ChunkRef,
  formatVersion,
  type Member,
  type ObjectManifest,
  type PartRef,
  type PendingManifest,
  type ReleaseManifest,
  toBytes,
} from '../../shared/weights/manifest.ts'
import { traceIdOf } from '../../shared/weights/identity.ts'
import { hashOf } from '../../shared/weights/outcome.ts'
import { chunkName, objectManifestName, partName, pendingName, releaseName } from '../../shared/weights/names.ts'

/** Writes replicas for tests as docs/format.md specifies them, without any of the code that replicates. */

export type WrittenObject = {
  name: string
  digest: string
  manifest: ObjectManifest
  chunkNames: string[]
  bytes: Uint8Array
}

/** Bytes that do not compress and differ with the seed. */
export const noise = (size: number, seed: number): Uint8Array => {
  const bytes = new Uint8Array(size)
  let state = (seed * 2_654_435_761 + 1) >>> 0
  for (let i = 0; i < size; i += 1) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    bytes[i] = state >>> 24
  }
  return bytes
}

const put = async (store: BlobStore, name: string, plain: Uint8Array): Promise<ChunkRef> => {
  const { codec, body } = encodeBody(plain)
  const stat = (await store.create(name, body)) ?? (await store.stat(name))
  if (!stat) throw new Error(`${name} was not written`)
  const { size, crc32c, generation } = stat
  const id = `sha256:${sha256Hex(plain)}`
  return { id, length: plain.length, codec, base: null, storedBytes: size, crc32c, generation }
}

const putPart = async (
  store: BlobStore,
  record: unknown,
  place: Pick<PartRef, 'kind' | 'offset' | 'size' | 'chunks'>,
): Promise<PartRef> => {
  const plain = toBytes(record)
  const { length: _length, codec: _codec, base: _base, ...stored } = await put(store, partName(sha256Hex(plain)), plain)
  return { ...stored, ...place }
}

export const crc64 = (bytes: Uint8Array): SourceChecksum => {
  const crc = createRangeCrc('CRC64NVME')
  crc.update(bytes)
  const value = combinePieces('CRC64NVME', [
    { value: Buffer.from(crc.digest()).toString('base64'), length: bytes.length },
  ])
  return { algorithm: 'CRC64NVME', type: 'FULL_OBJECT', value }
}

export const publishedAt = '2026-05-01T10:00:00.000Z'

/** One sealed object: chunks of `chunkBytes`, two to a part, the parts below one index part where `indexed`. */
export const writeObject = async (
  store: BlobStore,
  options: {
    key: string
    bytes: Uint8Array
    bucket?: string
    version?: string
    chunkBytes?: number
    indexed?: boolean
    change?: Partial<ObjectManifest>
  },
): Promise<WrittenObject> => {
  const { key, bytes, bucket = 'models', version = 'v1', chunkBytes = 1000, indexed = false } = options
  const parts: PartRef[] = []
  const chunkNames: string[] = []
  for (let offset = 0; offset < bytes.length; offset += 2 * chunkBytes) {
    const chunks: ChunkRef[] = []
    const size = Math.min(2 * chunkBytes, bytes.length - offset)
    for (let at = offset; at < offset + size; at += chunkBytes) {
      const plain = bytes.subarray(at, Math.min(at + chunkBytes, offset + size))
      chunkNames.push(chunkName(sha256Hex(plain)))
      chunks.push(await put(store, chunkName(sha256Hex(plain)), plain))
    }
    const record = { format: 'lifeboat/chunks', formatVersion, chunks }
    parts.push(await putPart(store, record, { kind: 'chunks', offset, size, chunks: chunks.length }))
  }
  const index = { format: 'lifeboat/index', formatVersion, parts }
  const place = { kind: 'index', offset: 0, size: bytes.length, chunks: chunkNames.length } as const
  const planId = createHash('sha256').update(`${bucket} ${key} ${version}`).digest('hex').slice(0, 16)
  const checksum = crc64(bytes)
  const manifest: ObjectManifest = {
    format: 'lifeboat/object',
    formatVersion,
    traceId: traceIdOf(bucket, key, version),
    sequence: 1,
    previousDigest: null,
    signatures: [],
    encryption: null,
    planId,
    state: 'protected',
    source: { bucket, key, version, etag: 'etag', lastModified: publishedAt },
    size: bytes.length,
    checksums: { source: [checksum], verified: checksum },
    cutter: 'fixture/1',
    warnings: [],
    parts: indexed ? [await putPart(store, index, place)] : parts,
    tensors: [],
    release: null,
    parent: null,
    sealedAt: '2026-05-01T10:01:00.000Z',
    ...options.change,
  }
  const name = objectManifestName(bucket, key, version, planId)
  const body = toBytes(manifest)
  await store.create(name, body)
  return { name, digest: `sha256:${sha256Hex(body)}`, manifest, chunkNames, bytes }
}

/** The record of a plan that was begun, at `plannedAt`, whatever became of it. */
export const writePending = async (
  store: BlobStore,
  options: {
    key: string
    bucket?: string
    version?: string
    planId: string
    plannedAt: string
    size?: number
    lastModified?: string
  },
): Promise<PendingManifest> => {
  const { key, bucket = 'models', version = 'v1', planId, plannedAt, size = 5000, lastModified = publishedAt } = options
  const record: PendingManifest = {
    format: 'lifeboat/pending',
    formatVersion,
    traceId: traceIdOf(bucket, key, version),
    planId,
    source: { bucket, key, version, etag: 'etag', lastModified },
    size,
    cutter: 'fixture/1',
    segments: 1,
    warnings: [],
    tensors: [],
    plannedAt,
  }
  await store.create(pendingName(version, planId), toBytes(record))
  return record
}

/** A release of objects written by `writeObject`; `path` is where each goes. */
export const writeRelease = async (
  store: BlobStore,
  options: {
    model: string
    version: string
    files: readonly { path: string; object: WrittenObject }[]
    change?: Partial<ReleaseManifest>
  },
): Promise<{ name: string; release: ReleaseManifest }> => {
  const { model, version, files } = options
  const members = files.map(({ path, object }): Member => {
    const { source, planId, size } = object.manifest
    const { bucket, key } = source
    return {
      path,
      bucket,
      key,
      version: source.version,
      planId,
      size,
      manifest: object.name,
      manifestDigest: object.digest,
    }
  })
  const releaseId = sha256Hex(toBytes(members)).slice(0, 16)
  const release: ReleaseManifest = {
    format: 'lifeboat/release',
    formatVersion,
    traceId: hashOf('release', 'models', model, version, releaseId),
    sequence: 1,
    previousDigest: null,
    signatures: [],
    encryption: null,
    releaseId,
    state: 'protected',
    bucket: 'models',
    model,
    version,
    completeness: 'exact',
    marker: null,
    publishedAt,
    sealedAt: '2026-05-01T10:02:00.000Z',
    members,
    parent: null,
    ...options.change,
  }
  const name = releaseName(model, version, releaseId)
  await store.create(name, toBytes(release))
  return { name, release }
}
