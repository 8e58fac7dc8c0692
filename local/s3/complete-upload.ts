import { createHash } from 'node:crypto'
import { encryptionHeaders } from './about.ts'
import { type Answer, type Call, change, header } from './call.ts'
import { type Algorithm, type Checksum, checksumHeader, compositeOf, isAlgorithm } from './checksums.ts'
import { combineCrcs } from './combine-crc.ts'
import { checkWriteConditions } from './conditions.ts'
import { invalidRequest, malformedXml, S3Error } from './errors.ts'
import { announce } from './events.ts'
import { checkFormat, declaredAlgorithm, receiveText } from './receive.ts'
import { checksumElements } from './render.ts'
import { dropUpload, requireUpload, type UploadPartRow, uploadParts, type UploadRow } from './uploads.ts'
import { aboutOf, insertVersion, requireBucket, tagsOf, versionHeader } from './versions.ts'
import { children, childText, document, element, parseXml, requiredText } from './xml.ts'

const partBytesMin = 5 * 2 ** 20

type NamedPart = { number: number; etag: string; checksums: Map<Algorithm, string> }

const readNamedParts = (text: string): NamedPart[] => {
  const parts = children(parseXml(text, 'CompleteMultipartUpload'), 'Part').map((part): NamedPart => {
    const number = Number(requiredText(part, 'PartNumber'))
    if (!Number.isInteger(number)) throw malformedXml()
    const checksums = new Map<Algorithm, string>()
    for (const name of Object.keys(part)) {
      const algorithm = name.replace(/^Checksum/, '')
      const value = childText(part, name)
      if (name !== algorithm && isAlgorithm(algorithm) && value) checksums.set(algorithm, value.trim())
    }
    return { number, etag: requiredText(part, 'ETag').replaceAll('"', '').trim(), checksums }
  })
  if (parts.length === 0 || parts.length > 10_000) throw malformedXml()
  if (parts.some((part, index) => index > 0 && part.number <= (parts[index - 1]?.number ?? 0)))
    throw new S3Error(
      400,
      'InvalidPartOrder',
      'The list of parts was not in ascending order. Parts must be ordered by part number.',
    )
  return parts
}

const invalidPart = (upload: UploadRow, named: NamedPart): S3Error =>
  new S3Error(
    400,
    'InvalidPart',
    "One or more of the specified parts could not be found. The part may not have been uploaded, or the specified entity tag may not match the part's entity tag.",
    { details: { UploadId: upload.id, PartNumber: named.number, ETag: named.etag } },
  )

const checkPartChecksum = (upload: UploadRow, named: NamedPart, stored: UploadPartRow): void => {
  if (upload.algorithm === null || upload.declared === 0) return
  const given = named.checksums.get(upload.algorithm)
  if (given === undefined && upload.checksumType === 'COMPOSITE')
    throw invalidRequest(
      `The upload was created using a ${upload.algorithm.toLowerCase()} checksum. The complete request must include the checksum for each part. It was missing for part ${named.number} in the request.`,
    )
  if (given !== undefined && given !== stored.checksum) throw invalidPart(upload, named)
}

/** The parts that the client names, each as it was uploaded, each but the last of at least 5 MiB. */
const chosenParts = (call: Call, upload: UploadRow, named: NamedPart[]): UploadPartRow[] => {
  const byNumber = new Map(uploadParts(call.s3.store, upload.id).map((part) => [part.number, part]))
  return named.map((name, index) => {
    const stored = byNumber.get(name.number)
    if (!stored || stored.etag !== name.etag) throw invalidPart(upload, name)
    checkPartChecksum(upload, name, stored)
    if (index < named.length - 1 && stored.size < partBytesMin)
      throw new S3Error(400, 'EntityTooSmall', 'Your proposed upload is smaller than the minimum allowed size', {
        details: {
          ProposedSize: stored.size,
          MinSizeAllowed: partBytesMin,
          PartNumber: stored.number,
          ETag: stored.etag,
        },
      })
    return stored
  })
}

