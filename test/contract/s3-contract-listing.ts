import {
  DeleteObjectCommand,
  ListBucketsCommand,
  ListObjectsCommand,
  ListObjectsV2Command,
  ListObjectVersionsCommand,
  paginateListObjectsV2,
  PutObjectCommand,
} from '@aws-sdk/client-s3'
import { expect } from 'vitest'
import { type Checks, setVersioning, type Subject } from './s3-support.ts'

const fill = async ({ client, bucket }: Subject, keys: string[]): Promise<void> => {
  for (const Key of keys) await client.send(new PutObjectCommand({ Bucket: bucket, Key, Body: Key }))
}

const list = ({ client, bucket }: Subject, more = {}) =>
  client.send(new ListObjectsV2Command({ Bucket: bucket, ...more }))

/** Every page of a listing as rows: keys, and common prefixes marked with a star. */
const pages = async (subject: Subject, more: { MaxKeys: number; Delimiter?: string; Prefix?: string }) => {
  const all: string[][] = []
  let ContinuationToken: string | undefined
  do {
    const page = await list(subject, { ...more, ContinuationToken })
    all.push([
      ...(page.Contents ?? []).map(({ Key }) => Key!),
      ...(page.CommonPrefixes ?? []).map(({ Prefix }) => `*${Prefix}`),
    ])
    expect(page.KeyCount).toBe(all.at(-1)!.length)
    ContinuationToken = page.NextContinuationToken
    expect(page.IsTruncated).toBe(ContinuationToken !== undefined)
  } while (ContinuationToken !== undefined)
  return all
}

const listVersions = ({ client, bucket }: Subject, more = {}) =>
  client.send(new ListObjectVersionsCommand({ Bucket: bucket, ...more }))

