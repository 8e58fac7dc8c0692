import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { crc32 } from 'node:zlib'
import {
  ChecksumAlgorithm,
  CopyObjectCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  DeleteObjectTaggingCommand,
  GetObjectAttributesCommand,
  GetObjectCommand,
  GetObjectTaggingCommand,
  HeadObjectCommand,
  PutObjectCommand,
  PutObjectTaggingCommand,
} from '@aws-sdk/client-s3'
import { expect } from 'vitest'
import { bytesOf, type Checks, failureOf, md5, type Subject } from './s3-support.ts'

const put = ({ client, bucket }: Subject, key: string, body: Uint8Array | string, more = {}) =>
  client.send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: body, ...more }))

const get = async ({ client, bucket }: Subject, key: string, more = {}) => {
  const answer = await client.send(new GetObjectCommand({ Bucket: bucket, Key: key, ...more }))
  return { ...answer, bytes: Buffer.from(await answer.Body!.transformToByteArray()) }
}

const nine = '123456789'
/** Of the ASCII digits 1 to 9, from the catalogue of parametrised CRC algorithms, and by coreutils for the SHAs. */
const checksumsOfNine = {
  CRC32: Buffer.from('cbf43926', 'hex').toString('base64'),
  CRC32C: Buffer.from('e3069283', 'hex').toString('base64'),
  CRC64NVME: Buffer.from('ae8b14860a799888', 'hex').toString('base64'),
  SHA1: Buffer.from('f7c3bc1d808e04732adf679965ccc34ca7ae3441', 'hex').toString('base64'),
  SHA256: Buffer.from('15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225', 'hex').toString('base64'),
}

const crc32Of = (bytes: Uint8Array): string => {
  const value = Buffer.alloc(4)
  value.writeUInt32BE(crc32(bytes))
  return value.toString('base64')
}

const everyChecksum: Checks = Object.fromEntries(
  Object.entries(checksumsOfNine).map(([algorithm, value]) => [
    `put keeps the ${algorithm} of an object`,
    async (subject: Subject) => {
      const field = `Checksum${algorithm}` as 'ChecksumCRC32'
      const stored = await put(subject, 'nine', nine, { ChecksumAlgorithm: algorithm as ChecksumAlgorithm })
      expect(stored[field]).toBe(value)
      const head = await subject.client.send(
        new HeadObjectCommand({ Bucket: subject.bucket, Key: 'nine', ChecksumMode: 'ENABLED' }),
      )
      expect([head[field], head.ChecksumType]).toEqual([value, 'FULL_OBJECT'])
      const wrong = put(subject, 'wrong', 'another body', { [field]: value })
      expect(await failureOf(wrong)).toMatchObject({ name: 'BadDigest', status: 400 })
      expect(await failureOf(get(subject, 'wrong'))).toMatchObject({ name: 'NoSuchKey' })
    },
  ]),
)

