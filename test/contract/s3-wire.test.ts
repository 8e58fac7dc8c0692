import { createHash } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { request } from 'node:http'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import {
  CreateBucketCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
} from '@aws-sdk/client-s3'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readBody } from '../../local/http.ts'
import { bytesOf, clientOf, failureOf, mebibyte, setVersioning, startEmbedded } from './s3-support.ts'

const codeOf = (text: string): string | undefined => /<Code>(.*?)<\/Code>/.exec(text)?.[1]

const crc = (text: string): string => {
  const value = Buffer.alloc(4)
  value.writeUInt32BE(crc32(text))
  return value.toString('base64')
}
const chunked = (chunks: string[], trailer: string, signature = ''): string =>
  [...chunks, ''].map((chunk) => `${chunk.length.toString(16)}${signature}\r\n${chunk}${chunk && '\r\n'}`).join('') +
  `${trailer}\r\n`
const chunkedHeaders = (length: number, more: Record<string, string> = {}): Record<string, string> => ({
  'content-encoding': 'aws-chunked',
  'x-amz-decoded-content-length': String(length),
  'x-amz-content-sha256': 'STREAMING-UNSIGNED-PAYLOAD-TRAILER',
  'x-amz-trailer': 'x-amz-checksum-crc32',
  ...more,
})

