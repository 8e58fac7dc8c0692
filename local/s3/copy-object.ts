import { type About, encryptionHeaders, etagOf, readAbout, readTagsHeader } from './about.ts'
import { type Answer, type Call, change, header } from './call.ts'
import { checkWriteConditions } from './conditions.ts'
import { copyBody, type CopySource, requireCopySource } from './copy-source.ts'
import { invalidArgument, invalidRequest } from './errors.ts'
import { announce } from './events.ts'
import { requestedAlgorithm, wantsNoChecksum } from './receive.ts'
import { checksumElements, isoSeconds } from './render.ts'
import { aboutOf, insertVersion, keyText, requireBucket, tagsOf, versionHeader } from './versions.ts'
import { document, element } from './xml.ts'

const readDirective = (call: Call, name: string): 'COPY' | 'REPLACE' => {
  const directive = header(call, name) ?? 'COPY'
  if (directive !== 'COPY' && directive !== 'REPLACE')
    throw invalidArgument(
      name,
      directive,
      `Unknown ${name === 'x-amz-tagging-directive' ? 'tagging' : 'metadata'} directive.`,
    )
  return directive
}

const copiedAbout = (call: Call, source: CopySource): About => {
  const given = readAbout(call)
  if (readDirective(call, 'x-amz-metadata-directive') === 'REPLACE') return given
  return { ...given, headers: aboutOf(source.row).headers }
}

/** S3 refuses a copy of an object onto itself that would change nothing. */
const checkChangesSomething = (call: Call, source: CopySource): void => {
  const itself = source.bucket.name === call.bucket && keyText(source.row.key) === call.key && source.row.latest === 1
  const changes = ['x-amz-storage-class', 'x-amz-server-side-encryption', 'x-amz-website-redirect-location']
  if (
    itself &&
    readDirective(call, 'x-amz-metadata-directive') === 'COPY' &&
    changes.every((name) => header(call, name) === undefined)
  )
    throw invalidRequest(
      "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes.",
    )
}

export const copyObject = async (call: Call): Promise<Answer> => {
  const { s3 } = call
  requireBucket(s3.store, call.bucket)
  const source = requireCopySource(call)
  checkChangesSomething(call, source)
  const about = copiedAbout(call, source)
  const tags = readDirective(call, 'x-amz-tagging-directive') === 'REPLACE' ? readTagsHeader(call) : tagsOf(source.row)
  checkWriteConditions(call)
  const algorithm = wantsNoChecksum(call)
    ? undefined
    : (requestedAlgorithm(call) ?? source.row.algorithm ?? 'CRC64NVME')
  const copied = await copyBody(s3, source.row, { start: 0, end: source.row.size }, algorithm ? [algorithm] : [])
  const value = algorithm && copied.checksums.get(algorithm)
  try {
    const { bucket, row } = change(s3, (dropped) => {
      const target = requireBucket(s3.store, call.bucket)
      checkWriteConditions(call)
      const inserted = insertVersion(
        s3.store,
        target,
        {
          key: call.key,
          marker: false,
          modified: s3.now(),
          size: copied.size,
          etag: etagOf(about, copied.md5),
          about,
          tags,
          ...(algorithm && value ? { checksum: { algorithm, type: 'FULL_OBJECT' as const, value } } : {}),
          parts: [{ number: 1, body: copied.writer.id, size: copied.size, checksum: value ?? null }],
        },
        dropped,
      )
      announce(call, target, { name: 'ObjectCreated:Copy', reason: 'CopyObject', row: inserted })
      return { bucket: target, row: inserted }
    })
    return {
      status: 200,
      headers: {
        ...versionHeader(bucket, row),
        ...encryptionHeaders(about),
        'x-amz-copy-source-version-id': source.versioned ? source.row.version : undefined,
      },
      xml: document(
        'CopyObjectResult',
        element('LastModified', isoSeconds(row.modified)),
        element('ETag', `"${row.etag}"`),
        checksumElements(row),
      ),
    }
  } catch (error) {
    await copied.writer.discard()
    throw error
  }
}
