import { Readable } from 'node:stream'
import { crc32 } from 'node:zlib'
import {
  CopyObjectCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  DeleteObjectTaggingCommand,
  GetObjectTaggingCommand,
  HeadObjectCommand,
  PutObjectCommand,
  PutObjectTaggingCommand,
} from '@aws-sdk/client-s3'
import { expect } from 'vitest'
import { type Checks, bytesOf, failureOf, getObject, md5, nine, putObject } from './s3-support.ts'

const crc32Of = (bytes: Uint8Array): string => {
  const value = Buffer.alloc(4)
  value.writeUInt32BE(crc32(bytes))
  return value.toString('base64')
}

export const objectChecks: Checks = {
  'put answers the MD5 as ETag and get gives the bytes back': async (subject) => {
    const bytes = bytesOf(300_000)
    expect((await putObject(subject, 'a', bytes)).ETag).toBe(`"${md5(bytes)}"`)
    const read = await getObject(subject, 'a')
    expect(read.bytes.equals(bytes)).toBe(true)
    expect([read.ContentLength, read.ETag, read.AcceptRanges]).toEqual([bytes.length, `"${md5(bytes)}"`, 'bytes'])
    expect(read.VersionId).toBeUndefined()
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
    const read = await getObject(subject, 's')
    expect(read.bytes.equals(bytes)).toBe(true)
    expect([read.ContentEncoding, read.ChecksumCRC32]).toEqual(['gzip', crc32Of(bytes)])
  },

  'metadata and headers come back as they were given': async (subject) => {
    await putObject(subject, 'm', 'x', {
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

  'copy keeps metadata and tags, or replaces them': async (subject) => {
    const { client, bucket } = subject
    await putObject(subject, 'from here+1', nine, { Metadata: { a: '1' }, ContentType: 'text/x', Tagging: 't=1' })
    const CopySource = `${bucket}/${encodeURIComponent('from here+1')}`
    const copied = await client.send(new CopyObjectCommand({ Bucket: bucket, Key: 'to', CopySource }))
    expect(copied.CopyObjectResult?.ETag).toBe(`"${md5(Buffer.from(nine))}"`)
    expect(await getObject(subject, 'to')).toMatchObject({ Metadata: { a: '1' }, ContentType: 'text/x', TagCount: 1 })
    await client.send(
      new CopyObjectCommand({
        Bucket: bucket,
        Key: 'to2',
        CopySource,
        MetadataDirective: 'REPLACE',
        Metadata: { b: '2' },
      }),
    )
    expect((await getObject(subject, 'to2')).Metadata).toEqual({ b: '2' })
  },

  'a copy onto itself must change something': async (subject) => {
    await putObject(subject, 'k', nine)
    const copy = new CopyObjectCommand({ Bucket: subject.bucket, Key: 'k', CopySource: `${subject.bucket}/k` })
    expect(await failureOf(subject.client.send(copy))).toMatchObject({ name: 'InvalidRequest', status: 400 })
  },

  'tags are put, read, counted and deleted': async (subject) => {
    const at = { Bucket: subject.bucket, Key: 't' }
    await putObject(subject, 't', nine)
    const TagSet = [
      { Key: 'team', Value: 'ml / ops+é' },
      { Key: 'tier', Value: '' },
    ]
    await subject.client.send(new PutObjectTaggingCommand({ ...at, Tagging: { TagSet } }))
    expect((await subject.client.send(new GetObjectTaggingCommand(at))).TagSet).toEqual(TagSet)
    expect((await getObject(subject, 't')).bytes.toString()).toBe(nine)
    await subject.client.send(new DeleteObjectTaggingCommand(at))
    expect((await subject.client.send(new GetObjectTaggingCommand(at))).TagSet).toEqual([])
  },

  'a tag with characters that tags may not have is refused': async (subject) => {
    await putObject(subject, 't', nine)
    const Tagging = { TagSet: [{ Key: 'team', Value: 'ml & ops' }] }
    const tag = new PutObjectTaggingCommand({ Bucket: subject.bucket, Key: 't', Tagging })
    expect(await failureOf(subject.client.send(tag))).toMatchObject({ name: 'InvalidTag', status: 400 })
  },

  'deleting is idempotent without versioning': async (subject) => {
    const { client, bucket } = subject
    await putObject(subject, 'k', nine)
    for (let times = 0; times < 2; times += 1) {
      const deleted = await client.send(new DeleteObjectCommand({ Bucket: bucket, Key: 'k' }))
      expect([deleted.DeleteMarker, deleted.VersionId]).toEqual([undefined, undefined])
    }
    expect(await failureOf(getObject(subject, 'k'))).toMatchObject({ name: 'NoSuchKey' })
  },

  'many objects are deleted at once, whatever their names': async (subject) => {
    const { client, bucket } = subject
    const keys = ['a b', 'a&b<c>', 'a"\'b', 'é/ü', 'none']
    for (const key of keys.slice(0, -1)) await putObject(subject, key, nine)
    const answer = await client.send(
      new DeleteObjectsCommand({ Bucket: bucket, Delete: { Objects: keys.map((Key) => ({ Key })) } }),
    )
    expect(answer.Deleted?.map(({ Key }) => Key)).toEqual(keys)
    for (const key of keys) expect(await failureOf(getObject(subject, key))).toMatchObject({ name: 'NoSuchKey' })
  },

  'keys are any UTF-8 of up to 1,024 bytes': async (subject) => {
    const keys = ['a//b', './a', 'a/../b', 'a+b c%20d%', 'ключ/鍵/🗝', 'q?a=b&c#d', 'k'.repeat(1024)]
    for (const key of keys) await putObject(subject, key, key)
    for (const key of keys) expect((await getObject(subject, key)).bytes.toString()).toBe(key)
  },

  'a key of more than 1,024 bytes is refused': async (subject) => {
    expect(await failureOf(putObject(subject, 'é'.repeat(513), 'x'))).toMatchObject({
      name: 'KeyTooLongError',
      status: 400,
    })
  },

  'keys may hold control characters': async (subject) => {
    const keys = ['line\nbreak', 'tab\t', 'return\r']
    for (const key of keys) await putObject(subject, key, key)
    for (const key of keys) expect((await getObject(subject, key)).bytes.toString()).toBe(key)
    const { client, bucket } = subject
    await client.send(new DeleteObjectsCommand({ Bucket: bucket, Delete: { Objects: keys.map((Key) => ({ Key })) } }))
    for (const key of keys) expect(await failureOf(getObject(subject, key))).toMatchObject({ name: 'NoSuchKey' })
  },
}