/** What only raw HTTP shows: framings, refusals and spellings that no SDK would send. */
describe('S3 on the wire', () => {
  const bucket = 'wire'
  let embedded: Awaited<ReturnType<typeof startEmbedded>>
  beforeAll(async () => {
    embedded = await startEmbedded()
    await embedded.client.send(new CreateBucketCommand({ Bucket: bucket }))
  })
  afterAll(async () => embedded.stop())

  const send = async (method: string, path: string, headers: Record<string, string> = {}, body?: string | Buffer) => {
    const sent = request(embedded.server.url, { method, path, headers, agent: false })
    const answered = new Promise<import('node:http').IncomingMessage>((resolve, reject) => {
      sent.on('response', resolve)
      sent.on('error', reject)
    })
    sent.end(body)
    const answer = await answered
    return { status: answer.statusCode, headers: answer.headers, text: String(await readBody(answer)) }
  }
  test('unsigned chunks with a trailing checksum', async () => {
    const body = chunked(['hello ', 'world'], `x-amz-checksum-crc32:${crc('hello world')}\r\n`)
    const stored = await send('PUT', `/${bucket}/unsigned`, chunkedHeaders(11), body)
    expect([stored.status, stored.headers['x-amz-checksum-crc32']]).toEqual([200, crc('hello world')])
    const read = await send('GET', `/${bucket}/unsigned`)
    expect([read.text, read.headers['content-encoding']]).toEqual(['hello world', undefined])
  })

  test('signed chunks, with and without a trailer', async () => {
    const signature = `;chunk-signature=${'0'.repeat(64)}`
    const plain = await send(
      'PUT',
      `/${bucket}/signed`,
      {
        'content-encoding': 'gzip,aws-chunked',
        'x-amz-decoded-content-length': '5',
        'x-amz-content-sha256': 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD',
      },
      chunked(['hello'], '', signature),
    )
    expect(plain.status).toBe(200)
    const trailer = `x-amz-checksum-crc32:${crc('hello')}\r\nx-amz-trailer-signature:${'0'.repeat(64)}\r\n`
    const headers = chunkedHeaders(5, { 'x-amz-content-sha256': 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER' })
    expect((await send('PUT', `/${bucket}/signed2`, headers, chunked(['hello'], trailer, signature))).status).toBe(200)
    const read = await send('GET', `/${bucket}/signed`)
    expect([read.text, read.headers['content-encoding']]).toEqual(['hello', 'gzip'])
  })

  test('what does not add up is refused and leaves nothing, not even a file', async () => {
    const before = (await readdir(join(embedded.dir, 'bodies'))).length
    const good = chunked(['hello'], `x-amz-checksum-crc32:${crc('hello')}\r\n`)
    const sha = createHash('sha256').update('other').digest('hex')
    const cases: [string, Record<string, string>, string][] = [
      ['BadDigest', chunkedHeaders(5), chunked(['hello'], `x-amz-checksum-crc32:${crc('other')}\r\n`)],
      ['MalformedTrailerError', chunkedHeaders(5), chunked(['hello'], '')],
      ['IncompleteBody', chunkedHeaders(6), good],
      ['InvalidChunkSizeError', chunkedHeaders(5), `zz\r\nhello\r\n0\r\n\r\n`],
      ['XAmzContentSHA256Mismatch', { 'x-amz-content-sha256': sha }, 'hello'],
      ['InvalidRequest', { 'x-amz-checksum-crc32': crc('hello'), 'x-amz-checksum-sha1': 'x' }, 'hello'],
      ['InvalidRequest', { 'x-amz-checksum-crc32': 'nonsense' }, 'hello'],
      ['NotImplemented', { 'x-amz-checksum-sha512': 'x' }, 'hello'],
      ['NotImplemented', { 'x-amz-object-lock-mode': 'COMPLIANCE' }, 'hello'],
      ['NotImplemented', { 'if-none-match': '"an etag"' }, 'hello'],
      ['InvalidStorageClass', { 'x-amz-storage-class': 'CHEAP' }, 'hello'],
    ]
    for (const [code, headers, body] of cases)
      expect([codeOf((await send('PUT', `/${bucket}/refused`, headers, body)).text), headers]).toEqual([code, headers])
    expect(await failureOf(embedded.client.send(new HeadObjectCommand({ Bucket: bucket, Key: 'refused' })))).toEqual(
      expect.objectContaining({ status: 404 }),
    )
    expect((await readdir(join(embedded.dir, 'bodies'))).length).toBe(before)
  })

  test('a body without a length is 411', async () => {
    const answer = await send('PUT', `/${bucket}/k`, { 'transfer-encoding': 'chunked' }, 'hello')
    expect([answer.status, codeOf(answer.text)]).toEqual([411, 'MissingContentLength'])
  })

  test('operations that are not here answer 501 and change nothing', async () => {
    await embedded.client.send(new PutObjectCommand({ Bucket: bucket, Key: 'kept', Body: 'kept' }))
    const others = [
      ['PUT', `/${bucket}/kept?acl`],
      ['PUT', `/${bucket}/kept?retention`],
      ['POST', `/${bucket}/kept?select&select-type=2`],
      ['POST', `/${bucket}/kept?restore`],
      ['PUT', `/${bucket}?policy`],
      ['GET', `/${bucket}?lifecycle`],
      ['DELETE', `/${bucket}?replication`],
      ['POST', `/${bucket}`],
    ]
    for (const [method, path] of others) {
      const answer = await send(method!, path!, {}, method === 'PUT' ? 'x' : undefined)
      expect([path, answer.status, codeOf(answer.text)]).toEqual([path, 501, 'NotImplemented'])
    }
    expect((await send('GET', `/${bucket}/kept`)).text).toBe('kept')
  })

  test('an error names code, message, resource and request', async () => {
    const { status, text, headers } = await send('GET', `/${bucket}/no%20such`)
    expect(status).toBe(404)
    expect(text).toContain('<Code>NoSuchKey</Code><Message>The specified key does not exist.</Message>')
    expect(text).toContain(`<Resource>/${bucket}/no%20such</Resource>`)
    expect(text).toContain(`<RequestId>${headers['x-amz-request-id'] as string}</RequestId>`)
    const head = await send('HEAD', `/${bucket}/no%20such`)
    expect([head.status, head.text]).toEqual([404, ''])
  })

  test('control characters are references without encoding-type=url', async () => {
    await embedded.client.send(new PutObjectCommand({ Bucket: bucket, Key: 'ctl\u0001\r', Body: '' }))
    expect((await send('GET', `/${bucket}?list-type=2&prefix=ctl`)).text).toContain('<Key>ctl&#x1;&#xd;</Key>')
    expect((await send('GET', `/${bucket}?list-type=2&prefix=ctl&encoding-type=url`)).text).toContain(
      '<Key>ctl%01%0D</Key>',
    )
  })

  test('presigned URLs and plus signs in paths are taken as they are', async () => {
    const query = 'X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires=60&X-Amz-Signature=0&x-id=PutObject'
    expect((await send('PUT', `/${bucket}/a+b?${query}`, {}, 'plus')).status).toBe(200)
    const { Body } = await embedded.client.send(new GetObjectCommand({ Bucket: bucket, Key: 'a+b' }))
    expect(await Body!.transformToString()).toBe('plus')
  })

  test('an object can be stored without any checksum, in one piece or in parts', async () => {
    const none = { 'x-lifeboat-no-checksum': 'true' }
    expect((await send('PUT', `/${bucket}/old`, none, 'from 2024')).status).toBe(200)
    const begun = await send('POST', `/${bucket}/old-parts?uploads`, none)
    const id = /<UploadId>(.*?)<\/UploadId>/.exec(begun.text)![1]!
    const part = await send('PUT', `/${bucket}/old-parts?partNumber=1&uploadId=${id}`, {}, 'part')
    const parts = `<Part><PartNumber>1</PartNumber><ETag>${part.headers.etag!}</ETag></Part>`
    const complete = `<CompleteMultipartUpload>${parts}</CompleteMultipartUpload>`
    expect((await send('POST', `/${bucket}/old-parts?uploadId=${id}`, {}, complete)).status).toBe(200)
    for (const key of ['old', 'old-parts']) {
      const head = await send('HEAD', `/${bucket}/${key}`, { 'x-amz-checksum-mode': 'ENABLED' })
      expect(head.status).toBe(200)
      expect(Object.keys(head.headers).filter((name) => name.includes('checksum'))).toEqual([])
    }
  })

  test('a request cut in its body stores nothing', async () => {
    const sent = request(`${embedded.server.url}/${bucket}/cut`, {
      method: 'PUT',
      headers: { 'content-length': '1000' },
      agent: false,
    })
    sent.on('error', () => undefined)
    sent.write('half')
    await new Promise((resolve) => setTimeout(resolve, 50))
    sent.destroy()
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect((await send('HEAD', `/${bucket}/cut`)).status).toBe(404)
  })

  test('a version deleted while it is read is read to its end', async () => {
    const bytes = bytesOf(8 * mebibyte)
    await embedded.client.send(new PutObjectCommand({ Bucket: bucket, Key: 'going', Body: bytes }))
    const { Body } = await embedded.client.send(new GetObjectCommand({ Bucket: bucket, Key: 'going' }))
    await embedded.client.send(new DeleteObjectCommand({ Bucket: bucket, Key: 'going' }))
    expect(Buffer.from(await Body!.transformToByteArray()).equals(bytes)).toBe(true)
  })

  test('a listing goes on when the version it stopped at is gone', async () => {
    const subject = { client: embedded.client, bucket: 'markers' }
    await subject.client.send(new CreateBucketCommand({ Bucket: 'markers' }))
    await setVersioning(subject, 'Enabled')
    const put = () => subject.client.send(new PutObjectCommand({ Bucket: 'markers', Key: 'k', Body: 'x' }))
    const ids = [await put(), await put(), await put()].map(({ VersionId }) => VersionId!)
    await subject.client.send(new DeleteObjectCommand({ Bucket: 'markers', Key: 'k', VersionId: ids[2]! }))
    const page = await send('GET', `/markers?versions&key-marker=k&version-id-marker=${ids[2]!}`)
    expect(ids.slice(0, 2).every((id) => page.text.includes(id))).toBe(true)
  })

  test('bytes and requests are counted', async () => {
    const stats = async () =>
      JSON.parse((await send('GET', '/_lifeboat/stats')).text) as Record<'bytesRead' | 'bytesWritten' | 'gets', number>
    const before = await stats()
    await send('PUT', `/${bucket}/counted`, {}, '0123456789')
    await send('GET', `/${bucket}/counted`, { range: 'bytes=2-4' })
    const after = await stats()
    expect([after.bytesWritten - before.bytesWritten, after.bytesRead - before.bytesRead]).toEqual([10, 3])
    expect(after.gets - before.gets).toBe(1)
  })

  test('a status fault is an S3 error that the SDK retries', async () => {
    const client = clientOf(embedded.server.url, { maxAttempts: 3 })
    embedded.server.faults.push({ path: 'PUT /wire/faulty', times: 1, status: 503 })
    const { $metadata } = await client.send(new PutObjectCommand({ Bucket: bucket, Key: 'faulty', Body: 'x' }))
    expect($metadata.attempts).toBe(2)
    embedded.server.faults.push({ path: 'PUT /wire/faulty', times: 1, cut: 'after' })
    await client.send(new PutObjectCommand({ Bucket: bucket, Key: 'faulty', Body: 'y' }))
    const { Contents } = await client.send(new ListObjectsV2Command({ Bucket: bucket, Prefix: 'faulty' }))
    expect(Contents).toHaveLength(1)
    client.destroy()
  })
})
