import { createHash } from 'node:crypto'
import {
  type ChecksumAlgorithm,
  type ChecksumType,
  CopyObjectCommand,
  HeadObjectCommand,
  ListPartsCommand,
} from '@aws-sdk/client-s3'
import { createCRC32, createCRC64 } from 'hash-wasm'
import { expect } from 'vitest'
import { type Checks, type Subject, failureOf, md5, mebibyte } from './s3-support.ts'
import {
  whole,
  bodies,
  begin,
  send,
  finish,
  uploadWith,
  headPart,
  attributesOf,
  sha256,
  etagOfParts,
  headWhole,
} from './s3-uploads.ts'

const crcOf = async (algorithm: 'CRC64NVME' | 'CRC32' | 'CRC32C', bytes: Uint8Array): Promise<Buffer> => {
  const polynomials = { CRC32: 0xedb88320, CRC32C: 0x82f63b78 }
  const hasher =
    algorithm === 'CRC64NVME' ? await createCRC64('9a6c9329ac4bc9b5') : await createCRC32(polynomials[algorithm])
  return Buffer.from(hasher.init().update(bytes).digest('hex'), 'hex')
}

const digestOf = async (algorithm: string, bytes: Uint8Array): Promise<Buffer> =>
  algorithm.startsWith('SHA')
    ? createHash(algorithm.toLowerCase()).update(bytes).digest()
    : crcOf(algorithm as 'CRC32', bytes)

const composites: Checks = Object.fromEntries(
  (['CRC32', 'CRC32C', 'SHA1', 'SHA256'] as const).flatMap((algorithm) => {
    const field = `Checksum${algorithm}` as const
    const ofParts = () => Promise.all(bodies.map((body) => digestOf(algorithm, body)))
    const composite = async (): Promise<string> =>
      `${(await digestOf(algorithm, Buffer.concat(await ofParts()))).toString('base64')}-3`
    const answers = async (subject: Subject): Promise<void> => {
      const { parts, done } = await uploadWith(subject, algorithm)
      expect(parts.map((part) => part[field])).toEqual((await ofParts()).map((part) => part.toString('base64')))
      expect([done[field], done.ChecksumType]).toEqual([await composite(), 'COMPOSITE'])
    }
    const keeps = async (subject: Subject): Promise<void> => {
      await uploadWith(subject, algorithm)
      expect((await headWhole(subject))[field]).toBe(await composite())
    }
    return [
      [`a ${algorithm} upload keeps the composite of its parts`, keeps],
      [`completing a ${algorithm} upload answers composite and type`, answers],
    ]
  }),
)

const fullObjects: Checks = Object.fromEntries(
  (['CRC64NVME', 'CRC32', 'CRC32C'] as const).flatMap((algorithm) => {
    const field = `Checksum${algorithm}` as const
    const send3 = async (subject: Subject) => {
      const upload = await begin(subject, { ChecksumAlgorithm: algorithm, ChecksumType: 'FULL_OBJECT' })
      return { upload, parts: await send(subject, upload, bodies, { ChecksumAlgorithm: algorithm }) }
    }
    const answers = async (subject: Subject): Promise<void> => {
      const expected = (await crcOf(algorithm, whole)).toString('base64')
      const { upload, parts } = await send3(subject)
      const done = await finish(subject, upload, parts, { ChecksumType: 'FULL_OBJECT', [field]: expected })
      expect([done[field], done.ChecksumType]).toEqual([expected, 'FULL_OBJECT'])
      expect((await headWhole(subject))[field]).toBe(expected)
    }
    const refuses = async (subject: Subject): Promise<void> => {
      const { upload, parts } = await send3(subject)
      const wrong = { ChecksumType: 'FULL_OBJECT', [field]: (await crcOf(algorithm, bodies[0]!)).toString('base64') }
      expect(await failureOf(finish(subject, upload, parts, wrong))).toMatchObject({ name: 'BadDigest', status: 400 })
      expect(await failureOf(headWhole(subject))).toMatchObject({ status: 404 })
    }
    return [
      [`a full-object ${algorithm} of an upload is that of its bytes`, answers],
      [`a wrong full-object ${algorithm} of an upload is refused`, refuses],
    ]
  }),
)

export const uploadChecksumChecks: Checks = {
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

  'head by part tells the checksum of the part of a composite object': async (subject) => {
    await uploadWith(subject, 'SHA256')
    for (const [index, body] of bodies.entries())
      expect(await headPart(subject, index + 1)).toMatchObject({
        ChecksumSHA256: sha256(body).toString('base64'),
        ChecksumType: 'COMPOSITE',
      })
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

  'listed parts have their checksums': async (subject) => {
    const upload = await begin(subject, { ChecksumAlgorithm: 'CRC32C' })
    const parts = await send(subject, upload, bodies, { ChecksumAlgorithm: 'CRC32C' })
    const { ChecksumType, Parts } = await subject.client.send(new ListPartsCommand(upload))
    expect(ChecksumType).toBe('COMPOSITE')
    expect(Parts!.map(({ ChecksumCRC32C }) => ChecksumCRC32C)).toEqual(parts.map((part) => part.ChecksumCRC32C))
  },
}
