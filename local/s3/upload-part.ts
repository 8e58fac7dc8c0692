import { encryptionHeaders, etagOf } from './about.ts'
import type { BodyWriter } from './bodies.ts'
import { type Answer, type Call, change, header } from './call.ts'
import { type Algorithm, checksumHeader } from './checksums.ts'
import { copyBody, requireCopySource } from './copy-source.ts'
import { invalidArgument, invalidRequest } from './errors.ts'
import type { Slice } from './range.ts'
import { declaredAlgorithm, receiveBody, type Received } from './receive.ts'
import { checksumElement, isoSeconds } from './render.ts'
import { readPartNumber, requireUpload, type UploadPartRow, type UploadRow } from './uploads.ts'
import { aboutOf, requireBucket, type VersionRow } from './versions.ts'
import { document, element } from './xml.ts'

/** Makes a received body part `number` of the upload, in place of an earlier one of that number. */
const keepPart = async (
  call: Call,
  number: number,
  received: Received & { writer: BodyWriter },
): Promise<UploadPartRow> => {
  const { s3 } = call
  try {
    return change(s3, (dropped) => {
      const upload = requireUpload(call)
      const earlier = s3.store.get<{ body: string }>(
        'SELECT body FROM uploadParts WHERE upload = ? AND number = ?',
        upload.id,
        number,
      )
      if (earlier) dropped.push(earlier.body)
      const part: UploadPartRow = {
        number,
        body: received.writer.id,
        size: received.size,
        etag: etagOf(aboutOf(upload), received.md5),
        checksum: (upload.algorithm && received.checksums.get(upload.algorithm)) ?? null,
        modified: s3.now(),
      }
      s3.store.run(
        'INSERT OR REPLACE INTO uploadParts VALUES (?, ?, ?, ?, ?, ?, ?)',
        upload.id,
        number,
        part.body,
        part.size,
        part.etag,
        part.checksum,
        part.modified,
      )
      return part
    })
  } catch (error) {
    await received.writer.discard()
    throw error
  }
}

/** An upload with an algorithm takes no other; one that composes needs the client's own checksum of each part. */
const checkAlgorithm = (upload: UploadRow, given: Algorithm | undefined): void => {
  if (upload.declared === 0 || given === upload.algorithm) return
  if (given === undefined && upload.checksumType === 'FULL_OBJECT') return
  throw invalidRequest(
    `Checksum Type mismatch occurred, expected checksum Type: ${upload.algorithm?.toLowerCase()}, actual checksum Type: ${given?.toLowerCase() ?? 'null'}`,
  )
}

export const uploadPart = async (call: Call): Promise<Answer> => {
  requireBucket(call.s3.store, call.bucket)
  const number = readPartNumber(call)
  const upload = requireUpload(call)
  checkAlgorithm(upload, declaredAlgorithm(call))
  const part = await keepPart(call, number, await receiveBody(call, upload.algorithm ? [upload.algorithm] : []))
  return {
    status: 200,
    headers: {
      etag: `"${part.etag}"`,
      ...encryptionHeaders(aboutOf(upload)),
      ...(upload.algorithm && part.checksum ? { [checksumHeader(upload.algorithm)]: part.checksum } : {}),
    },
  }
}

const readCopyRange = (call: Call, source: VersionRow): Slice => {
  const range = header(call, 'x-amz-copy-source-range')
  if (range === undefined) return { start: 0, end: source.size }
  const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(range) ?? []
  if (first === undefined || last === undefined || Number(last) < Number(first))
    throw invalidArgument(
      'x-amz-copy-source-range',
      range,
      'The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy',
    )
  if (Number(last) >= source.size)
    throw invalidArgument(
      'x-amz-copy-source-range',
      range,
      `Range specified is not valid for source object of size: ${source.size}`,
    )
  return { start: Number(first), end: Number(last) + 1 }
}

export const uploadPartCopy = async (call: Call): Promise<Answer> => {
  requireBucket(call.s3.store, call.bucket)
  const number = readPartNumber(call)
  const upload = requireUpload(call)
  const source = requireCopySource(call)
  const wanted = upload.algorithm ? [upload.algorithm] : []
  const copied = await copyBody(call.s3, source.row, readCopyRange(call, source.row), wanted)
  const part = await keepPart(call, number, copied)
  return {
    status: 200,
    headers: {
      ...encryptionHeaders(aboutOf(upload)),
      'x-amz-copy-source-version-id': source.versioned ? source.row.version : undefined,
    },
    xml: document(
      'CopyPartResult',
      element('LastModified', isoSeconds(part.modified)),
      element('ETag', `"${part.etag}"`),
      checksumElement(upload.algorithm, part.checksum),
    ),
  }
}
