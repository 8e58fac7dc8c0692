import { type Answer, type Call, change, header } from './call.ts'
import { invalidArgument, malformedXml, notImplemented, S3Error } from './errors.ts'
import { receiveText } from './receive.ts'
import { isoSeconds, ownerElement } from './render.ts'
import { type Bucket, findBucket, requireBucket } from './versions.ts'
import { childText, document, element, optional, parseXml } from './xml.ts'

const isBucketName = (name: string): boolean =>
  /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(name) && !name.includes('..') && !/^\d+\.\d+\.\d+\.\d+$/.test(name)

export const createBucket = async (call: Call): Promise<Answer> => {
  const { s3, bucket: name } = call
  if (!isBucketName(name))
    throw new S3Error(400, 'InvalidBucketName', 'The specified bucket is not valid.', { details: { BucketName: name } })
  if (header(call, 'x-amz-bucket-object-lock-enabled')?.toLowerCase() === 'true') throw notImplemented('object lock')
  const { text } = await receiveText(call)
  const region =
    text === '' ? undefined : childText(parseXml(text, 'CreateBucketConfiguration'), 'LocationConstraint')?.trim()
  return change(s3, () => {
    // Only us-east-1 lets an owner create a bucket again; it changes nothing.
    if (findBucket(s3.store, name) && s3.region !== 'us-east-1')
      throw new S3Error(
        409,
        'BucketAlreadyOwnedByYou',
        'Your previous request to create the named bucket succeeded and you already own it.',
        { details: { BucketName: name } },
      )
    s3.store.run(
      'INSERT OR IGNORE INTO buckets (name, created, region) VALUES (?, ?, ?)',
      name,
      s3.now(),
      region || s3.region,
    )
    return { status: 200, headers: { location: `/${name}` } }
  })
}

export const headBucket = (call: Call): Answer => {
  const bucket = requireBucket(call.s3.store, call.bucket)
  return { status: 200, headers: { 'x-amz-bucket-region': bucket.region, 'x-amz-access-point-alias': 'false' } }
}

export const deleteBucket = (call: Call): Answer =>
  change(call.s3, (dropped) => {
    const { store } = call.s3
    requireBucket(store, call.bucket)
    if (store.get('SELECT 1 FROM versions WHERE bucket = ? LIMIT 1', call.bucket))
      throw new S3Error(409, 'BucketNotEmpty', 'The bucket you tried to delete is not empty', {
        details: { BucketName: call.bucket },
      })
    const inUpload = 'upload IN (SELECT id FROM uploads WHERE bucket = ?)'
    const parts = store.all<{ body: string }>(`SELECT body FROM uploadParts WHERE ${inUpload}`, call.bucket)
    dropped.push(...parts.map(({ body }) => body))
    store.run(`DELETE FROM uploadParts WHERE ${inUpload}`, call.bucket)
    store.run('DELETE FROM uploads WHERE bucket = ?', call.bucket)
    store.run('DELETE FROM buckets WHERE name = ?', call.bucket)
    return { status: 204 }
  })

export const listBuckets = (call: Call): Answer => {
  const { query } = call
  const prefix = query.get('prefix') ?? ''
  const max = Number(query.get('max-buckets') ?? 10_000)
  if (!Number.isInteger(max) || max < 1 || max > 10_000)
    throw invalidArgument('max-buckets', String(max), 'max-buckets must be between 1 and 10000')
  const buckets = call.s3.store
    .all<Bucket>('SELECT * FROM buckets WHERE name > ? ORDER BY name', query.get('continuation-token') ?? '')
    .filter(({ name }) => name.startsWith(prefix))
  const page = buckets.slice(0, max)
  return {
    status: 200,
    xml: document(
      'ListAllMyBucketsResult',
      ownerElement(call),
      element(
        'Buckets',
        page.map((bucket) =>
          element(
            'Bucket',
            element('Name', bucket.name),
            element('CreationDate', isoSeconds(bucket.created)),
            element('BucketRegion', bucket.region),
          ),
        ),
      ),
      optional('ContinuationToken', buckets.length > page.length ? page.at(-1)?.name : undefined),
      optional('Prefix', query.get('prefix')),
    ),
  }
}

export const getBucketLocation = (call: Call): Answer => {
  const { region } = requireBucket(call.s3.store, call.bucket)
  return { status: 200, xml: document('LocationConstraint', region === 'us-east-1' ? '' : region) }
}

/** What every bucket has had since 2023; another encryption cannot be set here. */
export const getBucketEncryption = (call: Call): Answer => {
  requireBucket(call.s3.store, call.bucket)
  const byDefault = element('ApplyServerSideEncryptionByDefault', element('SSEAlgorithm', 'AES256'))
  return { status: 200, xml: document('ServerSideEncryptionConfiguration', element('Rule', byDefault)) }
}

export const getBucketVersioning = (call: Call): Answer => {
  const { versioning } = requireBucket(call.s3.store, call.bucket)
  return { status: 200, xml: document('VersioningConfiguration', optional('Status', versioning)) }
}

export const putBucketVersioning = async (call: Call): Promise<Answer> => {
  const root = parseXml((await receiveText(call)).text, 'VersioningConfiguration')
  const status = childText(root, 'Status')?.trim()
  if (childText(root, 'MfaDelete')?.trim() === 'Enabled') throw notImplemented('MfaDelete')
  if (status !== 'Enabled' && status !== 'Suspended') throw malformedXml()
  return change(call.s3, () => {
    requireBucket(call.s3.store, call.bucket)
    call.s3.store.run('UPDATE buckets SET versioning = ? WHERE name = ?', status, call.bucket)
    return { status: 200 }
  })
}