export const listingChecks: Checks = {
  'keys are listed in the order of their UTF-8 bytes': async (subject) => {
    const keys = ['a', 'B', 'é', '\u{ffee}', '\u{1f5dd}', 'a/b', 'a!', 'Z', 'a b']
    await fill(subject, keys)
    const sorted = keys.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
    expect((await list(subject)).Contents?.map(({ Key }) => Key)).toEqual(sorted)
  },

  'an entry has size, ETag, class and a time in whole seconds': async (subject) => {
    await fill(subject, ['k'])
    const { Contents } = await list(subject)
    expect(Contents).toMatchObject([{ Size: 1, StorageClass: 'STANDARD', ETag: '"8ce4b16b22b58894aa86c421e8759df3"' }])
    expect(Contents![0]!.LastModified!.getTime() % 1000).toBe(0)
    expect(Math.abs(Contents![0]!.LastModified!.getTime() - Date.now())).toBeLessThan(60_000)
  },

  'pages hold max-keys keys and common prefixes and miss nothing': async (subject) => {
    await fill(subject, ['a', 'b/1', 'b/2', 'b/3', 'c', 'd/1', 'e'])
    expect(await pages(subject, { MaxKeys: 3 })).toEqual([['a', 'b/1', 'b/2'], ['b/3', 'c', 'd/1'], ['e']])
    expect(await pages(subject, { MaxKeys: 2, Delimiter: '/' })).toEqual([['a', '*b/'], ['c', '*d/'], ['e']])
    expect(await pages(subject, { MaxKeys: 1, Delimiter: '/' })).toEqual([['a'], ['*b/'], ['c'], ['*d/'], ['e']])
    expect(await pages(subject, { MaxKeys: 7 })).toHaveLength(1)
    expect(await pages(subject, { MaxKeys: 2, Prefix: 'b/' })).toEqual([['b/1', 'b/2'], ['b/3']])
  },

  'a delimiter may be any string': async (subject) => {
    await fill(subject, ['aXXb', 'aXXc', 'aXb', 'pXXaXXz'])
    expect(await pages(subject, { MaxKeys: 9, Delimiter: 'XX' })).toEqual([['aXb', '*aXX', '*pXX']])
    expect(await pages(subject, { MaxKeys: 9, Delimiter: 'XX', Prefix: 'pXX' })).toEqual([['*pXXaXX']])
  },

  'a listing starts after a key': async (subject) => {
    await fill(subject, ['a', 'b', 'c'])
    expect((await list(subject, { StartAfter: 'a' })).Contents?.map(({ Key }) => Key)).toEqual(['b', 'c'])
    expect((await list(subject, { StartAfter: 'bb' })).Contents?.map(({ Key }) => Key)).toEqual(['c'])
  },

  'max-keys 0 is an empty page': async (subject) => {
    await fill(subject, ['a'])
    const page = await list(subject, { MaxKeys: 0 })
    expect([page.Contents, page.IsTruncated, page.KeyCount]).toEqual([undefined, false, 0])
  },

  'more than 1,000 keys come in pages of 1,000': async (subject) => {
    const keys = Array.from({ length: 1003 }, (_, index) => `k${String(index).padStart(5, '0')}`)
    for (let at = 0; at < keys.length; at += 17)
      await Promise.all(keys.slice(at, at + 17).map((key) => fill(subject, [key])))
    const seen: number[] = []
    for await (const page of paginateListObjectsV2({ client: subject.client }, { Bucket: subject.bucket }))
      seen.push(page.Contents!.length)
    expect(seen).toEqual([1000, 3])
  },

  'keys can be listed percent-encoded': async (subject) => {
    const keys = ['a b+c%d', 'x/é', 'tilde~(1)*']
    await fill(subject, keys)
    const page = await list(subject, { EncodingType: 'url' })
    expect(page.EncodingType).toBe('url')
    const decoded = page.Contents!.map(({ Key }) => decodeURIComponent(Key!.replaceAll('+', ' ')))
    expect(decoded).toEqual(keys.toSorted())
  },

  'a percent-encoded listing writes a space as a plus': async (subject) => {
    await fill(subject, ['a b+c%d'])
    const page = await list(subject, { EncodingType: 'url' })
    expect(page.Contents!.map(({ Key }) => Key)).toEqual(['a+b%2Bc%25d'])
  },

  'version 1 of the listing pages by marker': async (subject) => {
    const { client, bucket } = subject
    await fill(subject, ['a', 'b/1', 'b/2', 'c'])
    const first = await client.send(new ListObjectsCommand({ Bucket: bucket, MaxKeys: 3 }))
    expect([first.IsTruncated, first.Contents?.length]).toEqual([true, 3])
    const second = await client.send(new ListObjectsCommand({ Bucket: bucket, Marker: first.Contents![2]!.Key! }))
    expect([second.IsTruncated, second.Contents?.map(({ Key }) => Key)]).toEqual([false, ['c']])
  },

  'version 1 of the listing names the next marker with a delimiter only': async (subject) => {
    const { client, bucket } = subject
    await fill(subject, ['a', 'b/1', 'b/2', 'c'])
    const plain = await client.send(new ListObjectsCommand({ Bucket: bucket, MaxKeys: 2 }))
    expect(plain.NextMarker).toBeUndefined()
    const first = await client.send(new ListObjectsCommand({ Bucket: bucket, MaxKeys: 2, Delimiter: '/' }))
    expect([first.IsTruncated, first.NextMarker]).toEqual([true, 'b/'])
    const second = await client.send(
      new ListObjectsCommand({ Bucket: bucket, Delimiter: '/', Marker: first.NextMarker! }),
    )
    expect([second.Contents?.map(({ Key }) => Key), second.CommonPrefixes]).toEqual([['c'], undefined])
  },

  'delete markers and old versions are not among the objects': async (subject) => {
    await setVersioning(subject, 'Enabled')
    await fill(subject, ['a', 'a', 'b'])
    await subject.client.send(new DeleteObjectCommand({ Bucket: subject.bucket, Key: 'b' }))
    expect((await list(subject)).Contents?.map(({ Key }) => Key)).toEqual(['a'])
  },

  'versions are listed by key and newest first, by page, and miss nothing': async (subject) => {
    await setVersioning(subject, 'Enabled')
    await fill(subject, ['b', 'a', 'b', 'c', 'b'])
    await subject.client.send(new DeleteObjectCommand({ Bucket: subject.bucket, Key: 'b' }))
    const everything = await listVersions(subject)
    expect(everything.Versions?.map(({ Key, IsLatest }) => [Key, IsLatest])).toEqual([
      ['a', true],
      ['b', false],
      ['b', false],
      ['b', false],
      ['c', true],
    ])
    expect(everything.DeleteMarkers?.map(({ Key, IsLatest }) => [Key, IsLatest])).toEqual([['b', true]])
    for (const MaxKeys of [1, 2, 5]) {
      const versions: unknown[] = []
      const markers: unknown[] = []
      for (let at = {}; ;) {
        const page = await listVersions(subject, { MaxKeys, ...at })
        versions.push(...(page.Versions ?? []).map(({ VersionId }) => VersionId))
        markers.push(...(page.DeleteMarkers ?? []).map(({ VersionId }) => VersionId))
        if (!page.IsTruncated) break
        at = { KeyMarker: page.NextKeyMarker, VersionIdMarker: page.NextVersionIdMarker }
      }
      expect(versions).toEqual(everything.Versions?.map(({ VersionId }) => VersionId))
      expect(markers).toEqual(everything.DeleteMarkers?.map(({ VersionId }) => VersionId))
    }
  },

  'versions are listed by prefix and delimiter': async (subject) => {
    await setVersioning(subject, 'Enabled')
    await fill(subject, ['a/1', 'a/1', 'a/2', 'b', 'b'])
    const folded = await listVersions(subject, { Delimiter: '/', MaxKeys: 2 })
    expect(folded.CommonPrefixes?.map(({ Prefix }) => Prefix)).toEqual(['a/'])
    expect([folded.Versions?.map(({ Key }) => Key), folded.IsTruncated]).toEqual([['b'], true])
    expect((await listVersions(subject, { Prefix: 'a/' })).Versions).toHaveLength(3)
    expect((await listVersions(subject, { KeyMarker: 'a/2' })).Versions).toHaveLength(2)
  },

  'buckets are listed': async ({ client, bucket }) => {
    const { Buckets } = await client.send(new ListBucketsCommand({}))
    expect(Buckets?.map(({ Name }) => Name)).toContain(bucket)
  },
}
