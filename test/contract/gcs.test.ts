import { gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { base64Crc, codeOf, gcsFixture, md5 } from '../support/gcs.ts'

const json = (method: string) => ({ method, body: '{}', headers: { 'content-type': 'application/json' } })
const { storage, restart, newBucket, call, insert } = gcsFixture()

describe('reads', () => {
  it('serves ranges and refuses those past the end', async () => {
    const bucket = await newBucket()
    await bucket.file('o').save('0123456789', { resumable: false })
    expect(String((await bucket.file('o').download({ start: 2, end: 4 }))[0])).toBe('234')
    const get = (range: string) => call(`/storage/v1/b/${bucket.name}/o/o?alt=media`, { headers: { range } })
    const suffix = await get('bytes=-3')
    expect([suffix.status, suffix.headers.get('content-range'), await suffix.text()]).toEqual([
      206,
      'bytes 7-9/10',
      '789',
    ])
    expect(await (await get('bytes=8-')).text()).toBe('89')
    expect((await get('bytes=10-')).status).toBe(416)
    const whole = await call(`/download/storage/v1/b/${bucket.name}/o/o?alt=media`)
    const body = Buffer.from('0123456789')
    expect(whole.headers.get('x-goog-hash')).toBe(`crc32c=${base64Crc(body)},md5=${md5(body)}`)
    expect(whole.headers.get('x-goog-metageneration')).toBe('1')
  })

  it('serves a gzip object as stored to who accepts it and unzipped to who does not', async () => {
    const bucket = await newBucket()
    const plain = Buffer.from('plain '.repeat(1000))
    await bucket.file('z').save(gzipSync(plain), { resumable: false, metadata: { contentEncoding: 'gzip' } })
    const get = (encoding: string) =>
      call(`/storage/v1/b/${bucket.name}/o/z?alt=media`, { headers: { 'accept-encoding': encoding } })
    expect((await get('gzip')).headers.get('content-encoding')).toBe('gzip')
    const unzipped = await get('identity')
    expect(unzipped.headers.get('content-encoding')).toBeNull()
    expect(Buffer.from(await unzipped.arrayBuffer()).equals(plain)).toBe(true)
  })

  it('lists with delimiter, offsets and pages, each name once', async () => {
    const { name } = await newBucket()
    for (const object of ['a', 'b/', 'b/1', 'b/2', 'c', 'd/e/f', 'd/g', 'e']) await insert(name, object, object)
    type Page = { items?: { name: string }[]; prefixes?: string[]; nextPageToken?: string }
    const list = async (query: string, max = 100): Promise<string[]> => {
      const found: string[] = []
      for (let token = ''; ;) {
        const page = (await (
          await call(`/storage/v1/b/${name}/o?maxResults=${max}&${query}${token && `&pageToken=${token}`}`)
        ).json()) as Page
        const names = [
          ...(page.items ?? []).map((item) => item.name),
          ...(page.prefixes ?? []).map((group) => `>${group}`),
        ]
        expect(names.length).toBeLessThanOrEqual(max)
        found.push(...names)
        if (!page.nextPageToken) return found.sort()
        token = page.nextPageToken
      }
    }
    for (const max of [1, 2, 3, 100]) {
      expect(await list('delimiter=/', max)).toEqual(['>b/', '>d/', 'a', 'c', 'e'])
      expect(await list('delimiter=/&prefix=d/', max)).toEqual(['>d/e/', 'd/g'])
      expect(await list('startOffset=b/1&endOffset=d/g', max)).toEqual(['b/1', 'b/2', 'c', 'd/e/f'])
      expect(await list('delimiter=/&includeTrailingDelimiter=true', max)).toEqual(['>b/', '>d/', 'a', 'b/', 'c', 'e'])
    }
  })
})

describe('generations and preconditions', () => {
  it('holds every precondition on every operation', async () => {
    const bucket = await newBucket()
    const file = bucket.file('o')
    await file.save('x', { resumable: false })
    const [{ generation }] = await file.getMetadata()
    const path = `/storage/v1/b/${bucket.name}/o/o`
    const held = [`ifGenerationMatch=${generation}`, 'ifMetagenerationMatch=1', 'ifGenerationNotMatch=5']
    const broken = ['ifGenerationMatch=5', 'ifGenerationMatch=0', 'ifMetagenerationMatch=2']
    const same = [`ifGenerationNotMatch=${generation}`, 'ifMetagenerationNotMatch=1']
    for (const query of held) expect((await call(`${path}?${query}`)).status).toBe(200)
    for (const query of broken)
      for (const [url, init] of [
        [path, {}],
        [path, json('PATCH')],
        [path, json('PUT')],
        [path, { method: 'DELETE' }],
      ] as const)
        expect((await call(`${url}?${query}`, init)).status).toBe(412)
    for (const query of same) {
      expect((await call(`${path}?${query}`)).status).toBe(304)
      expect((await call(`${path}?alt=media&${query}`)).status).toBe(304)
      expect((await call(`${path}?${query}`, { method: 'DELETE' })).status).toBe(412)
    }
    for (const query of [...broken, ...same]) {
      expect((await insert(bucket.name, 'o', 'new', `&${query}`)).status).toBe(412)
      expect((await call(`${path}/rewriteTo/b/${bucket.name}/o/o?${query}`, json('POST'))).status).toBe(412)
      const compose = { ...json('POST'), body: '{"sourceObjects":[{"name":"o"}]}' }
      expect((await call(`${path}/compose?${query}`, compose)).status).toBe(412)
    }
    for (const query of ['ifGenerationNotMatch=0', 'ifMetagenerationMatch=1'])
      expect((await insert(bucket.name, 'none', 'new', `&${query}`)).status).toBe(412)
    expect((await call(`${path}?ifGenerationMatch=abc`)).status).toBe(400)
    expect(String((await file.download())[0])).toBe('x')
  })

  it('keeps versions where the bucket has versioning, through a restart', async () => {
    const { name } = await newBucket({ versioning: { enabled: true } })
    await insert(name, 'v', 'one')
    await insert(name, 'v', 'two')
    await restart()
    const bucket = storage().bucket(name)
    const generations = async (): Promise<string[]> =>
      (await bucket.getFiles({ versions: true }))[0].map(({ metadata }) => String(metadata.generation))
    const [first, second] = await generations()
    expect(Number(first)).toBeLessThan(Number(second))
    expect(String((await bucket.file('v', { generation: first! }).download())[0])).toBe('one')
    await bucket.file('v').delete()
    expect((await bucket.file('v').exists())[0]).toBe(false)
    expect(await generations()).toEqual([first, second])
    expect((await call(`/storage/v1/b/${name}/o?versions=true&maxResults=1`)).status).toBe(200)
    expect(await codeOf(bucket.delete())).toBe(409)
    for (const generation of [first!, second!]) await bucket.file('v', { generation }).delete()
    expect(await generations()).toEqual([])
    await bucket.delete()
  })

  it('patches, replaces and clears metadata, a metageneration each', async () => {
    const bucket = await newBucket()
    const file = bucket.file('o')
    await file.save('x', { resumable: false, metadata: { contentType: 'a/b', metadata: { a: '1', b: '2' } } })
    await file.setMetadata({ metadata: { a: null, c: '3' }, cacheControl: 'no-store' })
    expect(file.metadata).toMatchObject({ metageneration: '2', contentType: 'a/b', cacheControl: 'no-store' })
    expect(file.metadata.metadata).toEqual({ b: '2', c: '3' })
    const init = { method: 'PUT', body: '{"metadata":{"z":"9"},"size":"77"}' }
    const replaced = await (await call(`/storage/v1/b/${bucket.name}/o/o`, init)).json()
    expect(replaced).toMatchObject({ metageneration: '3', size: '1', metadata: { z: '9' } })
    expect(replaced).not.toHaveProperty('contentType')
  })
})

describe('compose and rewrite', () => {
  it('composes in order without an md5, and counts components', async () => {
    const bucket = await newBucket()
    for (const part of ['one', 'two', 'three']) await bucket.file(part).save(part, { resumable: false })
    await bucket.combine(['two', 'one'], bucket.file('both'))
    await bucket.combine(['both', 'three'], bucket.file('all'))
    const [meta] = await bucket.file('all').getMetadata()
    expect(meta).toMatchObject({ componentCount: 3, size: '11', crc32c: base64Crc(Buffer.from('twoonethree')) })
    expect(meta).not.toHaveProperty('md5Hash')
    expect(String((await bucket.file('all').download())[0])).toBe('twoonethree')
    const compose = (sources: unknown) =>
      call(`/storage/v1/b/${bucket.name}/o/c/compose`, {
        method: 'POST',
        body: JSON.stringify({ sourceObjects: sources }),
      })
    expect((await compose([{ name: 'gone' }])).status).toBe(404)
    expect((await compose([{ name: 'one', objectPreconditions: { ifGenerationMatch: '1' } }])).status).toBe(412)
    expect((await compose(Array.from({ length: 33 }, () => ({ name: 'one' })))).status).toBe(400)
  })

  it('copies between buckets, and neither copy needs the other', async () => {
    const [from, to] = [await newBucket(), await newBucket()]
    await from.file('a/b').save('body', { resumable: false, metadata: { contentType: 'x/y', metadata: { k: 'v' } } })
    await from.file('a/b').copy(to.file('c d'))
    await from.file('a/b').delete()
    expect(String((await to.file('c d').download())[0])).toBe('body')
    const [meta] = await to.file('c d').getMetadata()
    expect(meta).toMatchObject({ contentType: 'x/y', metadata: { k: 'v' }, md5Hash: md5(Buffer.from('body')) })
  })
})
