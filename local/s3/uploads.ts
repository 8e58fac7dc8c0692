import { randomBytes } from 'node:crypto'
import { encryptionHeaders, readAbout, readTagsHeader } from './about.ts'
import { type Answer, type Call, change, header } from './call.ts'
import type { Algorithm, ChecksumType } from './checksums.ts'
import { invalidArgument, invalidRequest, S3Error } from './errors.ts'
import { requestedAlgorithm, wantsNoChecksum } from './receive.ts'
import { nextRank, type Store } from './store.ts'
import { keyBytes, requireBucket } from './versions.ts'
import { document, element } from './xml.ts'

/** A row of `uploads`. `declared` is 0 where the client named no algorithm: then CRC64NVME, or none at all (null). */
export type UploadRow = {
  id: string
  bucket: string
  key: Uint8Array
  rank: number
  initiated: number
  about: string
  tags: string
  algorithm: Algorithm | null
  checksumType: ChecksumType | null
  declared: number
}
export type UploadPartRow = {
  number: number
  body: string
  size: number
  etag: string
  checksum: string | null
  modified: number
}

export const requireUpload = (call: Call): UploadRow => {
  const row = call.s3.store.get<UploadRow>(
    'SELECT * FROM uploads WHERE id = ? AND bucket = ? AND key = ?',
    call.query.get('uploadId') ?? '',
    call.bucket,
    keyBytes(call.key),
  )
  if (!row)
    throw new S3Error(
      404,
      'NoSuchUpload',
      'The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.',
      { details: { UploadId: call.query.get('uploadId') ?? '' } },
    )
  return row
}

export const uploadParts = (store: Store, upload: string): UploadPartRow[] =>
  store.all<UploadPartRow>(
    'SELECT number, body, size, etag, checksum, modified FROM uploadParts WHERE upload = ? ORDER BY number',
    upload,
  )

export const readPartNumber = (call: Call): number => {
  const text = call.query.get('partNumber') ?? ''
  const number = Number(text)
  if (!/^\d+$/.test(text) || number < 1 || number > 10_000)
    throw invalidArgument('partNumber', text, 'Part number must be an integer between 1 and 10000, inclusive')
  return number
}

/** S3's table of what goes together: SHA digests only compose, CRC64NVME only combines, the other CRCs do both. */
export const readChecksumType = (call: Call, algorithm: Algorithm | undefined): ChecksumType | undefined => {
  const type = header(call, 'x-amz-checksum-type')
  if (type !== undefined && type !== 'FULL_OBJECT' && type !== 'COMPOSITE')
    throw invalidRequest('Value for x-amz-checksum-type header is invalid.')
  if (algorithm === undefined) {
    if (type === undefined) return undefined
    throw invalidRequest('The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.')
  }
  const isSha = algorithm === 'SHA1' || algorithm === 'SHA256'
  if ((type === 'FULL_OBJECT' && isSha) || (type === 'COMPOSITE' && algorithm === 'CRC64NVME'))
    throw invalidRequest(
      `The ${type} checksum type cannot be used with the ${algorithm.toLowerCase()} checksum algorithm.`,
    )
  return type ?? (algorithm === 'CRC64NVME' ? 'FULL_OBJECT' : 'COMPOSITE')
}

export const createMultipartUpload = (call: Call): Answer => {
  const { s3 } = call
  const about = readAbout(call)
  const tags = readTagsHeader(call)
  const declared = wantsNoChecksum(call) ? undefined : requestedAlgorithm(call)
  const type = wantsNoChecksum(call) ? undefined : readChecksumType(call, declared)
  const byDefault = wantsNoChecksum(call) ? null : 'CRC64NVME'
  const id = randomBytes(48).toString('base64url').replaceAll('-', '.')
  return change(s3, () => {
    requireBucket(s3.store, call.bucket)
    s3.store.run(
      'INSERT INTO uploads VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
      id,
      call.bucket,
      keyBytes(call.key),
      nextRank(s3.store),
      s3.now(),
      JSON.stringify(about),
      JSON.stringify(tags),
      declared ?? byDefault,
      type ?? (byDefault && 'FULL_OBJECT'),
      Number(declared !== undefined),
    )
    return {
      status: 200,
      headers: {
        ...encryptionHeaders(about),
        'x-amz-checksum-algorithm': declared,
        'x-amz-checksum-type': type,
      },
      xml: document(
        'InitiateMultipartUploadResult',
        element('Bucket', call.bucket),
        element('Key', call.key),
        element('UploadId', id),
      ),
    }
  })
}

export const abortMultipartUpload = (call: Call): Answer =>
  change(call.s3, (dropped) => {
    requireBucket(call.s3.store, call.bucket)
    const upload = requireUpload(call)
    dropUpload(call.s3.store, upload.id, new Set(), dropped)
    return { status: 204 }
  })

/** Forgets an upload; the bodies of its parts go into `dropped`, but for those in `kept`. */
export const dropUpload = (store: Store, id: string, kept: Set<string>, dropped: string[]): void => {
  for (const { body } of uploadParts(store, id)) if (!kept.has(body)) dropped.push(body)
  store.run('DELETE FROM uploadParts WHERE upload = ?', id)
  store.run('DELETE FROM uploads WHERE id = ?', id)
}
