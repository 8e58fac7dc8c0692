import { createMultipartUpload, abortMultipartUpload } from './uploads.ts'
import {
  createBucket,
  deleteBucket,
  getBucketEncryption,
  getBucketLocation,
  getBucketVersioning,
  headBucket,
  listBuckets,
  putBucketVersioning,
} from './buckets.ts'
import type { Operation } from './call.ts'
import { completeMultipartUpload } from './complete-upload.ts'
import { copyObject } from './copy-object.ts'
import { deleteObject, deleteObjects } from './delete-object.ts'
import { getObject, headObject } from './get-object.ts'
import { listMultipartUploads, listParts } from './list-uploads.ts'
import { listObjectVersions } from './list-versions.ts'
import { listObjects, listObjectsV2 } from './listing.ts'
import { getBucketNotification, putBucketNotification } from './notifications.ts'
import { getObjectAttributes } from './object-attributes.ts'
import { putObject } from './put-object.ts'
import { deleteObjectTagging, getObjectTagging, putObjectTagging } from './tagging.ts'
import { uploadPart, uploadPartCopy } from './upload-part.ts'

type Level = 'service' | 'bucket' | 'object'
/** `needs` and `takes` are query parameters; a request with any other is of an operation that is not here. */
type Route = { on: `${string} ${Level}`; needs?: string[]; takes?: string[]; copies?: boolean; run: Operation }

const paging = ['prefix', 'delimiter', 'encoding-type']
const overrides = [
  'response-content-type',
  'response-content-language',
  'response-expires',
  'response-cache-control',
  'response-content-disposition',
  'response-content-encoding',
]

const routes: Route[] = [
  { on: 'GET service', takes: ['max-buckets', 'continuation-token', 'prefix'], run: listBuckets },
  { on: 'PUT bucket', run: createBucket },
  { on: 'HEAD bucket', run: headBucket },
  { on: 'DELETE bucket', run: deleteBucket },
  { on: 'GET bucket', needs: ['location'], run: getBucketLocation },
  { on: 'GET bucket', needs: ['encryption'], run: getBucketEncryption },
  { on: 'GET bucket', needs: ['versioning'], run: getBucketVersioning },
  { on: 'PUT bucket', needs: ['versioning'], run: putBucketVersioning },
  { on: 'GET bucket', needs: ['notification'], run: getBucketNotification },
  { on: 'PUT bucket', needs: ['notification'], run: putBucketNotification },
  { on: 'POST bucket', needs: ['delete'], run: deleteObjects },
  {
    on: 'GET bucket',
    needs: ['uploads'],
    takes: [...paging, 'max-uploads', 'key-marker', 'upload-id-marker'],
    run: listMultipartUploads,
  },
  {
    on: 'GET bucket',
    needs: ['versions'],
    takes: [...paging, 'max-keys', 'key-marker', 'version-id-marker'],
    run: listObjectVersions,
  },
  {
    on: 'GET bucket',
    needs: ['list-type'],
    takes: [...paging, 'max-keys', 'continuation-token', 'start-after', 'fetch-owner'],
    run: listObjectsV2,
  },
  { on: 'GET bucket', takes: [...paging, 'max-keys', 'marker'], run: listObjects },
  { on: 'GET object', needs: ['attributes'], takes: ['versionId'], run: getObjectAttributes },
  { on: 'GET object', needs: ['tagging'], takes: ['versionId'], run: getObjectTagging },
  { on: 'PUT object', needs: ['tagging'], takes: ['versionId'], run: putObjectTagging },
  { on: 'DELETE object', needs: ['tagging'], takes: ['versionId'], run: deleteObjectTagging },
  { on: 'POST object', needs: ['uploads'], run: createMultipartUpload },
  { on: 'PUT object', needs: ['uploadId', 'partNumber'], copies: true, run: uploadPartCopy },
  { on: 'PUT object', needs: ['uploadId', 'partNumber'], run: uploadPart },
  {
    on: 'GET object',
    needs: ['uploadId'],
    takes: ['max-parts', 'part-number-marker', 'encoding-type'],
    run: listParts,
  },
  { on: 'POST object', needs: ['uploadId'], run: completeMultipartUpload },
  { on: 'DELETE object', needs: ['uploadId'], run: abortMultipartUpload },
  { on: 'PUT object', copies: true, run: copyObject },
  { on: 'PUT object', run: putObject },
  { on: 'GET object', takes: ['versionId', 'partNumber', ...overrides], run: getObject },
  { on: 'HEAD object', takes: ['versionId', 'partNumber', ...overrides], run: headObject },
  { on: 'DELETE object', takes: ['versionId'], run: deleteObject },
]

/** x-id only repeats the operation's name, and x-amz-* are the signature of a presigned URL. */
const isIncidental = (name: string): boolean => name === 'x-id' || name.toLowerCase().startsWith('x-amz-')

/** The operation that a request is of, or undefined where S3 may have one but this server has not. */
export const findOperation = (
  method: string,
  level: Level,
  query: URLSearchParams,
  copies: boolean,
): Operation | undefined => {
  const names = [...query.keys()].filter((name) => !isIncidental(name))
  const route = routes.find(
    ({ on, needs = [], takes = [], copies: onlyCopies = false }) =>
      on === `${method} ${level}` &&
      onlyCopies === copies &&
      needs.every((name) => names.includes(name)) &&
      names.every((name) => needs.includes(name) || takes.includes(name)),
  )
  return route?.run
}
