import { randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { describe, expect, it } from 'vitest'
import type { GcsServer } from '../../local/gcs/server.ts'
import { KIB, base64Crc, codeOf, gcsFixture, md5, withToken } from '../support/gcs.ts'

const { server, restart, newBucket, call, insert } = gcsFixture()

describe('uploads', () => {
  const body = randomBytes(900 * KIB + 13)

  it('takes simple, multipart and resumable bodies, with crc32c and md5', async () => {
    const bucket = await newBucket()
    const metadata = { contentType: 'x/y', metadata: { a: 'b' } }
    await bucket.file('multi part.bin').save(body, { resumable: false, validation: 'crc32c', metadata })
    await withToken(bucket.file('resumable')).save(body, { resumable: true, metadata })
    const chunked = withToken(bucket.file('chunked')).createWriteStream({ chunkSize: 256 * KIB, metadata })
    await pipeline(Readable.from([body.subarray(0, 5), body.subarray(5, 700_000), body.subarray(700_000)]), chunked)
    for (const name of ['multi part.bin', 'resumable', 'chunked']) {
      const [meta] = await bucket.file(name).getMetadata()
      expect(meta).toMatchObject({
        size: String(body.length),
        crc32c: base64Crc(body),
        md5Hash: md5(body),
        ...metadata,
      })
      expect((await bucket.file(name).download())[0].equals(body)).toBe(true)
    }
    expect((await insert(bucket.name, 'simple', body, '', { 'content-type': 'a/b' })).status).toBe(200)
    const [simple] = await bucket.file('simple').getMetadata()
    expect(simple).toMatchObject({ contentType: 'a/b', md5Hash: md5(body), metageneration: '1' })
  })

  it('finds the end of a media part that is full of almost-boundaries', async () => {
    const { name } = await newBucket()
    const tricky = Buffer.from('\r\n--=' + '\r\n--==='.repeat(40_000) + '\r\n--==')
    const parts = [
      '--====\r\ncontent-type: application/json\r\n\r\n{"name":"o"}\r\n--====\r\ncontent-type: t/x\r\n\r\n',
    ]
    const request = Buffer.concat([Buffer.from(parts[0]!), tricky, Buffer.from('\r\n--====--\r\n')])
    const pieces = function* () {
      for (let at = 0; at < request.length; at += 4093) yield request.subarray(at, at + 4093)
    }
    const headers = { 'content-type': 'multipart/related; boundary="===="' }
    const init = { method: 'POST', body: Readable.from(pieces()), headers, duplex: 'half' as const }
    const answer = await call(`/upload/storage/v1/b/${name}/o?uploadType=multipart`, init)
    expect(await answer.json()).toMatchObject({ name: 'o', contentType: 't/x', md5Hash: md5(tricky) })
    const cut = { method: 'POST', headers, body: request.subarray(0, -12) }
    expect((await call(`/upload/storage/v1/b/${name}/o?uploadType=multipart`, cut)).status).toBe(400)
  })

  it('refuses a wrong digest, wherever it is given, and stores nothing', async () => {
    const bucket = await newBucket()
    const other = Buffer.from('other')
    for (const metadata of [{ crc32c: base64Crc(other) }, { md5Hash: md5(other) }]) {
      expect(await codeOf(bucket.file('o').save(body, { resumable: false, validation: false, metadata }))).toBe(400)
      expect(
        await codeOf(withToken(bucket.file('o')).save(body, { resumable: true, validation: false, metadata })),
      ).toBe(400)
    }
    expect((await insert(bucket.name, 'o', body, '', { 'x-goog-hash': `md5=${md5(other)}` })).status).toBe(400)
    expect((await bucket.file('o').exists())[0]).toBe(false)
  })

  it('goes on with a resumable upload after a restart, from whole 256 KiB chunks', async () => {
    const { name } = await newBucket()
    const start = await call(`/upload/storage/v1/b/${name}/o?uploadType=resumable&name=r&ifGenerationMatch=0`, {
      method: 'POST',
      headers: { 'x-upload-content-type': 'w/z' },
    })
    const session = (): string => server().url + new URL(start.headers.get('location')!).pathname + search
    const { search } = new URL(start.headers.get('location')!)
    const put = (range: string, part?: Buffer) =>
      fetch(session(), { method: 'PUT', headers: { 'content-range': range }, ...(part ? { body: part } : {}) })
    expect((await put('bytes */*')).headers.get('range')).toBeNull()
    const first = await put(`bytes 0-${300 * KIB - 1}/*`, body.subarray(0, 300 * KIB))
    expect([first.status, first.headers.get('range')]).toEqual([308, `bytes=0-${256 * KIB - 1}`])
    await restart()
    const status = await put(`bytes */${body.length}`)
    expect([status.status, status.headers.get('range')]).toEqual([308, `bytes=0-${256 * KIB - 1}`])
    expect((await put(`bytes ${512 * KIB}-${body.length - 1}/${body.length}`, body.subarray(512 * KIB))).status).toBe(
      400,
    )
    const overlap = await put(`bytes ${100 * KIB}-${body.length - 1}/${body.length}`, body.subarray(100 * KIB))
    expect(await overlap.json()).toMatchObject({ name: 'r', contentType: 'w/z', md5Hash: md5(body) })
    await restart()
    expect(await (await put(`bytes */${body.length}`)).json()).toMatchObject({ name: 'r', crc32c: base64Crc(body) })
  })

  it('cancels a resumable upload, and refuses at its end what another made meanwhile', async () => {
    const bucket = await newBucket()
    const begin = async (): Promise<string> => {
      const path = `/upload/storage/v1/b/${bucket.name}/o?uploadType=resumable&name=r&ifGenerationMatch=0`
      return (await call(path, { method: 'POST' })).headers.get('location')!
    }
    const cancelled = await begin()
    expect((await fetch(cancelled, { method: 'DELETE' })).status).toBe(499)
    expect((await fetch(cancelled, { method: 'PUT', body: 'x' })).status).toBe(401)
    const late = await begin()
    await bucket.file('r').save('first', { resumable: false })
    expect((await fetch(late, { method: 'PUT', body: 'second' })).status).toBe(412)
    expect(String((await bucket.file('r').download())[0])).toBe('first')
  })

  it('counts what came over the wire, also what was refused', async () => {
    const { name } = await newBucket()
    const before = server().stats()
    await insert(name, 'chunks/a', 'x'.repeat(1000))
    expect((await insert(name, 'chunks/a', 'y'.repeat(500), '&ifGenerationMatch=0')).status).toBe(412)
    const after = (await (await fetch(`${server().url}/_lifeboat/stats`)).json()) as ReturnType<GcsServer['stats']>
    expect(after.byPrefix[`${name}/chunks`]).toEqual({ bytesReceived: 1500, creates: 1, refused: 500 })
    expect(after.bytesReceived - before.bytesReceived).toBe(1500)
  })
})