const checksumOf = async (upload: UploadRow, parts: UploadPartRow[]): Promise<Checksum | undefined> => {
  const { algorithm, checksumType: type } = upload
  if (algorithm === null || type === null) return undefined
  const sized = parts.map(({ size, checksum }) => ({ size, checksum: checksum ?? '' }))
  if (type === 'FULL_OBJECT') return { algorithm, type, value: combineCrcs(algorithm, sized) }
  return {
    algorithm,
    type,
    value: await compositeOf(
      algorithm,
      sized.map(({ checksum }) => checksum),
    ),
  }
}

/** What the client says of the whole: its size, its checksum (with or without `-N` when composite) and their type. */
const checkWhole = (
  call: Call,
  given: { algorithm: Algorithm; value: string } | undefined,
  checksum: Checksum | undefined,
  size: number,
): void => {
  const type = header(call, 'x-amz-checksum-type')
  if (type !== undefined && checksum && type !== checksum.type)
    throw invalidRequest(
      `The upload was created using the ${checksum.type} checksum mode. The complete request must use the same checksum mode.`,
    )
  const objectSize = header(call, 'x-amz-mp-object-size')
  if (objectSize !== undefined && Number(objectSize) !== size)
    throw invalidRequest(
      `The provided 'x-amz-mp-object-size' header value ${objectSize} does not match what was computed: ${size}`,
    )
  if (!given || !checksum || given.algorithm !== checksum.algorithm) return
  const matches = given.value === checksum.value || given.value === checksum.value.replace(/-\d+$/, '')
  if (!matches)
    throw new S3Error(
      400,
      'BadDigest',
      `The ${checksum.algorithm.toLowerCase()} you specified did not match the calculated checksum.`,
    )
}

/** The checksum headers of this request speak of the object, not of the request's own body: they are taken off here. */
const takeObjectChecksum = (call: Call): { algorithm: Algorithm; value: string } | undefined => {
  const algorithm = declaredAlgorithm(call)
  if (algorithm === undefined) return undefined
  const value = header(call, checksumHeader(algorithm)) ?? ''
  checkFormat(algorithm, value.replace(/-\d+$/, ''))
  delete call.request.headers[checksumHeader(algorithm)]
  return { algorithm, value }
}

export const completeMultipartUpload = async (call: Call): Promise<Answer> => {
  const { s3 } = call
  requireBucket(s3.store, call.bucket)
  const given = takeObjectChecksum(call)
  const named = readNamedParts((await receiveText(call)).text)
  const chosen = chosenParts(call, requireUpload(call), named)
  const checksum = await checksumOf(requireUpload(call), chosen)
  return change(s3, (dropped) => {
    const bucket = requireBucket(s3.store, call.bucket)
    const upload = requireUpload(call)
    const parts = chosenParts(call, upload, named)
    const size = parts.reduce((sum, part) => sum + part.size, 0)
    checkWhole(call, given, checksum, size)
    checkWriteConditions(call)
    const md5 = createHash('md5')
    for (const part of parts) md5.update(Buffer.from(part.etag, 'hex'))
    dropUpload(s3.store, upload.id, new Set(parts.map((part) => part.body)), dropped)
    const row = insertVersion(
      s3.store,
      bucket,
      {
        key: call.key,
        marker: false,
        // S3 dates and orders a multipart object by its initiation, not by its completion.
        modified: upload.initiated,
        rank: upload.rank,
        size,
        etag: `${md5.digest('hex')}-${parts.length}`,
        about: aboutOf(upload),
        tags: tagsOf(upload),
        ...(checksum ? { checksum } : {}),
        partsCount: parts.length,
        parts: parts.map((part, index) => ({ ...part, number: index + 1 })),
      },
      dropped,
    )
    announce(call, bucket, {
      name: 'ObjectCreated:CompleteMultipartUpload',
      reason: 'CompleteMultipartUpload',
      row,
    })
    return {
      status: 200,
      headers: { ...versionHeader(bucket, row), ...encryptionHeaders(aboutOf(row)) },
      xml: document(
        'CompleteMultipartUploadResult',
        element('Location', `http://${header(call, 'host') ?? 'localhost'}/${call.bucket}/${encodeURI(call.key)}`),
        element('Bucket', call.bucket),
        element('Key', call.key),
        element('ETag', `"${row.etag}"`),
        checksumElements(row),
      ),
    }
  })
}
