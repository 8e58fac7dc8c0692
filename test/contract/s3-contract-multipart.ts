import { createHash } from 'node:crypto'
import {
  AbortMultipartUploadCommand,
  type ChecksumAlgorithm,
  type ChecksumType,
  CompleteMultipartUploadCommand,
  type CompletedPart,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  GetObjectAttributesCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListPartsCommand,
  PutObjectCommand,
  UploadPartCommand,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3'
import { createCRC32, createCRC64 } from 'hash-wasm'
import { expect } from 'vitest'
import { bytesOf, type Checks, failureOf, md5, mebibyte, setVersioning, type Subject } from './s3-support.ts'

const whole = bytesOf(11 * mebibyte, 7)
const bodies = [
  whole.subarray(0, 5 * mebibyte),
  whole.subarray(5 * mebibyte, 10 * mebibyte),
  whole.subarray(10 * mebibyte),
]

const begin = async ({ client, bucket }: Subject, more = {}, Key = 'k') => {
  const { UploadId } = await client.send(new CreateMultipartUploadCommand({ Bucket: bucket, Key, ...more }))
  return { Bucket: bucket, Key, UploadId }
}
type Upload = Awaited<ReturnType<typeof begin>>

const send = async ({ client }: Subject, upload: Upload, parts: Uint8Array[], more = {}): Promise<CompletedPart[]> => {
  const done: CompletedPart[] = []
  for (const [index, Body] of parts.entries()) {
    const { $metadata, ServerSideEncryption, ...part } = await client.send(
      new UploadPartCommand({ ...upload, PartNumber: index + 1, Body, ...more }),
    )
    done.push({ ...part, PartNumber: index + 1 })
  }
  return done
}

const finish = ({ client }: Subject, upload: Upload, Parts: CompletedPart[], more = {}) =>
  client.send(new CompleteMultipartUploadCommand({ ...upload, MultipartUpload: { Parts }, ...more }))

const uploadWith = async (subject: Subject, ChecksumAlgorithm?: ChecksumAlgorithm, ChecksumType?: ChecksumType) => {
  const upload = await begin(subject, { ChecksumAlgorithm, ChecksumType })
  const parts = await send(subject, upload, bodies, { ChecksumAlgorithm })
  return { upload, parts, done: await finish(subject, upload, parts) }
}

const headPart = ({ client, bucket }: Subject, PartNumber: number) =>
  client.send(new HeadObjectCommand({ Bucket: bucket, Key: 'k', PartNumber, ChecksumMode: 'ENABLED' }))

const attributesOf = ({ client, bucket }: Subject, more = {}) =>
  client.send(
    new GetObjectAttributesCommand({
      Bucket: bucket,
      Key: 'k',
      ObjectAttributes: ['Checksum', 'ObjectParts', 'ObjectSize', 'ETag'],
      ...more,
    }),
  )

const sha256 = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest()
const etagOfParts = `"${md5(Buffer.concat(bodies.map((part) => Buffer.from(md5(part), 'hex'))))}-3"`

const crcOf = async (algorithm: 'CRC64NVME' | 'CRC32' | 'CRC32C', bytes: Uint8Array): Promise<Buffer> => {
  const polynomials = { CRC32: 0xedb88320, CRC32C: 0x82f63b78 }
  const hasher =
    algorithm === 'CRC64NVME' ? await createCRC64('9a6c9329ac4bc9b5') : await createCRC32(polynomials[algorithm])
  return Buffer.from(hasher.init().update(bytes).digest('hex'), 'hex')
}

const composites: Checks = Object.fromEntries(
  (['CRC32', 'CRC32C', 'SHA1', 'SHA256'] as const).map((algorithm) => [
    `a ${algorithm} upload has the composite of its parts`,
    async (subject: Subject) => {
      const field = `Checksum${algorithm}` as const
      const { parts, done } = await uploadWith(subject, algorithm)
      const digest = async (bytes: Uint8Array): Promise<Buffer> =>
        algorithm.startsWith('SHA')
          ? createHash(algorithm.toLowerCase()).update(bytes).digest()
          : crcOf(algorithm as 'CRC32', bytes)
      const ofParts = await Promise.all(bodies.map(digest))
      const composite = (await digest(Buffer.concat(ofParts))).toString('base64')
      expect(parts.map((part) => part[field])).toEqual(ofParts.map((part) => part.toString('base64')))
      expect([done[field], done.ChecksumType]).toEqual([`${composite}-3`, 'COMPOSITE'])
      const head = await subject.client.send(
        new HeadObjectCommand({ Bucket: subject.bucket, Key: 'k', ChecksumMode: 'ENABLED' }),
      )
      expect([head[field], head.ChecksumType]).toEqual([`${composite}-3`, 'COMPOSITE'])
    },
  ]),
)

const fullObjects: Checks = Object.fromEntries(
  (['CRC64NVME', 'CRC32', 'CRC32C'] as const).map((algorithm) => [
    `a full-object ${algorithm} of an upload is that of its bytes`,
    async (subject: Subject) => {
      const field = `Checksum${algorithm}` as const
      const expected = (await crcOf(algorithm, whole)).toString('base64')
      const upload = await begin(subject, { ChecksumAlgorithm: algorithm, ChecksumType: 'FULL_OBJECT' })
      const parts = await send(subject, upload, bodies, { ChecksumAlgorithm: algorithm })
      const wrong = { ChecksumType: 'FULL_OBJECT', [field]: (await crcOf(algorithm, bodies[0]!)).toString('base64') }
      expect(await failureOf(finish(subject, upload, parts, wrong))).toMatchObject({ name: 'BadDigest', status: 400 })
      const done = await finish(subject, upload, parts, { ChecksumType: 'FULL_OBJECT', [field]: expected })
      expect([done[field], done.ChecksumType]).toEqual([expected, 'FULL_OBJECT'])
    },
  ]),
)

export const multipartChecks: Checks = {
  'parts become one object, read whole, by range and by part': async (subject) => {
    const { done } = await uploadWith(subject)
    expect(done.ETag).toBe(etagOfParts)
    const at = { Bucket: subject.bucket, Key: 'k' }
    const readBytes = async (more = {}) => {
      const answer = await subject.client.send(new GetObjectCommand({ ...at, ...more }))
      return { ...answer, bytes: Buffer.from(await answer.Body!.transformToByteArray()) }
    }
    expect((await readBytes()).bytes.equals(whole)).toBe(true)
    const [start, end] = [5 * mebibyte - 3, 10 * mebibyte + 5]
    const across = await readBytes({ Range: `bytes=${start}-${end - 1}`, IfMatch: done.ETag })
    expect(across.bytes.equals(whole.subarray(start, end))).toBe(true)
    const part = await readBytes({ PartNumber: 2 })
    expect(part.bytes.equals(bodies[1]!)).toBe(true)
    expect([part.PartsCount, part.ContentRange]).toEqual([
      3,
      `bytes ${5 * mebibyte}-${10 * mebibyte - 1}/${whole.length}`,
    ])
    expect(await failureOf(readBytes({ PartNumber: 4 }))).toMatchObject({ status: 416 })
  },

  ...composites,
  ...fullObjects,

  'an upload without an algorithm has the CRC64NVME of its bytes': async (subject) => {
    const { done } = await uploadWith(subject)
    const expected = (await crcOf('CRC64NVME', whole)).toString('base64')
    expect([done.ChecksumCRC64NVME, done.ChecksumType]).toEqual([expected, 'FULL_OBJECT'])
    const head = await subject.client.send(
      new HeadObjectCommand({ Bucket: subject.bucket, Key: 'k', ChecksumMode: 'ENABLED' }),
    )
    expect([head.ChecksumCRC64NVME, head.ChecksumType]).toEqual([expected, 'FULL_OBJECT'])
  },

  'head by part tells size, count and the checksum of the part': async (subject) => {
    await uploadWith(subject, 'SHA256')
    for (const [index, body] of bodies.entries())
      expect(await headPart(subject, index + 1)).toMatchObject({
        ContentLength: body.length,
        PartsCount: 3,
        ChecksumSHA256: sha256(body).toString('base64'),
        ChecksumType: 'COMPOSITE',
      })
    const head = await subject.client.send(new HeadObjectCommand({ Bucket: subject.bucket, Key: 'k' }))
    expect(head.PartsCount).toBeUndefined()
  },

  'head by part of a full-object upload tells sizes only': async (subject) => {
    await uploadWith(subject, 'CRC64NVME')
    const head = await headPart(subject, 3)
    expect([head.ContentLength, head.PartsCount, head.ChecksumCRC64NVME]).toEqual([mebibyte, 3, undefined])
  },

  'attributes list the parts of a composite object by page': async (subject) => {
    await uploadWith(subject, 'SHA256')
    const first = await attributesOf(subject, { MaxParts: 2 })
    expect(first).toMatchObject({ ObjectSize: whole.length, ETag: etagOfParts.replaceAll('"', '') })
    expect(first.ObjectParts).toMatchObject({ TotalPartsCount: 3, IsTruncated: true, NextPartNumberMarker: '2' })
    const second = await attributesOf(subject, { PartNumberMarker: '2' })
    expect(second.ObjectParts).toMatchObject({ TotalPartsCount: 3, IsTruncated: false })
    expect([...first.ObjectParts!.Parts!, ...second.ObjectParts!.Parts!]).toEqual(
      bodies.map((body, index) => ({
        PartNumber: index + 1,
        Size: body.length,
        ChecksumSHA256: sha256(body).toString('base64'),
      })),
    )
  },

  'attributes give a composite checksum without the number of parts': async (subject) => {
    await uploadWith(subject, 'SHA256')
    const composite = sha256(Buffer.concat(bodies.map(sha256))).toString('base64')
    const { Checksum } = await attributesOf(subject)
    expect([Checksum?.ChecksumSHA256, Checksum?.ChecksumType]).toEqual([composite, 'COMPOSITE'])
  },

  'attributes only count the parts of a full-object upload': async (subject) => {
    await uploadWith(subject)
    const { ObjectParts } = await attributesOf(subject)
    expect([ObjectParts?.TotalPartsCount, ObjectParts?.Parts]).toEqual([3, undefined])
  },

  'types and algorithms that do not go together are refused': async (subject) => {
    const wrong: [ChecksumAlgorithm | undefined, ChecksumType][] = [
      ['SHA256', 'FULL_OBJECT'],
      ['CRC64NVME', 'COMPOSITE'],
      [undefined, 'FULL_OBJECT'],
    ]
    for (const [ChecksumAlgorithm, ChecksumType] of wrong)
      expect(await failureOf(begin(subject, { ChecksumAlgorithm, ChecksumType }))).toMatchObject({
        name: 'InvalidRequest',
        status: 400,
      })
  },

  'a part with another algorithm than its upload is refused': async (subject) => {
    const upload = await begin(subject, { ChecksumAlgorithm: 'SHA256' })
    const part = send(subject, upload, [bodies[2]!], { ChecksumAlgorithm: 'CRC32' })
    expect(await failureOf(part)).toMatchObject({ name: 'InvalidRequest', status: 400 })
  },

  'a part with a wrong checksum is refused': async (subject) => {
    const upload = await begin(subject, { ChecksumAlgorithm: 'SHA256' })
    const wrong = send(subject, upload, [bodies[2]!], { ChecksumSHA256: sha256(bodies[0]!).toString('base64') })
    expect(await failureOf(wrong)).toMatchObject({ name: 'BadDigest', status: 400 })
    const { Parts } = await subject.client.send(new ListPartsCommand(upload))
    expect(Parts ?? []).toEqual([])
  },

  'completing a composite upload needs the checksum of each part': async (subject) => {
    const upload = await begin(subject, { ChecksumAlgorithm: 'SHA256' })
    const parts = await send(subject, upload, [bodies[2]!], { ChecksumAlgorithm: 'SHA256' })
    const without = parts.map(({ ETag, PartNumber }) => ({ ETag, PartNumber }))
    expect(await failureOf(finish(subject, upload, without))).toMatchObject({ name: 'InvalidRequest', status: 400 })
    const other = parts.map((part) => ({ ...part, ChecksumSHA256: sha256(bodies[0]!).toString('base64') }))
    expect(await failureOf(finish(subject, upload, other))).toMatchObject({ name: 'InvalidPart', status: 400 })
    await finish(subject, upload, parts)
  },

  'parts below 5 MiB, unknown and out of order are refused': async (subject) => {
    const upload = await begin(subject)
    const parts = await send(subject, upload, [bodies[2]!, bodies[2]!])
    expect(await failureOf(finish(subject, upload, parts))).toMatchObject({ name: 'EntityTooSmall', status: 400 })
    expect(await failureOf(finish(subject, upload, parts.toReversed()))).toMatchObject({ name: 'InvalidPartOrder' })
    const unknown = [{ ...parts[0]!, ETag: '"0"' }]
    expect(await failureOf(finish(subject, upload, unknown))).toMatchObject({ name: 'InvalidPart', status: 400 })
    expect(await failureOf(finish(subject, upload, []))).toMatchObject({ name: 'MalformedXML', status: 400 })
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

  'completing honours If-None-Match and the object size': async (subject) => {
    const upload = await begin(subject)
    const parts = await send(subject, upload, [bodies[2]!])
    expect(await failureOf(finish(subject, upload, parts, { MpuObjectSize: 7 }))).toMatchObject({ status: 400 })
    await subject.client.send(new PutObjectCommand({ Bucket: subject.bucket, Key: 'k', Body: 'first' }))
    expect(await failureOf(finish(subject, upload, parts, { IfNoneMatch: '*' }))).toMatchObject({
      name: 'PreconditionFailed',
      status: 412,
    })
    await finish(subject, upload, parts, { MpuObjectSize: mebibyte })
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
    const copy = async (PartNumber: number, CopySourceRange?: string): Promise<CompletedPart> => {
      const answer = await client.send(
        new UploadPartCopyCommand({ ...upload, PartNumber, CopySource: `${bucket}/source`, CopySourceRange }),
      )
      return { PartNumber, ETag: answer.CopyPartResult!.ETag }
    }
    expect(await failureOf(copy(3, `bytes=0-${whole.length}`))).toMatchObject({ name: 'InvalidArgument', status: 400 })
    await finish(subject, upload, [await copy(1), await copy(2, 'bytes=100-199')])
    const { Body } = await client.send(new GetObjectCommand({ Bucket: bucket, Key: 'k' }))
    const expected = Buffer.concat([whole, whole.subarray(100, 200)])
    expect(Buffer.from(await Body!.transformToByteArray()).equals(expected)).toBe(true)
  },

  'a copy of a composite object has one part and a full checksum': async (subject) => {
    const { client, bucket } = subject
    await uploadWith(subject, 'SHA256')
    const { CopyObjectResult } = await client.send(
      new CopyObjectCommand({ Bucket: bucket, Key: 'copy', CopySource: `${bucket}/k` }),
    )
    expect(CopyObjectResult).toMatchObject({
      ETag: `"${md5(whole)}"`,
      ChecksumSHA256: sha256(whole).toString('base64'),
      ChecksumType: 'FULL_OBJECT',
    })
  },

  'parts are listed by page': async (subject) => {
    const upload = await begin(subject, { ChecksumAlgorithm: 'CRC32C' })
    const parts = await send(subject, upload, bodies, { ChecksumAlgorithm: 'CRC32C' })
    const first = await subject.client.send(new ListPartsCommand({ ...upload, MaxParts: 2 }))
    const second = await subject.client.send(
      new ListPartsCommand({ ...upload, PartNumberMarker: first.NextPartNumberMarker }),
    )
    expect([first.IsTruncated, second.IsTruncated, first.ChecksumType]).toEqual([true, false, 'COMPOSITE'])
    const seen = [...first.Parts!, ...second.Parts!]
    expect(seen.map(({ PartNumber, Size, ChecksumCRC32C }) => [PartNumber, Size, ChecksumCRC32C])).toEqual(
      bodies.map((body, index) => [index + 1, body.length, parts[index]!.ChecksumCRC32C]),
    )
  },

  'uploads in progress are listed by page, prefix and delimiter': async (subject) => {
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
    const folded = await list({ Delimiter: '/' })
    expect(folded.CommonPrefixes?.map(({ Prefix }) => Prefix)).toEqual(['a/'])
    expect(folded.Uploads?.map(({ Key }) => Key)).toEqual(['b', 'b', 'c'])
    expect((await list({ Prefix: 'a/' })).Uploads).toHaveLength(2)
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
