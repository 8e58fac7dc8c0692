import type { Answer, Call } from './call.ts'
import { invalidArgument } from './errors.ts'
import { commonPrefixes } from './listing.ts'
import { afterKey, afterMarker, collectPage, type Position } from './page.ts'
import { isoSeconds, keyEncoder, ownerElement, readCount } from './render.ts'
import { aboutOf, checkVersionId, keyBytes, keyText, requireBucket, versionById, type VersionRow } from './versions.ts'
import { document, element, optional, type Xml } from './xml.ts'

/** All versions from a position on: by key, and newest first within a key. */
const versionsFrom =
  (call: Call) =>
  (from: Position, end: Buffer, limit: number): VersionRow[] => {
    const { store } = call.s3
    const rest =
      from.past === undefined
        ? []
        : store.all<VersionRow>(
            'SELECT * FROM versions WHERE bucket = ? AND key = ? AND rank < ? ORDER BY rank DESC LIMIT ?',
            call.bucket,
            from.key,
            from.past,
            limit,
          )
    const others = store.all<VersionRow>(
      'SELECT * FROM versions WHERE bucket = ? AND key >= ? AND key < ? ORDER BY key, rank DESC LIMIT ?',
      call.bucket,
      from.past === undefined ? from.key : afterKey(from.key),
      end,
      limit - rest.length,
    )
    return [...rest, ...others]
  }

/** A version that is gone by now makes its key start over: twice is better than not at all. */
const readPosition = (call: Call, prefix: string, delimiter: string): Position => {
  const marker = call.query.get('key-marker') ?? ''
  const version = call.query.get('version-id-marker') ?? ''
  if (version === '') return afterMarker(marker, prefix, delimiter)
  if (marker === '')
    throw invalidArgument('version-id-marker', version, 'A version-id marker cannot be specified without a key marker.')
  checkVersionId(version)
  const row = versionById(call.s3.store, call.bucket, marker, version)
  return { key: keyBytes(marker), ...(row ? { past: row.rank } : {}) }
}

const versionElement = (call: Call, row: VersionRow): Xml => {
  const identity = [
    element('Key', keyEncoder(call)(keyText(row.key))),
    element('VersionId', row.version),
    element('IsLatest', row.latest === 1),
    element('LastModified', isoSeconds(row.modified)),
  ]
  if (row.marker === 1) return element('DeleteMarker', identity, ownerElement(call))
  return element(
    'Version',
    identity,
    element('ETag', `"${row.etag}"`),
    optional('ChecksumAlgorithm', row.algorithm),
    optional('ChecksumType', row.checksumType),
    element('Size', row.size),
    element('StorageClass', aboutOf(row).storageClass),
    ownerElement(call),
  )
}

export const listObjectVersions = (call: Call): Answer => {
  const { query } = call
  requireBucket(call.s3.store, call.bucket)
  const encode = keyEncoder(call)
  const prefix = query.get('prefix') ?? ''
  const delimiter = query.get('delimiter') ?? ''
  const max = readCount('max-keys', query.get('max-keys'))
  const from = readPosition(call, prefix, delimiter)
  const page = collectPage({ prefix, delimiter, max, from, fetch: versionsFrom(call) })
  const last = page.next?.last
  return {
    status: 200,
    xml: document(
      'ListVersionsResult',
      element('Name', call.bucket),
      element('Prefix', encode(prefix)),
      element('KeyMarker', encode(query.get('key-marker') ?? '')),
      element('VersionIdMarker', query.get('version-id-marker') ?? ''),
      optional('NextKeyMarker', last && encode(typeof last === 'string' ? last : keyText(last.key))),
      optional('NextVersionIdMarker', typeof last === 'object' ? last.version : undefined),
      element('MaxKeys', max),
      delimiter === '' ? undefined : element('Delimiter', encode(delimiter)),
      optional('EncodingType', query.get('encoding-type')),
      element('IsTruncated', page.next !== undefined),
      page.rows.map((row) => versionElement(call, row)),
      commonPrefixes(call, page.prefixes),
    ),
  }
}
