import { createHash } from 'node:crypto'
import type { SourceObject } from '../ports.ts'

const digest = (...fields: (string | number)[]): string =>
  createHash('sha256').update(JSON.stringify(fields)).digest('hex')

/**
 * The version that names an object version: its version id, or `u-<LastModified>-<ETag>` where the bucket gives none,
 * so that a content published, replaced and published again is three versions.
 */
export const versionOf = (object: { versionId?: string | undefined; lastModified: number; etag: string }): string =>
  object.versionId ?? `u-${new Date(object.lastModified).toISOString().slice(0, 19)}Z-${object.etag}`

/** Whether a version of `versionOf` is of a bucket that keeps one version of a key alone. */
export const isUnversioned = (version: string): boolean => /^u-\d{4}-\d\d-\d\dT/.test(version)

/** 32 hex digits that name an object version in the ledger, in logs and in `lifeboat trace`. */
export const traceIdOf = (bucket: string, key: string, version: string): string =>
  digest(bucket, key, version).slice(0, 32)

/**
 * Names one way of copying one object version. A redelivery of the same event makes the same id, so it resends the same
 * plan; another cutter, other cuts or a new attempt after a cancellation makes another, and no two can be mixed.
 */
export const planIdOf = (plan: {
  object: SourceObject
  version: string
  cutter: string
  segmentBytesMax: number
  tensorParts: readonly string[]
  attempt: number
  /** The digest of a manifest whose parts are taken over. */
  identical?: string
}): string =>
  digest(
    plan.object.bucket,
    plan.object.key,
    plan.version,
    plan.object.size,
    plan.cutter,
    plan.segmentBytesMax,
    plan.tensorParts.join(' '),
    plan.attempt,
    ...(plan.identical === undefined ? [] : [plan.identical]),
  ).slice(0, 16)
