import * as z from 'zod'
import { checksumSchema, partRefSchema, tensorPartRefSchema } from './manifest.ts'

/** What our own queues carry. Version N reads what version N-1 left there. */

const count = z.number().int().nonnegative()

export const sourceObjectSchema = z.object({
  bucket: z.string(),
  key: z.string(),
  versionId: z.string().optional(),
  etag: z.string(),
  lastModified: count,
  size: count,
  checksums: z.array(checksumSchema),
  partsCount: count.optional(),
  contentType: z.string().optional(),
  contentEncoding: z.string().optional(),
  metadata: z.record(z.string(), z.string()).optional(),
  storageClass: z.string().optional(),
  isArchived: z.boolean().optional(),
  etagIsOpaque: z.boolean().optional(),
})

/** Plans one object version (the current one where none is named), as an event would. */
export const planMessageSchema = z.object({
  lifeboat: z.literal(1),
  kind: z.literal('plan'),
  bucket: z.string(),
  key: z.string(),
  versionId: z.string().optional(),
  /** Copies anew although an attempt of this number is on record. */
  attempt: count.optional(),
  /** The version that it is about: where the source has another by now, this one's plan ends. */
  traceId: z.string().optional(),
  /** Copies anew although the version is sealed: a check found its copy wanting. `bodies` are read before they are believed. */
  repair: z.object({ bodies: z.array(z.string()) }).optional(),
})
export type PlanMessage = z.infer<typeof planMessageSchema>

const pieceSchema = z.object({ start: count, length: count, value: z.string() })

const unit = {
  lifeboat: z.literal(1),
  traceId: z.string(),
  planId: z.string(),
  source: z.object({ bucket: z.string(), key: z.string(), versionId: z.string().optional(), etag: z.string() }),
  offset: count,
  size: count,
  /** The backfill that it belongs to: such work has a queue of its own. */
  backfill: z.string().optional(),
}

/** Copies [offset, offset + size) of an object. `bounds` are the part boundaries inside it where a check is by part. */
export const segmentMessageSchema = z.object({
  ...unit,
  kind: z.literal('segment'),
  /** Position among the plan's segments. */
  index: count,
  cutter: z.string(),
  tensors: z.array(tensorPartRefSchema),
  digest: z.object({ algorithm: checksumSchema.shape.algorithm, bounds: z.array(count) }).nullable(),
  /** Name of the manifest of the version before: what chunks may be the difference to. */
  parent: z.string().optional(),
  /** Set when a body of this segment was missing: what the index says of its chunks is compared, not believed. */
  compare: z.boolean().optional(),
  /** A protected manifest of the same bytes, whose parts are taken over. */
  identical: z.object({ manifest: z.string(), digest: z.string() }).optional(),
  /** Chunks and parts (SHA-256 in hex) that were found to be wrong: neither the index nor their stored digests are believed. */
  distrusted: z.array(z.string()).optional(),
  /** What earlier calls did, when a deadline cut the segment: everything before `position`. */
  done: z
    .object({
      position: count,
      parts: z.array(partRefSchema),
      pieces: z.array(pieceSchema),
      bytesSent: count,
      bytesReused: count,
    })
    .optional(),
})
export type SegmentMessage = z.infer<typeof segmentMessageSchema>

/** Reads [offset, offset + size) again for a digest that does not combine from segments, proving each chunk on the way. */
export const digestMessageSchema = z.object({
  ...unit,
  kind: z.literal('digest'),
  algorithm: z.enum(['SHA256', 'SHA1', 'MD5']),
  /** `check`: a part of the commit's checksum; `release`: the SHA-256 that a publisher's list names. */
  purpose: z.enum(['check', 'release']),
  resume: z.object({ position: count, state: z.string() }).optional(),
})
export type DigestMessage = z.infer<typeof digestMessageSchema>

export const workMessageSchema = z.discriminatedUnion('kind', [segmentMessageSchema, digestMessageSchema])
export type WorkMessage = z.infer<typeof workMessageSchema>

/** What says of a unit that it is a backfill's. */
export const backfillMark = ({ backfill }: { backfill?: string | undefined }): { backfill?: string } =>
  backfill === undefined ? {} : { backfill }
