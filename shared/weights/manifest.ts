import * as z from 'zod'
import { FormatVersionError, InvalidInputError } from '../errors.ts'

/**
 * The records that make objects and releases exist in the replica, as docs/format.md specifies them.
 * Readers refuse a newer major version and drop the unknown fields of a newer minor one.
 */
export const formatVersion = '1.1'

const bytes = z.number().int().nonnegative()
const time = z.iso.datetime()
const digestId = z.string().regex(/^sha256:[0-9a-f]{64}$/)
const generation = z.string().regex(/^\d+$/)

const storedSchema = z.object({
  /** SHA-256 of the plain bytes. */
  id: digestId,
  /** Only where the body is not under the name that follows from the id. */
  name: z.string().optional(),
  storedBytes: bytes,
  crc32c: z.number().int().nonnegative().max(0xffff_ffff),
  generation,
})

const baseRefSchema = storedSchema.extend({ length: bytes, codec: z.string() })
export type BaseRef = z.infer<typeof baseRefSchema>

export const chunkRefSchema = storedSchema.extend({
  length: bytes,
  codec: z.string(),
  /** Full reference of the self-contained body that a delta is against. */
  base: baseRefSchema.nullable().default(null),
})
export type ChunkRef = z.infer<typeof chunkRefSchema>

/** A list of chunks, or a list of such lists, that covers [offset, offset + size) of the object. */
export const partRefSchema = storedSchema.extend({
  kind: z.enum(['chunks', 'index']),
  offset: bytes,
  size: bytes,
  /** Chunks below this part, however deep. */
  chunks: bytes,
})
export type PartRef = z.infer<typeof partRefSchema>

/** A list of tensors in file order; `from` and `to` bound the bytes they lie in. */
export const tensorPartRefSchema = storedSchema.extend({ from: bytes, to: bytes, tensors: bytes })
export type TensorPartRef = z.infer<typeof tensorPartRefSchema>

export const chunksPartSchema = z.object({
  format: z.literal('lifeboat/chunks'),
  formatVersion: z.string(),
  chunks: z.array(chunkRefSchema),
})
export const indexPartSchema = z.object({
  format: z.literal('lifeboat/index'),
  formatVersion: z.string(),
  parts: z.array(partRefSchema),
})
export const tensorsPartSchema = z.object({
  format: z.literal('lifeboat/tensors'),
  formatVersion: z.string(),
  dataStart: bytes,
  tensors: z.array(z.object({ name: z.string(), dtype: z.string(), shape: z.array(bytes), start: bytes, end: bytes })),
})
export type TensorsPart = z.infer<typeof tensorsPartSchema>

export const checksumSchema = z.object({
  algorithm: z.enum(['CRC64NVME', 'CRC32', 'CRC32C', 'SHA256', 'SHA1', 'MD5']),
  type: z.enum(['FULL_OBJECT', 'COMPOSITE']),
  value: z.string(),
})

export const sourceSchema = z.object({
  account: z.string().optional(),
  region: z.string().optional(),
  bucket: z.string(),
  key: z.string(),
  /** The version id, or `u-<LastModified>-<ETag>` where the bucket gives none. */
  version: z.string(),
  versionId: z.string().optional(),
  etag: z.string(),
  lastModified: time,
  contentType: z.string().optional(),
  contentEncoding: z.string().optional(),
  metadata: z.record(z.string(), z.string()).optional(),
  storageClass: z.string().optional(),
})

const envelope = {
  formatVersion: z.string(),
  traceId: z.string(),
  /** Increases with every manifest of this key (or model); gaps are legal, a fall is a rollback. */
  sequence: z.number().int().nonnegative(),
  /** SHA-256 of the manifest before, as far as its writer knew it. */
  previousDigest: digestId.nullable(),
  signatures: z.array(z.unknown()).default([]),
  encryption: z.unknown().nullable().default(null),
}

export const objectManifestSchema = z.object({
  format: z.literal('lifeboat/object'),
  ...envelope,
  planId: z.string(),
  /** `protected`: checked against a checksum of the source's own; `sealed`: the source has none. */
  state: z.enum(['protected', 'sealed']),
  source: sourceSchema,
  size: bytes,
  checksums: z.object({
    source: z.array(checksumSchema),
    verified: checksumSchema.nullable(),
    /** Part sizes of a COMPOSITE checksum as run lengths [bytes, count]; without them a reader cannot compute it again. */
    parts: z.array(z.tuple([bytes, bytes])).optional(),
    unverifiedReason: z.string().optional(),
    sha256: z.string().optional(),
  }),
  cutter: z.string(),
  warnings: z.array(z.string()).default([]),
  parts: z.array(partRefSchema),
  tensors: z.array(tensorPartRefSchema).default([]),
  release: z.object({ model: z.string(), version: z.string().optional(), path: z.string() }).nullable().default(null),
  parent: z.string().nullable().default(null),
  sealedAt: time,
})
export type ObjectManifest = z.infer<typeof objectManifestSchema>

