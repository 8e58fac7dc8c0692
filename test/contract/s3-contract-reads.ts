import { CopyObjectCommand, HeadObjectCommand } from '@aws-sdk/client-s3'
import { expect } from 'vitest'
import { type Checks, bytesOf, failureOf, getObject, md5, nine, putObject } from './s3-support.ts'

export const readChecks: Checks = {
  'an empty object has its length, ETag and no range': async (subject) => {
    await putObject(subject, 'empty', '')
    const read = await getObject(subject, 'empty')
    expect([read.ContentLength, read.ETag]).toEqual([0, '"d41d8cd98f00b204e9800998ecf8427e"'])
    const ranged = getObject(subject, 'empty', { Range: 'bytes=0-0' })
    expect(await failureOf(ranged)).toMatchObject({ name: 'InvalidRange', status: 416 })
  },

  'response headers can be overridden by the reader': async (subject) => {
    await putObject(subject, 'm', 'x', { ContentType: 'text/plain' })
    const read = await getObject(subject, 'm', { ResponseContentType: 'text/css', ResponseCacheControl: 'no-cache' })
    expect([read.ContentType, read.CacheControl]).toEqual(['text/css', 'no-cache'])
  },

  'ranges: from-to, open, suffix, beyond the end': async (subject) => {
    const bytes = bytesOf(1000)
    await putObject(subject, 'r', bytes)
    const cases: [string, number, number][] = [
      ['bytes=10-19', 10, 20],
      ['bytes=990-', 990, 1000],
      ['bytes=-7', 993, 1000],
      ['bytes=-5000', 0, 1000],
      ['bytes=995-4000', 995, 1000],
      ['bytes=0-0', 0, 1],
    ]
    for (const [range, start, end] of cases) {
      const read = await getObject(subject, 'r', { Range: range })
      expect([range, md5(read.bytes)]).toEqual([range, md5(bytes.subarray(start, end))])
      expect([read.$metadata.httpStatusCode, read.ContentRange]).toEqual([206, `bytes ${start}-${end - 1}/1000`])
    }
    expect(await failureOf(getObject(subject, 'r', { Range: 'bytes=1000-' }))).toMatchObject({
      name: 'InvalidRange',
      status: 416,
    })
    const head = await subject.client.send(
      new HeadObjectCommand({ Bucket: subject.bucket, Key: 'r', Range: 'bytes=5-6' }),
    )
    expect([head.ContentLength, head.ContentRange]).toEqual([2, 'bytes 5-6/1000'])
  },

  'a malformed range is ignored': async (subject) => {
    await putObject(subject, 'r', nine)
    const read = await getObject(subject, 'r', { Range: 'bytes=5-2' })
    expect([read.$metadata.httpStatusCode, read.bytes.toString()]).toEqual([200, nine])
  },

  'reads honour If-Match and If-None-Match': async (subject) => {
    const { ETag } = await putObject(subject, 'c', nine)
    expect((await getObject(subject, 'c', { IfMatch: ETag, Range: 'bytes=0-1' })).bytes.toString()).toBe('12')
    expect(await failureOf(getObject(subject, 'c', { IfMatch: '"0"' }))).toMatchObject({ status: 412 })
    expect(await failureOf(getObject(subject, 'c', { IfNoneMatch: ETag }))).toMatchObject({ status: 304 })
    expect((await getObject(subject, 'c', { IfNoneMatch: '"0"' })).bytes.toString()).toBe(nine)
    const head = new HeadObjectCommand({ Bucket: subject.bucket, Key: 'c', IfMatch: '"0"' })
    expect(await failureOf(subject.client.send(head))).toMatchObject({ status: 412 })
  },

  'reads honour If-Modified-Since and If-Unmodified-Since': async (subject) => {
    await putObject(subject, 'c', nine)
    const [past, future] = [new Date(Date.now() - 3_600_000), new Date(Date.now() + 3_600_000)]
    expect(await failureOf(getObject(subject, 'c', { IfUnmodifiedSince: past }))).toMatchObject({ status: 412 })
    expect((await getObject(subject, 'c', { IfUnmodifiedSince: future })).bytes.toString()).toBe(nine)
    expect((await getObject(subject, 'c', { IfModifiedSince: past })).bytes.toString()).toBe(nine)
  },

  'writes honour If-None-Match and If-Match': async (subject) => {
    const { ETag } = await putObject(subject, 'w', 'one', { IfNoneMatch: '*' })
    expect(await failureOf(putObject(subject, 'w', 'two', { IfNoneMatch: '*' }))).toMatchObject({
      name: 'PreconditionFailed',
      status: 412,
    })
    expect(await failureOf(putObject(subject, 'w', 'two', { IfMatch: '"0"' }))).toMatchObject({ status: 412 })
    expect((await getObject(subject, 'w')).bytes.toString()).toBe('one')
    await putObject(subject, 'w', 'two', { IfMatch: ETag })
    expect((await getObject(subject, 'w')).bytes.toString()).toBe('two')
  },

  'of many writers with If-None-Match one wins': async (subject) => {
    const writes = Array.from({ length: 8 }, async (_, index) => {
      await putObject(subject, 'race', `writer ${index}`, { IfNoneMatch: '*' })
      return `writer ${index}`
    })
    const won = (await Promise.allSettled(writes)).filter((write) => write.status === 'fulfilled')
    expect(won.map(({ value }) => value)).toEqual([(await getObject(subject, 'race')).bytes.toString()])
  },

  'If-Match on a key that is not there is 404': async (subject) => {
    expect(await failureOf(putObject(subject, 'none', 'x', { IfMatch: '"0"' }))).toMatchObject({ status: 404 })
  },

  'missing keys and buckets are told apart': async (subject) => {
    expect(await failureOf(getObject(subject, 'none'))).toMatchObject({ name: 'NoSuchKey', status: 404 })
    const nowhere = { ...subject, bucket: 'no-such-bucket-anywhere' }
    expect(await failureOf(getObject(nowhere, 'none'))).toMatchObject({ name: 'NoSuchBucket', status: 404 })
    const head = new HeadObjectCommand({ Bucket: subject.bucket, Key: 'none' })
    expect(await failureOf(subject.client.send(head))).toMatchObject({ name: 'NotFound', status: 404 })
  },

  'a copy honours the conditions on its source': async (subject) => {
    const { client, bucket } = subject
    const { ETag } = await putObject(subject, 'k', nine)
    const copy = { Bucket: bucket, Key: 'l', CopySource: `${bucket}/k` }
    const stale = new CopyObjectCommand({ ...copy, CopySourceIfMatch: '"0"' })
    expect(await failureOf(client.send(stale))).toMatchObject({ name: 'PreconditionFailed', status: 412 })
    const same = new CopyObjectCommand({ ...copy, CopySourceIfNoneMatch: ETag })
    expect(await failureOf(client.send(same))).toMatchObject({ name: 'PreconditionFailed', status: 412 })
    await client.send(new CopyObjectCommand({ ...copy, CopySourceIfMatch: ETag }))
  },

  'a single-part object is its own part 1': async (subject) => {
    await putObject(subject, 'k', nine)
    const part = await getObject(subject, 'k', { PartNumber: 1 })
    expect([part.bytes.toString(), part.PartsCount, part.$metadata.httpStatusCode]).toEqual([nine, undefined, 206])
    expect(await failureOf(getObject(subject, 'k', { PartNumber: 2 }))).toMatchObject({ status: 416 })
  },
}
