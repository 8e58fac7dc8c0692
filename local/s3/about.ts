import { randomUUID } from 'node:crypto'
import { type AnswerHeaders, type Call, header } from './call.ts'
import { invalidArgument, notImplemented, S3Error } from './errors.ts'

/** What a client says of an object besides its bytes; `headers` are sent back as they came. */
export type About = { headers: Record<string, string>; storageClass: string; encryption: string; kmsKeyId?: string }

const kept = [
  'content-type',
  'cache-control',
  'content-disposition',
  'content-language',
  'expires',
  'x-amz-website-redirect-location',
]
const storageClasses = new Set([
  'STANDARD',
  'REDUCED_REDUNDANCY',
  'STANDARD_IA',
  'ONEZONE_IA',
  'INTELLIGENT_TIERING',
  'GLACIER_IR',
  'GLACIER',
  'DEEP_ARCHIVE',
])
const refused = [
  /^x-amz-object-lock-/,
  /^x-amz-server-side-encryption-customer-/,
  /^x-amz-copy-source-server-side-encryption-/,
  /^x-amz-server-side-encryption-context$/,
  /^x-amz-grant-/,
  /^x-amz-write-offset-bytes$/,
]
const acls = new Set(['private', 'bucket-owner-full-control'])
const metadataBytesMax = 2048

const readStorageClass = (call: Call): string => {
  const storageClass = header(call, 'x-amz-storage-class') ?? 'STANDARD'
  if (!storageClasses.has(storageClass))
    throw new S3Error(400, 'InvalidStorageClass', 'The storage class you specified is not valid')
  return storageClass
}

const readEncryption = (call: Call): string => {
  const encryption = header(call, 'x-amz-server-side-encryption') ?? 'AES256'
  if (!['AES256', 'aws:kms', 'aws:kms:dsse'].includes(encryption))
    throw invalidArgument(
      'x-amz-server-side-encryption',
      encryption,
      'The encryption method specified is not supported',
    )
  return encryption
}

const refuseUnknown = (call: Call): void => {
  for (const name of Object.keys(call.request.headers))
    if (refused.some((pattern) => pattern.test(name))) throw notImplemented(name)
  const acl = header(call, 'x-amz-acl')
  if (acl !== undefined && !acls.has(acl))
    throw new S3Error(400, 'AccessControlListNotSupported', 'The bucket does not allow ACLs')
}

const readHeaders = (call: Call): Record<string, string> => {
  const headers: Record<string, string> = {}
  let metadataBytes = 0
  for (const [name, value] of Object.entries(call.request.headers)) {
    if (typeof value !== 'string') continue
    if (name.startsWith('x-amz-meta-')) {
      metadataBytes += name.length - 'x-amz-meta-'.length + value.length
      headers[name] = value
    } else if (kept.includes(name)) headers[name] = value
  }
  if (metadataBytes > metadataBytesMax)
    throw new S3Error(400, 'MetadataTooLarge', 'Your metadata headers exceed the maximum allowed metadata size')
  const codings = (header(call, 'content-encoding') ?? '').split(',').map((coding) => coding.trim())
  const encoding = codings.filter((coding) => coding !== '' && coding !== 'aws-chunked').join(',')
  return encoding === '' ? headers : { ...headers, 'content-encoding': encoding }
}

export const readAbout = (call: Call): About => {
  refuseUnknown(call)
  const kmsKeyId = header(call, 'x-amz-server-side-encryption-aws-kms-key-id')
  return {
    headers: readHeaders(call),
    storageClass: readStorageClass(call),
    encryption: readEncryption(call),
    ...(kmsKeyId === undefined ? {} : { kmsKeyId }),
  }
}

export const encryptionHeaders = (about: About): AnswerHeaders => ({
  'x-amz-server-side-encryption': about.encryption,
  'x-amz-server-side-encryption-aws-kms-key-id': about.kmsKeyId,
})

export const aboutHeaders = (about: About): AnswerHeaders => ({
  'content-type': 'binary/octet-stream',
  ...about.headers,
  ...encryptionHeaders(about),
  'x-amz-storage-class': about.storageClass === 'STANDARD' ? undefined : about.storageClass,
})

/** The ETag of a single body: its MD5, but an opaque value of the same form where S3 encrypts with KMS. */
export const etagOf = (about: About, md5: Buffer): string =>
  about.encryption === 'AES256' ? md5.toString('hex') : randomUUID().replaceAll('-', '')

export type Tag = [key: string, value: string]

/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html */
const tagText = /^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$/u

export const checkTags = (tags: Tag[]): Tag[] => {
  if (tags.length > 10) throw new S3Error(400, 'BadRequest', 'Object tags cannot be greater than 10')
  for (const [key, value] of tags) {
    if (key.length < 1 || key.length > 128 || !tagText.test(key))
      throw new S3Error(400, 'InvalidTag', 'The TagKey you have provided is invalid', { details: { TagKey: key } })
    if (value.length > 256 || !tagText.test(value))
      throw new S3Error(400, 'InvalidTag', 'The TagValue you have provided is invalid', { details: { TagKey: key } })
  }
  if (new Set(tags.map(([key]) => key)).size !== tags.length)
    throw new S3Error(400, 'InvalidTag', 'Cannot provide multiple Tags with the same key')
  return tags
}

/** The tags of the `x-amz-tagging` header: form-encoded pairs. */
export const readTagsHeader = (call: Call): Tag[] =>
  checkTags([...new URLSearchParams(header(call, 'x-amz-tagging') ?? '')])
