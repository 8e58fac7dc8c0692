import { type Call, header, type S3 } from './call.ts'
import { type Algorithm, createDigester } from './checksums.ts'
import { readConditions } from './conditions.ts'
import { invalidArgument, invalidRequest, preconditionFailed } from './errors.ts'
import { readParts } from './get-object.ts'
import type { Slice } from './range.ts'
import type { Received } from './receive.ts'
import type { BodyWriter } from './bodies.ts'
import {
  type Bucket,
  checkVersionId,
  partsOf,
  requireBucket,
  requireVersion,
  versionById,
  type VersionRow,
} from './versions.ts'

export type CopySource = { bucket: Bucket; row: VersionRow; versioned: boolean }

const parse = (text: string): { bucket: string; key: string; version: string | null } => {
  const invalid = () =>
    invalidArgument(
      'x-amz-copy-source',
      text,
      'Copy Source must mention the source bucket and key: sourcebucket/sourcekey',
    )
  const [, path, version] = /^\/?(.*?)(?:\?versionId=([^?]*))?$/s.exec(text) ?? []
  try {
    const [, bucket, key] = /^([^/]+)\/(.+)$/s.exec(decodeURIComponent(path ?? '')) ?? []
    if (bucket === undefined || key === undefined) throw invalid()
    return { bucket, key, version: version === undefined ? null : decodeURIComponent(version) }
  } catch (error) {
    throw error instanceof URIError ? invalid() : error
  }
}

/** The version that x-amz-copy-source names, past its x-amz-copy-source-if-* conditions. */
export const requireCopySource = (call: Call): CopySource => {
  const { store } = call.s3
  const source = parse(header(call, 'x-amz-copy-source') ?? '')
  const bucket = requireBucket(store, source.bucket)
  if (source.version !== null) {
    checkVersionId(source.version)
    if (versionById(store, bucket.name, source.key, source.version)?.marker === 1)
      throw invalidRequest('The source of a copy request may not specifically refer to a delete marker by version id.')
  }
  const row = requireVersion(store, bucket, source.key, source.version)
  if (readConditions(call, row, 'x-amz-copy-source-') === 'not-modified')
    throw preconditionFailed('x-amz-copy-source-If-None-Match')
  return { bucket, row, versioned: bucket.versioning !== null }
}

/** Copies a slice of a version into a new body, with its digests. */
export const copyBody = async (
  s3: S3,
  row: VersionRow,
  slice: Slice,
  wanted: Iterable<Algorithm>,
): Promise<Received & { writer: BodyWriter }> => {
  const writer = s3.bodies.create()
  try {
    const digester = await createDigester(wanted)
    for await (const chunk of readParts(s3, partsOf(s3.store, row.id), slice)) {
      digester.update(chunk)
      await writer.write(chunk)
    }
    await writer.finish()
    return { ...digester.finish(), writer }
  } catch (error) {
    await writer.discard()
    throw error
  }
}