export const objectChecks: Checks = {
  'put answers the MD5 as ETag and get gives the bytes back': async (subject) => {
    const bytes = bytesOf(300_000)
    expect((await put(subject, 'a', bytes)).ETag).toBe(`"${md5(bytes)}"`)
    const read = await get(subject, 'a')
    expect(read.bytes.equals(bytes)).toBe(true)
    expect([read.ContentLength, read.ETag, read.AcceptRanges]).toEqual([bytes.length, `"${md5(bytes)}"`, 'bytes'])
    expect(read.VersionId).toBeUndefined()
  },

  'an empty object has its length, ETag and no range': async (subject) => {
    await put(subject, 'empty', '')
    const read = await get(subject, 'empty')
    expect([read.ContentLength, read.ETag]).toEqual([0, '"d41d8cd98f00b204e9800998ecf8427e"'])
    const ranged = get(subject, 'empty', { Range: 'bytes=0-0' })
    expect(await failureOf(ranged)).toMatchObject({ name: 'InvalidRange', status: 416 })
  },

  'a streamed body with a trailing checksum is stored without its framing': async (subject) => {
    const bytes = bytesOf(200_000)
    const body = Readable.from([bytes.subarray(0, 70_000), bytes.subarray(70_000)])
    await subject.client.send(
      new PutObjectCommand({
        Bucket: subject.bucket,
        Key: 's',
        Body: body,
        ContentLength: bytes.length,
        ContentEncoding: 'gzip',
      }),
    )
    const read = await get(subject, 's')
    expect(read.bytes.equals(bytes)).toBe(true)
    expect([read.ContentEncoding, read.ChecksumCRC32]).toEqual(['gzip', crc32Of(bytes)])
  },

  'metadata and headers come back as they were given': async (subject) => {
    await put(subject, 'm', 'x', {
      ContentType: 'application/x-weights',
      CacheControl: 'no-store',
      ContentDisposition: 'attachment',
      ContentLanguage: 'de',
      Metadata: { model: 'llama', step: '12' },
      StorageClass: 'STANDARD_IA',
    })
    const head = await subject.client.send(new HeadObjectCommand({ Bucket: subject.bucket, Key: 'm' }))
    expect(head).toMatchObject({
      ContentType: 'application/x-weights',
      CacheControl: 'no-store',
      ContentDisposition: 'attachment',
      ContentLanguage: 'de',
      Metadata: { model: 'llama', step: '12' },
      StorageClass: 'STANDARD_IA',
    })
  },

  'response headers can be overridden by the reader': async (subject) => {
    await put(subject, 'm', 'x', { ContentType: 'text/plain' })
    const read = await get(subject, 'm', { ResponseContentType: 'text/css', ResponseCacheControl: 'no-cache' })
    expect([read.ContentType, read.CacheControl]).toEqual(['text/css', 'no-cache'])
  },

  ...everyChecksum,

  'without a client checksum S3 keeps a CRC64NVME of its own': async (subject) => {
    const { client, bucket } = subject
    const given = client.config.requestChecksumCalculation
    client.config.requestChecksumCalculation = async () => 'WHEN_REQUIRED'
    const stored = await put(subject, 'd', nine).finally(() => (client.config.requestChecksumCalculation = given))
    const head = await client.send(new HeadObjectCommand({ Bucket: bucket, Key: 'd', ChecksumMode: 'ENABLED' }))
    expect([stored.ChecksumCRC64NVME, head.ChecksumCRC64NVME]).toEqual(Array(2).fill(checksumsOfNine.CRC64NVME))
  },

  'checksums are told only to a reader who asks': async (subject) => {
    await put(subject, 'k', nine, { ChecksumAlgorithm: 'SHA256' })
    const head = await subject.client.send(new HeadObjectCommand({ Bucket: subject.bucket, Key: 'k' }))
    expect([head.ChecksumSHA256, head.ChecksumType]).toEqual([undefined, undefined])
  },

  'a wrong Content-MD5 is refused': async (subject) => {
    const wrong = createHash('md5').update('other').digest('base64')
    expect(await failureOf(put(subject, 'k', 'body', { ContentMD5: wrong }))).toMatchObject({
      name: 'BadDigest',
      status: 400,
    })
    expect(await failureOf(put(subject, 'k', 'body', { ContentMD5: 'nonsense' }))).toMatchObject({
      name: 'InvalidDigest',
      status: 400,
    })
    await put(subject, 'k', 'body', { ContentMD5: createHash('md5').update('body').digest('base64') })
  },

  'ranges: from-to, open, suffix, beyond the end': async (subject) => {
    const bytes = bytesOf(1000)
    await put(subject, 'r', bytes)
    const cases: [string, number, number][] = [
      ['bytes=10-19', 10, 20],
      ['bytes=990-', 990, 1000],
      ['bytes=-7', 993, 1000],
      ['bytes=-5000', 0, 1000],
      ['bytes=995-4000', 995, 1000],
      ['bytes=0-0', 0, 1],
    ]
    for (const [range, start, end] of cases) {
      const read = await get(subject, 'r', { Range: range })
      expect(read.bytes.equals(bytes.subarray(start, end)), range).toBe(true)
      expect([read.$metadata.httpStatusCode, read.ContentRange]).toEqual([206, `bytes ${start}-${end - 1}/1000`])
    }
    expect(await failureOf(get(subject, 'r', { Range: 'bytes=1000-' }))).toMatchObject({
      name: 'InvalidRange',
      status: 416,
    })
    const head = await subject.client.send(
      new HeadObjectCommand({ Bucket: subject.bucket, Key: 'r', Range: 'bytes=5-6' }),
    )
    expect([head.ContentLength, head.ContentRange]).toEqual([2, 'bytes 5-6/1000'])
  },

  'a malformed range is ignored': async (subject) => {
    await put(subject, 'r', nine)
    const read = await get(subject, 'r', { Range: 'bytes=5-2' })
    expect([read.$metadata.httpStatusCode, read.bytes.toString()]).toEqual([200, nine])
  },

  'reads honour If-Match and If-None-Match': async (subject) => {
    const { ETag } = await put(subject, 'c', nine)
    expect((await get(subject, 'c', { IfMatch: ETag, Range: 'bytes=0-1' })).bytes.toString()).toBe('12')
    expect(await failureOf(get(subject, 'c', { IfMatch: '"0"' }))).toMatchObject({ status: 412 })
    expect(await failureOf(get(subject, 'c', { IfNoneMatch: ETag }))).toMatchObject({ status: 304 })
    expect((await get(subject, 'c', { IfNoneMatch: '"0"' })).bytes.toString()).toBe(nine)
    const head = new HeadObjectCommand({ Bucket: subject.bucket, Key: 'c', IfMatch: '"0"' })
    expect(await failureOf(subject.client.send(head))).toMatchObject({ status: 412 })
  },

  'reads honour If-Modified-Since and If-Unmodified-Since': async (subject) => {
    await put(subject, 'c', nine)
    const [past, future] = [new Date(Date.now() - 3_600_000), new Date(Date.now() + 3_600_000)]
    expect(await failureOf(get(subject, 'c', { IfUnmodifiedSince: past }))).toMatchObject({ status: 412 })
    expect((await get(subject, 'c', { IfUnmodifiedSince: future })).bytes.toString()).toBe(nine)
    expect((await get(subject, 'c', { IfModifiedSince: past })).bytes.toString()).toBe(nine)
  },

  'writes honour If-None-Match and If-Match': async (subject) => {
    const { ETag } = await put(subject, 'w', 'one', { IfNoneMatch: '*' })
    expect(await failureOf(put(subject, 'w', 'two', { IfNoneMatch: '*' }))).toMatchObject({
      name: 'PreconditionFailed',
      status: 412,
    })
    expect(await failureOf(put(subject, 'w', 'two', { IfMatch: '"0"' }))).toMatchObject({ status: 412 })
    expect((await get(subject, 'w')).bytes.toString()).toBe('one')
    await put(subject, 'w', 'two', { IfMatch: ETag })
    expect((await get(subject, 'w')).bytes.toString()).toBe('two')
  },

  'If-Match on a key that is not there is 404': async (subject) => {
    expect(await failureOf(put(subject, 'none', 'x', { IfMatch: '"0"' }))).toMatchObject({ status: 404 })
  },

  'missing keys and buckets are told apart': async (subject) => {
    expect(await failureOf(get(subject, 'none'))).toMatchObject({ name: 'NoSuchKey', status: 404 })
    const nowhere = { ...subject, bucket: 'no-such-bucket-anywhere' }
    expect(await failureOf(get(nowhere, 'none'))).toMatchObject({ name: 'NoSuchBucket', status: 404 })
    const head = new HeadObjectCommand({ Bucket: subject.bucket, Key: 'none' })
    expect(await failureOf(subject.client.send(head))).toMatchObject({ name: 'NotFound', status: 404 })
  },

  'KMS encryption makes the ETag opaque': async (subject) => {
    const stored = await put(subject, 'k', nine, { ServerSideEncryption: 'aws:kms' })
    expect(stored.ServerSideEncryption).toBe('aws:kms')
    expect(stored.ETag).not.toBe(`"${md5(Buffer.from(nine))}"`)
    expect((await get(subject, 'k', { IfMatch: stored.ETag })).bytes.toString()).toBe(nine)
  },

  'copy keeps metadata and tags, or replaces them': async (subject) => {
    const { client, bucket } = subject
    await put(subject, 'from here+1', nine, { Metadata: { a: '1' }, ContentType: 'text/x', Tagging: 't=1' })
    const CopySource = `${bucket}/${encodeURIComponent('from here+1')}`
    const copied = await client.send(new CopyObjectCommand({ Bucket: bucket, Key: 'to', CopySource }))
    expect(copied.CopyObjectResult?.ETag).toBe(`"${md5(Buffer.from(nine))}"`)
    expect(await get(subject, 'to')).toMatchObject({ Metadata: { a: '1' }, ContentType: 'text/x', TagCount: 1 })
    await client.send(
      new CopyObjectCommand({
        Bucket: bucket,
        Key: 'to2',
        CopySource,
        MetadataDirective: 'REPLACE',
        Metadata: { b: '2' },
      }),
    )
    expect((await get(subject, 'to2')).Metadata).toEqual({ b: '2' })
    const stale = new CopyObjectCommand({ Bucket: bucket, Key: 'to3', CopySource, CopySourceIfMatch: '"0"' })
    expect(await failureOf(client.send(stale))).toMatchObject({ status: 412 })
  },

  'a copy onto itself must change something': async (subject) => {
    await put(subject, 'k', nine)
    const copy = new CopyObjectCommand({ Bucket: subject.bucket, Key: 'k', CopySource: `${subject.bucket}/k` })
    expect(await failureOf(subject.client.send(copy))).toMatchObject({ name: 'InvalidRequest', status: 400 })
  },

  'a copy can be given another checksum algorithm': async (subject) => {
    const { client, bucket } = subject
    await put(subject, 'k', nine)
    const copied = await client.send(
      new CopyObjectCommand({ Bucket: bucket, Key: 'l', CopySource: `${bucket}/k`, ChecksumAlgorithm: 'SHA256' }),
    )
    expect(copied.CopyObjectResult?.ChecksumSHA256).toBe(checksumsOfNine.SHA256)
  },

  'tags are put, read, counted and deleted': async (subject) => {
    const at = { Bucket: subject.bucket, Key: 't' }
    await put(subject, 't', nine)
    const TagSet = [
      { Key: 'team', Value: 'ml & ops' },
      { Key: 'tier', Value: '' },
    ]
    await subject.client.send(new PutObjectTaggingCommand({ ...at, Tagging: { TagSet } }))
    expect((await subject.client.send(new GetObjectTaggingCommand(at))).TagSet).toEqual(TagSet)
    expect((await get(subject, 't')).bytes.toString()).toBe(nine)
    await subject.client.send(new DeleteObjectTaggingCommand(at))
    expect((await subject.client.send(new GetObjectTaggingCommand(at))).TagSet).toEqual([])
  },

  'attributes of a single-part object': async (subject) => {
    await put(subject, 'k', nine, { ChecksumAlgorithm: 'SHA256' })
    const attributes = await subject.client.send(
      new GetObjectAttributesCommand({
        Bucket: subject.bucket,
        Key: 'k',
        ObjectAttributes: ['ETag', 'Checksum', 'ObjectParts', 'ObjectSize', 'StorageClass'],
      }),
    )
    expect(attributes).toMatchObject({ ETag: md5(Buffer.from(nine)), ObjectSize: 9, StorageClass: 'STANDARD' })
    expect(attributes.Checksum?.ChecksumSHA256).toBe(checksumsOfNine.SHA256)
    expect(attributes.ObjectParts).toBeUndefined()
  },

  'a single-part object is its own part 1': async (subject) => {
    await put(subject, 'k', nine)
    const part = await get(subject, 'k', { PartNumber: 1 })
    expect([part.bytes.toString(), part.PartsCount, part.$metadata.httpStatusCode]).toEqual([nine, undefined, 206])
    expect(await failureOf(get(subject, 'k', { PartNumber: 2 }))).toMatchObject({ status: 416 })
  },

  'deleting is idempotent without versioning': async (subject) => {
    const { client, bucket } = subject
    await put(subject, 'k', nine)
    for (let times = 0; times < 2; times += 1) {
      const deleted = await client.send(new DeleteObjectCommand({ Bucket: bucket, Key: 'k' }))
      expect([deleted.DeleteMarker, deleted.VersionId]).toEqual([undefined, undefined])
    }
    expect(await failureOf(get(subject, 'k'))).toMatchObject({ name: 'NoSuchKey' })
  },

  'many objects are deleted at once, whatever their names': async (subject) => {
    const { client, bucket } = subject
    const keys = ['a b', 'a&b<c>', 'a"\'b', 'line\nbreak', 'é/ü', 'none']
    for (const key of keys.slice(0, -1)) await put(subject, key, nine)
    const answer = await client.send(
      new DeleteObjectsCommand({ Bucket: bucket, Delete: { Objects: keys.map((Key) => ({ Key })) } }),
    )
    expect(answer.Deleted?.map(({ Key }) => Key)).toEqual(keys)
    for (const key of keys) expect(await failureOf(get(subject, key))).toMatchObject({ name: 'NoSuchKey' })
  },

  'keys are any UTF-8 of up to 1,024 bytes': async (subject) => {
    const keys = ['a//b', './a', 'a/../b', 'a+b c%20d%', 'ключ/鍵/🗝', 'tab\tline\nend', 'q?a=b&c#d', 'k'.repeat(1024)]
    for (const key of keys) await put(subject, key, key)
    for (const key of keys) expect((await get(subject, key)).bytes.toString()).toBe(key)
    expect(await failureOf(put(subject, 'é'.repeat(513), 'x'))).toMatchObject({ name: 'KeyTooLongError', status: 400 })
  },
}
