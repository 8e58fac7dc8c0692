import { createHash } from 'node:crypto'
import {
  type ChecksumAlgorithm,
  CopyObjectCommand,
  GetObjectAttributesCommand,
  HeadObjectCommand,
} from '@aws-sdk/client-s3'
import { expect } from 'vitest'
import { type Checks, type Subject, failureOf, getObject, md5, nine, putObject } from './s3-support.ts'

/** Of the ASCII digits 1 to 9, from the catalogue of parametrised CRC algorithms, and by coreutils for the SHAs. */
const checksumsOfNine = {
  CRC32: Buffer.from('cbf43926', 'hex').toString('base64'),
  CRC32C: Buffer.from('e3069283', 'hex').toString('base64'),
  CRC64NVME: Buffer.from('ae8b14860a799888', 'hex').toString('base64'),
  SHA1: Buffer.from('f7c3bc1d808e04732adf679965ccc34ca7ae3441', 'hex').toString('base64'),
  SHA256: Buffer.from('15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225', 'hex').toString('base64'),
}

const everyChecksum: Checks = Object.fromEntries(
  Object.entries(checksumsOfNine).flatMap(([algorithm, value]) => {
    const field = `Checksum${algorithm}` as 'ChecksumCRC32'
    const keeps = async (subject: Subject): Promise<void> => {
      const stored = await putObject(subject, 'nine', nine, { ChecksumAlgorithm: algorithm as ChecksumAlgorithm })
      expect(stored[field]).toBe(value)
      const head = await subject.client.send(
        new HeadObjectCommand({ Bucket: subject.bucket, Key: 'nine', ChecksumMode: 'ENABLED' }),
      )
      expect(head[field]).toBe(value)
    }
    const refuses = async (subject: Subject): Promise<void> => {
      const wrong = putObject(subject, 'wrong', 'another body', { [field]: value })
      expect(await failureOf(wrong)).toMatchObject({ name: 'BadDigest', status: 400 })
      expect(await failureOf(getObject(subject, 'wrong'))).toMatchObject({ name: 'NoSuchKey' })
    }
    return [
      [`put keeps the ${algorithm} of an object`, keeps],
      [`put refuses a wrong ${algorithm}`, refuses],
    ]
  }),
)

export const checksumChecks: Checks = {
  ...everyChecksum,

  'the checksum of a single put is of type FULL_OBJECT': async (subject) => {
    await putObject(subject, 'k', nine, { ChecksumAlgorithm: 'SHA256' })
    const at = { Bucket: subject.bucket, Key: 'k' }
    const head = await subject.client.send(new HeadObjectCommand({ ...at, ChecksumMode: 'ENABLED' }))
    expect(head.ChecksumType).toBe('FULL_OBJECT')
  },

  'without a client checksum S3 keeps a CRC64NVME of its own': async (subject) => {
    const { client, bucket } = subject
    const given = client.config.requestChecksumCalculation
    client.config.requestChecksumCalculation = async () => 'WHEN_REQUIRED'
    const stored = await putObject(subject, 'd', nine).finally(() => (client.config.requestChecksumCalculation = given))
    const head = await client.send(new HeadObjectCommand({ Bucket: bucket, Key: 'd', ChecksumMode: 'ENABLED' }))
    expect([stored.ChecksumCRC64NVME, head.ChecksumCRC64NVME]).toEqual(Array(2).fill(checksumsOfNine.CRC64NVME))
  },

  'checksums are told only to a reader who asks': async (subject) => {
    await putObject(subject, 'k', nine, { ChecksumAlgorithm: 'SHA256' })
    const head = await subject.client.send(new HeadObjectCommand({ Bucket: subject.bucket, Key: 'k' }))
    expect([head.ChecksumSHA256, head.ChecksumType]).toEqual([undefined, undefined])
  },

  'a wrong Content-MD5 is refused': async (subject) => {
    const wrong = createHash('md5').update('other').digest('base64')
    expect(await failureOf(putObject(subject, 'k', 'body', { ContentMD5: wrong }))).toMatchObject({
      name: 'BadDigest',
      status: 400,
    })
    expect(await failureOf(putObject(subject, 'k', 'body', { ContentMD5: 'nonsense' }))).toMatchObject({
      name: 'InvalidDigest',
      status: 400,
    })
    await putObject(subject, 'k', 'body', { ContentMD5: createHash('md5').update('body').digest('base64') })
  },

  'KMS encryption makes the ETag opaque': async (subject) => {
    const stored = await putObject(subject, 'k', nine, { ServerSideEncryption: 'aws:kms' })
    expect(stored.ServerSideEncryption).toBe('aws:kms')
    expect(stored.ETag).not.toBe(`"${md5(Buffer.from(nine))}"`)
    expect((await getObject(subject, 'k', { IfMatch: stored.ETag })).bytes.toString()).toBe(nine)
  },

  'a copy can be given another checksum algorithm': async (subject) => {
    const { client, bucket } = subject
    await putObject(subject, 'k', nine)
    const copied = await client.send(
      new CopyObjectCommand({ Bucket: bucket, Key: 'l', CopySource: `${bucket}/k`, ChecksumAlgorithm: 'SHA256' }),
    )
    expect(copied.CopyObjectResult?.ChecksumSHA256).toBe(checksumsOfNine.SHA256)
  },

  'attributes of a single-part object': async (subject) => {
    await putObject(subject, 'k', nine, { ChecksumAlgorithm: 'SHA256' })
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
}
