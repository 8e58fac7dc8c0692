import type { Answer, Call } from './call.ts'
import { invalidArgument } from './errors.ts'
import { afterKey, afterMarker, collectPage, type Page, type Position } from './page.ts'
import { isoSeconds, keyEncoder, ownerElement, readCount } from './render.ts'
import { aboutOf, keyText, requireBucket, type VersionRow } from './versions.ts'
import { document, element, optional, type XmlContent } from './xml.ts'

/** The current objects of a bucket from a position on. */
const currentObjects =
  (call: Call) =>
  (from: Position, end: Buffer, limit: number): VersionRow[] =>
    call.s3.store.all<VersionRow>(
      `SELECT * FROM versions WHERE bucket = ? AND latest = 1 AND key >= ? AND key < ? AND marker = 0
        ORDER BY key LIMIT ?`,
      call.bucket,
      from.past === undefined ? from.key : afterKey(from.key),
      end,
      limit,
    )

const contents = (call: Call, rows: VersionRow[], withOwner: boolean): XmlContent => {
  const encode = keyEncoder(call)
  return rows.map((row) =>
    element(
      'Contents',
      element('Key', encode(keyText(row.key))),
      element('LastModified', isoSeconds(row.modified)),
      element('ETag', `"${row.etag}"`),
      optional('ChecksumAlgorithm', row.algorithm),
      optional('ChecksumType', row.checksumType),
      element('Size', row.size),
      withOwner ? ownerElement(call) : undefined,
      element('StorageClass', aboutOf(row).storageClass),
    ),
  )
}

export const commonPrefixes = (call: Call, prefixes: string[]): XmlContent => {
  const encode = keyEncoder(call)
  return prefixes.map((prefix) => element('CommonPrefixes', element('Prefix', encode(prefix))))
}

const encoded = (call: Call, name: string, value: string | null | undefined): XmlContent =>
  value === null || value === undefined ? undefined : element(name, keyEncoder(call)(value))

const lastKey = (page: Page<VersionRow>): string | undefined => {
  if (!page.next) return undefined
  return typeof page.next.last === 'string' ? page.next.last : keyText(page.next.last.key)
}

const readToken = (token: string): Position => {
  const bytes = Buffer.from(token, 'base64url')
  if (bytes[0] !== 1) throw invalidArgument('continuation-token', token, 'The continuation token provided is incorrect')
  return { key: bytes.subarray(1) }
}

const writeToken = ({ key, past }: Position): string =>
  Buffer.concat([Buffer.of(1), past === undefined ? key : afterKey(key)]).toString('base64url')

export const listObjectsV2 = (call: Call): Answer => {
  const { query } = call
  requireBucket(call.s3.store, call.bucket)
  const prefix = query.get('prefix') ?? ''
  const delimiter = query.get('delimiter') ?? ''
  const max = readCount('max-keys', query.get('max-keys'))
  const token = query.get('continuation-token')
  const startAfter = query.get('start-after')
  const from = token === null ? afterMarker(startAfter ?? '', prefix, delimiter) : readToken(token)
  const page = collectPage({ prefix, delimiter, max, from, fetch: currentObjects(call) })
  return {
    status: 200,
    xml: document(
      'ListBucketResult',
      element('Name', call.bucket),
      encoded(call, 'Prefix', prefix),
      encoded(call, 'StartAfter', startAfter),
      optional('ContinuationToken', token),
      optional('NextContinuationToken', page.next && writeToken(page.next.position)),
      element('KeyCount', page.rows.length + page.prefixes.length),
      element('MaxKeys', max),
      encoded(call, 'Delimiter', query.get('delimiter')),
      optional('EncodingType', query.get('encoding-type')),
      element('IsTruncated', page.next !== undefined),
      contents(call, page.rows, query.get('fetch-owner') === 'true'),
      commonPrefixes(call, page.prefixes),
    ),
  }
}

export const listObjects = (call: Call): Answer => {
  const { query } = call
  requireBucket(call.s3.store, call.bucket)
  const prefix = query.get('prefix') ?? ''
  const delimiter = query.get('delimiter') ?? ''
  const marker = query.get('marker') ?? ''
  const max = readCount('max-keys', query.get('max-keys'))
  const from = afterMarker(marker, prefix, delimiter)
  const page = collectPage({ prefix, delimiter, max, from, fetch: currentObjects(call) })
  return {
    status: 200,
    xml: document(
      'ListBucketResult',
      element('Name', call.bucket),
      encoded(call, 'Prefix', prefix),
      encoded(call, 'Marker', marker),
      // S3 names the next marker only with a delimiter; otherwise it is the last key of the page.
      delimiter === '' ? undefined : encoded(call, 'NextMarker', lastKey(page)),
      element('MaxKeys', max),
      encoded(call, 'Delimiter', query.get('delimiter')),
      optional('EncodingType', query.get('encoding-type')),
      element('IsTruncated', page.next !== undefined),
      contents(call, page.rows, true),
      commonPrefixes(call, page.prefixes),
    ),
  }
}
