import {
  AbortMultipartUploadCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListPartsCommand,
  PutObjectCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import { expect } from 'vitest'
import { type Checks, failureOf, md5, mebibyte, setVersioning } from './s3-support.ts'
import {
  whole,
  bodies,
  begin,
  send,
  finish,
  uploadWith,
  copyPart,
  readBytes,
  headPart,
  etagOfParts,
  headWhole,
} from './s3-uploads.ts'

export const multipartChecks: Checks = {
  'parts become one object, read whole and by range': async (subject) => {
    const { done } = await uploadWith(subject)
    expect(done.ETag).toBe(etagOfParts)
    expect((await readBytes(subject)).bytes.equals(whole)).toBe(true)
    const [start, end] = [5 * mebibyte - 3, 10 * mebibyte + 5]
    const across = await readBytes(subject, { Range: `bytes=${start}-${end - 1}`, IfMatch: done.ETag })
    expect(across.bytes.equals(whole.subarray(start, end))).toBe(true)
  },

  'get by part gives the bytes of that part': async (subject) => {
    await uploadWith(subject)
    const part = await readBytes(subject, { PartNumber: 2 })
    expect(part.bytes.equals(bodies[1]!)).toBe(true)
    expect([part.PartsCount, part.ContentRange]).toEqual([
      3,
      `bytes ${5 * mebibyte}-${10 * mebibyte - 1}/${whole.length}`,
    ])
    expect(await failureOf(readBytes(subject, { PartNumber: 4 }))).toMatchObject({ status: 416 })
  },

  'head by part tells the size of the part and how many there are': async (subject) => {
    await uploadWith(subject, 'SHA256')
    for (const [index, body] of bodies.entries())
      expect(await headPart(subject, index + 1)).toMatchObject({ ContentLength: body.length, PartsCount: 3 })
    expect((await headWhole(subject)).PartsCount).toBeUndefined()
  },

  'parts below 5 MiB and unknown ones are refused': async (subject) => {
    const upload = await begin(subject)
    const parts = await send(subject, upload, [bodies[2]!, bodies[2]!])
    expect(await failureOf(finish(subject, upload, parts))).toMatchObject({ name: 'EntityTooSmall', status: 400 })
    const unknown = [{ ...parts[0]!, ETag: '"0"' }]
    expect(await failureOf(finish(subject, upload, unknown))).toMatchObject({ name: 'InvalidPart', status: 400 })
    expect(await failureOf(finish(subject, upload, []))).toMatchObject({ name: 'MalformedXML', status: 400 })
  },

  'parts out of order are refused': async (subject) => {
    const upload = await begin(subject)
    const parts = await send(subject, upload, bodies.slice(0, 2))
    const reversed = finish(subject, upload, parts.toReversed())
    expect(await failureOf(reversed)).toMatchObject({ name: 'InvalidPartOrder', status: 400 })
  },

  'a part number is between 1 and 10,000': async (subject) => {
    const upload = await begin(subject)
    const part = new UploadPartCommand({ ...upload, PartNumber: 10_001, Body: 'x' })
    expect(await failureOf(subject.client.send(part))).toMatchObject({ name: 'InvalidArgument', status: 400 })
  },

  'a part sent again replaces the first, one left out is dropped': async (subject) => {
    const upload = await begin(subject)
    await send(subject, upload, [bodies[2]!, bodies[0]!])
    const parts = await send(subject, upload, [bodies[1]!])
    await finish(subject, upload, parts)
    const { Body } = await subject.client.send(new GetObjectCommand({ Bucket: subject.bucket, Key: 'k' }))
    expect(Buffer.from(await Body!.transformToByteArray()).equals(bodies[1]!)).toBe(true)
  },

  'an upload completes or aborts once': async (subject) => {
    const upload = await begin(subject)
    await subject.client.send(new AbortMultipartUploadCommand(upload))
    expect(await failureOf(send(subject, upload, [bodies[2]!]))).toMatchObject({ name: 'NoSuchUpload', status: 404 })
    const again = subject.client.send(new AbortMultipartUploadCommand(upload))
    expect(await failureOf(again)).toMatchObject({ name: 'NoSuchUpload', status: 404 })
  },

  'completing honours the object size': async (subject) => {
    const upload = await begin(subject)
    const parts = await send(subject, upload, [bodies[2]!])
    expect(await failureOf(finish(subject, upload, parts, { MpuObjectSize: 7 }))).toMatchObject({ status: 400 })
    await finish(subject, upload, parts, { MpuObjectSize: mebibyte })
  },

  'completing honours If-None-Match': async (subject) => {
    const upload = await begin(subject)
    const parts = await send(subject, upload, [bodies[2]!])
    await subject.client.send(new PutObjectCommand({ Bucket: subject.bucket, Key: 'k', Body: 'first' }))
    expect(await failureOf(finish(subject, upload, parts, { IfNoneMatch: '*' }))).toMatchObject({
      name: 'PreconditionFailed',
      status: 412,
    })
    await finish(subject, upload, parts)
  },

  'metadata of an upload is that of its object': async (subject) => {
    const upload = await begin(subject, { Metadata: { a: 'b' }, ContentType: 'x/y', Tagging: 'p=q' })
    await finish(subject, upload, await send(subject, upload, [bodies[2]!]))
    const head = await subject.client.send(new HeadObjectCommand({ Bucket: subject.bucket, Key: 'k' }))
    expect(head).toMatchObject({ Metadata: { a: 'b' }, ContentType: 'x/y' })
  },

  'KMS makes the ETags of parts and object opaque': async (subject) => {
    const upload = await begin(subject, { ServerSideEncryption: 'aws:kms' })
    const parts = await send(subject, upload, [bodies[2]!])
    expect(parts[0]!.ETag).not.toBe(`"${md5(bodies[2]!)}"`)
    expect((await finish(subject, upload, parts)).ETag).toMatch(/^"[0-9a-f]{32}-1"$/)
  },

  'parts are copied from an object, whole or by range': async (subject) => {
    const { client, bucket } = subject
    await client.send(new PutObjectCommand({ Bucket: bucket, Key: 'source', Body: whole }))
    const upload = await begin(subject)
    const copy = (PartNumber: number, range?: string) => copyPart(subject, upload, PartNumber, range)
    await finish(subject, upload, [await copy(1), await copy(2, 'bytes=100-199')])
    const { Body } = await client.send(new GetObjectCommand({ Bucket: bucket, Key: 'k' }))
    const expected = Buffer.concat([whole, whole.subarray(100, 200)])
    expect(Buffer.from(await Body!.transformToByteArray()).equals(expected)).toBe(true)
  },

  'a part cannot be copied from beyond the end of its source': async (subject) => {
    const { client, bucket } = subject
    await client.send(new PutObjectCommand({ Bucket: bucket, Key: 'source', Body: 'source' }))
    const beyond = copyPart(subject, await begin(subject), 1, 'bytes=0-6')
    expect(await failureOf(beyond)).toMatchObject({ name: 'InvalidArgument', status: 400 })
  },

  'parts are listed by page': async (subject) => {
    const upload = await begin(subject, { ChecksumAlgorithm: 'CRC32C' })
    const parts = await send(subject, upload, bodies, { ChecksumAlgorithm: 'CRC32C' })
    const first = await subject.client.send(new ListPartsCommand({ ...upload, MaxParts: 2 }))
    const second = await subject.client.send(
      new ListPartsCommand({ ...upload, PartNumberMarker: first.NextPartNumberMarker }),
    )
    expect([first.IsTruncated, second.IsTruncated]).toEqual([true, false])
    const seen = [...first.Parts!, ...second.Parts!]
    expect(seen.map(({ PartNumber, Size, ETag }) => [PartNumber, Size, ETag])).toEqual(
      bodies.map((body, index) => [index + 1, body.length, parts[index]!.ETag]),
    )
  },

  'uploads in progress are listed by prefix and delimiter': async (subject) => {
    const { client, bucket } = subject
    for (const key of ['a/1', 'a/2', 'b']) await begin(subject, {}, key)
    const list = (more = {}) => client.send(new ListMultipartUploadsCommand({ Bucket: bucket, ...more }))
    expect((await list({ Prefix: 'a/' })).Uploads?.map(({ Key }) => Key)).toEqual(['a/1', 'a/2'])
    const folded = await list({ Delimiter: '/' })
    expect(folded.CommonPrefixes?.map(({ Prefix }) => Prefix)).toEqual(['a/'])
    expect(folded.Uploads?.map(({ Key }) => Key)).toEqual(['b'])
  },

  'uploads in progress are listed by page': async (subject) => {
    const { client, bucket } = subject
    for (const key of ['a/1', 'a/2', 'b', 'b', 'c']) await begin(subject, {}, key)
    const list = (more = {}) => client.send(new ListMultipartUploadsCommand({ Bucket: bucket, ...more }))
    const seen: string[] = []
    for (let at = {}; ;) {
      const page = await list({ MaxUploads: 2, ...at })
      seen.push(...page.Uploads!.map(({ Key }) => Key!))
      if (!page.IsTruncated) break
      at = { KeyMarker: page.NextKeyMarker, UploadIdMarker: page.NextUploadIdMarker }
    }
    expect(seen).toEqual(['a/1', 'a/2', 'b', 'b', 'c'])
  },

  'of two uploads the one begun later is the current version': async (subject) => {
    await setVersioning(subject, 'Enabled')
    const [earlier, later] = [await begin(subject), await begin(subject)]
    const [one, two] = [bodies[2]!.subarray(0, 100), bodies[2]!.subarray(100, 300)]
    const done = await finish(subject, later, await send(subject, later, [two]))
    await finish(subject, earlier, await send(subject, earlier, [one]))
    const head = await subject.client.send(new HeadObjectCommand({ Bucket: subject.bucket, Key: 'k' }))
    expect([head.VersionId, head.ContentLength]).toEqual([done.VersionId, 200])
  },
}
