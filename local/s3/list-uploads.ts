import type { Answer, Call } from './call.ts'
import { commonPrefixes } from './listing.ts'
import { afterKey, afterMarker, collectPage, type Position } from './page.ts'
import { checksumElement, isoSeconds, keyEncoder, ownerElement, readCount } from './render.ts'
import { requireUpload, uploadParts, type UploadRow } from './uploads.ts'
import { aboutOf, keyBytes, keyText, requireBucket } from './versions.ts'
import { document, element, optional } from './xml.ts'

export const listParts = (call: Call): Answer => {
  requireBucket(call.s3.store, call.bucket)
  const upload = requireUpload(call)
  const max = readCount('max-parts', call.query.get('max-parts'))
  const marker = readMarker(call.query.get('part-number-marker'))
  const after = uploadParts(call.s3.store, upload.id).filter((part) => part.number > marker)
  const page = after.slice(0, max)
  return {
    status: 200,
    xml: document(
      'ListPartsResult',
      element('Bucket', call.bucket),
      element('Key', keyEncoder(call)(call.key)),
      element('UploadId', upload.id),
      ownerElement(call, 'Initiator'),
      ownerElement(call),
      element('StorageClass', aboutOf(upload).storageClass),
      element('PartNumberMarker', marker),
      element('NextPartNumberMarker', page.at(-1)?.number ?? marker),
      element('MaxParts', max),
      optional('EncodingType', call.query.get('encoding-type')),
      element('IsTruncated', after.length > page.length),
      optional('ChecksumAlgorithm', upload.declared === 1 ? upload.algorithm : undefined),
      optional('ChecksumType', upload.declared === 1 ? upload.checksumType : undefined),
      page.map((part) =>
        element(
          'Part',
          element('PartNumber', part.number),
          element('LastModified', isoSeconds(part.modified)),
          element('ETag', `"${part.etag}"`),
          element('Size', part.size),
          upload.declared === 1 ? checksumElement(upload.algorithm, part.checksum) : undefined,
        ),
      ),
    ),
  }
}

const readMarker = (text: string | null): number => (text !== null && /^\d{1,9}$/.test(text) ? Number(text) : 0)

/** Uploads from a position on: by key, and in the order of their initiation within a key. */
const uploadsFrom =
  (call: Call) =>
  (from: Position, end: Buffer, limit: number): UploadRow[] =>
    call.s3.store.all<UploadRow>(
      `SELECT * FROM uploads WHERE bucket = ? AND key < ? AND (key >= ? OR (key = ? AND rank > ?))
        ORDER BY key, rank LIMIT ?`,
      call.bucket,
      end,
      from.past === undefined ? from.key : afterKey(from.key),
      from.key,
      from.past ?? Number.MAX_SAFE_INTEGER,
      limit,
    )

const readPosition = (call: Call, prefix: string, delimiter: string): Position => {
  const marker = call.query.get('key-marker') ?? ''
  const id = call.query.get('upload-id-marker')
  const row =
    marker !== '' && id ? call.s3.store.get<{ rank: number }>('SELECT rank FROM uploads WHERE id = ?', id) : undefined
  // An upload that is gone by now makes its key start over: twice is better than not at all.
  if (marker !== '' && id) return { key: keyBytes(marker), ...(row ? { past: row.rank } : {}) }
  return afterMarker(marker, prefix, delimiter)
}

export const listMultipartUploads = (call: Call): Answer => {
  const { query } = call
  requireBucket(call.s3.store, call.bucket)
  const encode = keyEncoder(call)
  const prefix = query.get('prefix') ?? ''
  const delimiter = query.get('delimiter') ?? ''
  const max = readCount('max-uploads', query.get('max-uploads'))
  const from = readPosition(call, prefix, delimiter)
  const page = collectPage({ prefix, delimiter, max, from, fetch: uploadsFrom(call) })
  const last = page.next?.last
  return {
    status: 200,
    xml: document(
      'ListMultipartUploadsResult',
      element('Bucket', call.bucket),
      element('KeyMarker', encode(query.get('key-marker') ?? '')),
      element('UploadIdMarker', query.get('upload-id-marker') ?? ''),
      optional('NextKeyMarker', last && encode(typeof last === 'string' ? last : keyText(last.key))),
      optional('NextUploadIdMarker', typeof last === 'object' ? last.id : undefined),
      element('Prefix', encode(prefix)),
      delimiter === '' ? undefined : element('Delimiter', encode(delimiter)),
      element('MaxUploads', max),
      optional('EncodingType', query.get('encoding-type')),
      element('IsTruncated', page.next !== undefined),
      page.rows.map((row) =>
        element(
          'Upload',
          element('Key', encode(keyText(row.key))),
          element('UploadId', row.id),
          ownerElement(call, 'Initiator'),
          ownerElement(call),
          element('StorageClass', aboutOf(row).storageClass),
          element('Initiated', isoSeconds(row.initiated)),
          optional('ChecksumAlgorithm', row.declared === 1 ? row.algorithm : undefined),
          optional('ChecksumType', row.declared === 1 ? row.checksumType : undefined),
        ),
      ),
      commonPrefixes(call, page.prefixes),
    ),
  }
}
