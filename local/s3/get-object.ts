import { aboutHeaders } from './about.ts'
import { type Answer, type AnswerHeaders, type Call, header, type S3 } from './call.ts'
import { checksumHeader } from './checksums.ts'
import { readConditions } from './conditions.ts'
import { invalidArgument, invalidRequest, S3Error } from './errors.ts'
import { parseRange, type Slice } from './range.ts'
import {
  aboutOf,
  checksumHeaders,
  type PartRow,
  partsOf,
  requireBucket,
  requireVersion,
  tagsOf,
  versionHeader,
  type VersionRow,
} from './versions.ts'

const overrides = [
  'content-type',
  'content-language',
  'expires',
  'cache-control',
  'content-disposition',
  'content-encoding',
]

/** The bytes of a slice over a version's bodies, which stay readable until the reader is done or gone. */
export async function* readParts(s3: S3, parts: PartRow[], slice: Slice): AsyncGenerator<Uint8Array> {
  const unpin = s3.bodies.pin(parts.map((part) => part.body))
  try {
    let offset = 0
    for (const part of parts) {
      const start = Math.max(slice.start - offset, 0)
      const end = Math.min(slice.end - offset, part.size)
      if (start < end) yield* s3.bodies.read(part.body, start, end)
      offset += part.size
    }
  } finally {
    unpin()
  }
}

async function* counted(s3: S3, chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    s3.traffic.bytesRead += chunk.length
    yield chunk
  }
}

const readPartNumber = (call: Call): number | undefined => {
  const text = call.query.get('partNumber')
  if (text === null) return undefined
  const number = Number(text)
  if (!Number.isInteger(number) || number < 1 || number > 10_000)
    throw invalidArgument('partNumber', text, 'Part number must be an integer between 1 and 10000, inclusive')
  if (header(call, 'range') !== undefined)
    throw invalidRequest('Cannot specify both Range header and partNumber query parameter')
  return number
}

/** The part with that place among the object's parts; an object of a single PUT is its own part 1. */
const partSlice = (parts: PartRow[], number: number): Slice => {
  const part = parts[number - 1]
  if (!part)
    throw new S3Error(416, 'InvalidPartNumber', 'The requested partnumber is not satisfiable', {
      details: { PartNumberRequested: number, ActualPartCount: parts.length },
    })
  const start = parts.slice(0, number - 1).reduce((sum, { size }) => sum + size, 0)
  return { start, end: start + part.size }
}

/** The checksum of what is sent: the object's, or a part's own where the object's is composite; none for a range. */
const sentChecksum = (call: Call, row: VersionRow, parts: PartRow[], part: number | undefined): AnswerHeaders => {
  if (header(call, 'x-amz-checksum-mode')?.toUpperCase() !== 'ENABLED' || header(call, 'range') !== undefined) return {}
  if (part === undefined || row.partsCount === null) return checksumHeaders(row)
  if (row.checksumType === 'FULL_OBJECT') return parts.length === 1 ? checksumHeaders(row) : {}
  const checksum = parts[part - 1]?.checksum
  return row.algorithm && checksum
    ? { [checksumHeader(row.algorithm)]: checksum, 'x-amz-checksum-type': 'COMPOSITE' }
    : {}
}

const describe = (call: Call, row: VersionRow): AnswerHeaders => {
  const headers: AnswerHeaders = aboutHeaders(aboutOf(row))
  for (const name of overrides) {
    const value = call.query.get(`response-${name}`)
    if (value !== null) headers[name] = value
  }
  const tags = tagsOf(row).length
  return { ...headers, 'accept-ranges': 'bytes', 'x-amz-tagging-count': tags > 0 ? tags : undefined }
}

/** GetObject and HeadObject: the same answer, but for the body. */
const answerObject = (call: Call, withBody: boolean): Answer => {
  const { s3 } = call
  const bucket = requireBucket(s3.store, call.bucket)
  const row = requireVersion(s3.store, bucket, call.key, call.query.get('versionId'))
  if (withBody && ['GLACIER', 'DEEP_ARCHIVE'].includes(aboutOf(row).storageClass))
    throw new S3Error(403, 'InvalidObjectState', "The operation is not valid for the object's storage class", {
      details: { StorageClass: aboutOf(row).storageClass },
    })
  const identity: AnswerHeaders = {
    etag: `"${row.etag}"`,
    'last-modified': new Date(row.modified).toUTCString(),
    ...versionHeader(bucket, row),
  }
  if (readConditions(call, row) === 'not-modified') return { status: 304, headers: identity }
  const part = readPartNumber(call)
  const parts = partsOf(s3.store, row.id)
  const partial = part === undefined ? parseRange(header(call, 'range'), row.size) : partSlice(parts, part)
  const slice = partial ?? { start: 0, end: row.size }
  const isPartial = partial !== undefined && row.size > 0
  return {
    status: isPartial ? 206 : 200,
    headers: {
      ...describe(call, row),
      ...identity,
      ...sentChecksum(call, row, parts, part),
      'x-amz-mp-parts-count': part === undefined ? undefined : (row.partsCount ?? undefined),
      'content-length': slice.end - slice.start,
      'content-range': isPartial ? `bytes ${slice.start}-${slice.end - 1}/${row.size}` : undefined,
    },
    ...(withBody ? { body: counted(s3, readParts(s3, parts, slice)) } : {}),
  }
}

export const headObject = (call: Call): Answer => answerObject(call, false)

export const getObject = (call: Call): Answer => {
  const answer = answerObject(call, true)
  call.s3.traffic.gets += 1
  return answer
}