export const cancelledSchema = z.object({
  format: z.literal('lifeboat/cancelled'),
  formatVersion: z.string(),
  cancelledAt: time,
})

export const pendingSchema = z.object({
  format: z.literal('lifeboat/pending'),
  formatVersion: z.string(),
  traceId: z.string(),
  planId: z.string(),
  source: sourceSchema,
  size: bytes,
  cutter: z.string(),
  segments: bytes,
  warnings: z.array(z.string()).default([]),
  tensors: z.array(tensorPartRefSchema).default([]),
  plannedAt: time,
})
export type PendingManifest = z.infer<typeof pendingSchema>

export const memberSchema = z.object({
  /** Path under the restore folder: the key below the release's own prefix. */
  path: z.string(),
  bucket: z.string(),
  key: z.string(),
  version: z.string(),
  planId: z.string(),
  size: bytes,
  /** Name of the object manifest, and the SHA-256 of its bytes. */
  manifest: z.string(),
  manifestDigest: digestId,
})
export type Member = z.infer<typeof memberSchema>

export const releaseManifestSchema = z.object({
  format: z.literal('lifeboat/release'),
  ...envelope,
  releaseId: z.string(),
  state: z.enum(['protected', 'sealed']),
  bucket: z.string(),
  model: z.string(),
  version: z.string(),
  /** How completeness is known: the publisher's exact list, a marker object, an index of shards, or a quiet period. */
  completeness: z.enum(['exact', 'marker', 'index', 'inferred']),
  marker: z.object({ key: z.string(), version: z.string() }).nullable(),
  publishedAt: time,
  sealedAt: time,
  members: z.array(memberSchema),
  parent: z.object({ version: z.string(), releaseId: z.string() }).nullable(),
  /** Ids of manifests of the same release that this one stands in for, since one of them was found wanting. */
  replaces: z.array(z.string()).optional(),
})
export type ReleaseManifest = z.infer<typeof releaseManifestSchema>

/** What did not become a manifest, and why: `failed/<state>/<traceId>.json`. */
export const failedSchema = z.object({
  format: z.literal('lifeboat/failed'),
  formatVersion: z.string(),
  state: z.enum(['refused', 'quarantined', 'superseded']),
  traceId: z.string(),
  reason: z.string(),
  bucket: z.string().optional(),
  key: z.string().optional(),
  version: z.string().optional(),
  etag: z.string().optional(),
  name: z.string().optional(),
  detail: z.string().optional(),
  at: time,
})
export type FailedRecord = z.infer<typeof failedSchema>

/** A release that cannot be sealed yet, and what it waits for: `waiting/<model>/<version>.<id>.json`. */
export const waitingSchema = z.object({
  format: z.literal('lifeboat/waiting'),
  formatVersion: z.string(),
  bucket: z.string(),
  model: z.string(),
  version: z.string(),
  marker: z.string().nullable(),
  reason: z.string(),
  at: time,
})
export type WaitingRecord = z.infer<typeof waitingSchema>

export const deletedSchema = z.object({
  format: z.literal('lifeboat/deleted'),
  formatVersion: z.string(),
  traceId: z.string(),
  bucket: z.string(),
  key: z.string(),
  version: z.string().optional(),
  deletion: z.string(),
  at: time,
})
export type DeletedRecord = z.infer<typeof deletedSchema>

/** The bytes under which a record is stored: UTF-8 JSON, one space of indent, so that a person can read it with `cat`. */
export const toBytes = (record: unknown): Uint8Array =>
  new TextEncoder().encode(`${JSON.stringify(record, undefined, 1)}\n`)

/**
 * Reads a record of `schema` named `name`. Throws FormatVersionError for a newer major version and InvalidInputError,
 * naming the field, for anything that is not of the schema.
 */
export const parseRecord = <T>(schema: z.ZodType<T>, name: string, body: Uint8Array): T => {
  let json: unknown
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body))
  } catch (cause) {
    throw new InvalidInputError(`${name} is not JSON`, { cause })
  }
  const version =
    typeof json === 'object' && json !== null && 'formatVersion' in json ? String(json.formatVersion) : undefined
  const major = /^(\d+)\.\d+$/.exec(version ?? '')?.[1]
  if (major === undefined)
    throw new InvalidInputError(`${name} has no formatVersion of the form 1.0 (found ${version})`)
  if (Number(major) > 1)
    throw new FormatVersionError(`${name} is of format ${version}; this program reads format 1: use a newer lifeboat`)
  if (typeof json === 'object' && json !== null && 'encryption' in json && json.encryption !== null)
    throw new FormatVersionError(`${name} is encrypted, which this program cannot read: use a newer lifeboat`)
  const result = schema.safeParse(json)
  if (!result.success) {
    const issue = result.error.issues[0]
    throw new InvalidInputError(
      `${name}: field ${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'not of the schema'}`,
    )
  }
  return result.data
}
