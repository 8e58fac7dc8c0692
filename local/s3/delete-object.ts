import { type Answer, type Call, change, header } from './call.ts'
import { invalidRequest, malformedXml, notImplemented, preconditionFailed, S3Error } from './errors.ts'
import { announce } from './events.ts'
import { receiveText } from './receive.ts'
import {
  type Bucket,
  checkVersionId,
  insertVersion,
  latestVersion,
  noSuchKey,
  removeVersion,
  requireBucket,
  versionById,
  type VersionRow,
} from './versions.ts'
import { children, childText, document, element, optional, parseXml, requiredText, type Xml } from './xml.ts'

const objectsMax = 1000

/** What became of one delete: the version that went, or the marker that came. */
type Deletion = { version?: string; marker: boolean; created: boolean }

const emptyMd5 = 'd41d8cd98f00b204e9800998ecf8427e'

const deleteVersion = (call: Call, bucket: Bucket, key: string, version: string, dropped: string[]): Deletion => {
  const row = versionById(call.s3.store, bucket.name, key, version)
  if (!row) return { version, marker: false, created: false }
  removeVersion(call.s3.store, row, dropped)
  announce(call, bucket, { name: 'ObjectRemoved:Delete', reason: 'DeleteObject', row })
  return { version, marker: row.marker === 1, created: false }
}

const deleteCurrent = (call: Call, bucket: Bucket, key: string, dropped: string[]): Deletion => {
  const { store } = call.s3
  if (bucket.versioning === null) {
    const row = latestVersion(store, bucket.name, key)
    if (!row) return { marker: false, created: false }
    removeVersion(store, row, dropped)
    announce(call, bucket, { name: 'ObjectRemoved:Delete', reason: 'DeleteObject', row })
    return { marker: false, created: false }
  }
  const row = insertVersion(
    store,
    bucket,
    { key, marker: true, modified: call.s3.now(), size: 0, etag: emptyMd5, tags: [], parts: [] },
    dropped,
  )
  announce(call, bucket, { name: 'ObjectRemoved:DeleteMarkerCreated', reason: 'DeleteObject', row })
  return { version: row.version, marker: true, created: true }
}

const checkIfMatch = (row: VersionRow | undefined, key: string, etag: string): void => {
  if (!row || row.marker === 1) throw noSuchKey(key)
  if (etag !== '*' && etag.replaceAll('"', '') !== row.etag) throw preconditionFailed('If-Match')
}

const deleteOne = (call: Call, key: string, version: string | undefined, etag: string | undefined): Deletion =>
  change(call.s3, (dropped) => {
    const bucket = requireBucket(call.s3.store, call.bucket)
    if (version !== undefined) checkVersionId(version)
    if (etag !== undefined) checkIfMatch(latestVersion(call.s3.store, bucket.name, key), key, etag)
    return version === undefined
      ? deleteCurrent(call, bucket, key, dropped)
      : deleteVersion(call, bucket, key, version, dropped)
  })

export const deleteObject = (call: Call): Answer => {
  const deletion = deleteOne(call, call.key, call.query.get('versionId') ?? undefined, header(call, 'if-match'))
  return {
    status: 204,
    headers: {
      'x-amz-delete-marker': deletion.marker ? 'true' : undefined,
      'x-amz-version-id': deletion.version,
    },
  }
}

const deletedElement = (key: string, version: string | undefined, deletion: Deletion): Xml =>
  element(
    'Deleted',
    element('Key', key),
    optional('VersionId', version),
    optional('DeleteMarker', deletion.marker ? true : undefined),
    optional('DeleteMarkerVersionId', deletion.marker ? deletion.version : undefined),
  )

export const deleteObjects = async (call: Call): Promise<Answer> => {
  requireBucket(call.s3.store, call.bucket)
  const { text, checked } = await receiveText(call)
  if (!checked) throw invalidRequest('Missing required header for this request: Content-MD5 or x-amz-checksum-*')
  const root = parseXml(text, 'Delete')
  const objects = children(root, 'Object')
  if (objects.length === 0 || objects.length > objectsMax) throw malformedXml()
  const quiet = childText(root, 'Quiet')?.trim() === 'true'
  const results = objects.map((object): Xml | undefined => {
    const key = requiredText(object, 'Key')
    const version = childText(object, 'VersionId')
    if (object['LastModifiedTime'] || object['Size']) throw notImplemented('LastModifiedTime and Size of a delete')
    try {
      const deletion = deleteOne(call, key, version, childText(object, 'ETag'))
      return quiet ? undefined : deletedElement(key, version, deletion)
    } catch (error) {
      if (!(error instanceof S3Error)) throw error
      return element(
        'Error',
        element('Key', key),
        optional('VersionId', version),
        element('Code', error.code),
        element('Message', error.message),
      )
    }
  })
  return { status: 200, xml: document('DeleteResult', results) }
}
