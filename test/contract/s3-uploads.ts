import { createHash } from 'node:crypto'
import {
  type ChecksumAlgorithm,
  type ChecksumType,
  CompleteMultipartUploadCommand,
  type CompletedPart,
  CreateMultipartUploadCommand,
  GetObjectAttributesCommand,
  GetObjectCommand,
  HeadObjectCommand,
  UploadPartCommand,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3'
import { type Subject, bytesOf, md5, mebibyte } from './s3-support.ts'

export const whole = bytesOf(11 * mebibyte, 7)
export const bodies = [
  whole.subarray(0, 5 * mebibyte),
  whole.subarray(5 * mebibyte, 10 * mebibyte),
  whole.subarray(10 * mebibyte),
]

export const begin = async ({ client, bucket }: Subject, more = {}, Key = 'k') => {
  const { UploadId } = await client.send(new CreateMultipartUploadCommand({ Bucket: bucket, Key, ...more }))
  return { Bucket: bucket, Key, UploadId }
}
export type Upload = Awaited<ReturnType<typeof begin>>

export const send = async (
  { client }: Subject,
  upload: Upload,
  parts: Uint8Array[],
  more = {},
): Promise<CompletedPart[]> => {
  const done: CompletedPart[] = []
  for (const [index, Body] of parts.entries()) {
    const part = await client.send(new UploadPartCommand({ ...upload, PartNumber: index + 1, Body, ...more }))
    done.push({ ...part, PartNumber: index + 1 })
  }
  return done
}

export const finish = ({ client }: Subject, upload: Upload, Parts: CompletedPart[], more = {}) =>
  client.send(new CompleteMultipartUploadCommand({ ...upload, MultipartUpload: { Parts }, ...more }))

export const uploadWith = async (
  subject: Subject,
  ChecksumAlgorithm?: ChecksumAlgorithm,
  ChecksumType?: ChecksumType,
) => {
  const upload = await begin(subject, { ChecksumAlgorithm, ChecksumType })
  const parts = await send(subject, upload, bodies, { ChecksumAlgorithm })
  return { upload, parts, done: await finish(subject, upload, parts) }
}

export const copyPart = async (
  { client, bucket }: Subject,
  upload: Upload,
  PartNumber: number,
  CopySourceRange?: string,
): Promise<CompletedPart> => {
  const CopySource = `${bucket}/source`
  const answer = await client.send(new UploadPartCopyCommand({ ...upload, PartNumber, CopySource, CopySourceRange }))
  return { PartNumber, ETag: answer.CopyPartResult!.ETag }
}

export const readBytes = async ({ client, bucket }: Subject, more = {}) => {
  const answer = await client.send(new GetObjectCommand({ Bucket: bucket, Key: 'k', ...more }))
  return { ...answer, bytes: Buffer.from(await answer.Body!.transformToByteArray()) }
}

export const headPart = ({ client, bucket }: Subject, PartNumber: number) =>
  client.send(new HeadObjectCommand({ Bucket: bucket, Key: 'k', PartNumber, ChecksumMode: 'ENABLED' }))

export const attributesOf = ({ client, bucket }: Subject, more = {}) =>
  client.send(
    new GetObjectAttributesCommand({
      Bucket: bucket,
      Key: 'k',
      ObjectAttributes: ['Checksum', 'ObjectParts', 'ObjectSize', 'ETag'],
      ...more,
    }),
  )

export const sha256 = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest()
export const etagOfParts = `"${md5(Buffer.concat(bodies.map((part) => Buffer.from(md5(part), 'hex'))))}-3"`

export const headWhole = ({ client, bucket }: Subject) =>
  client.send(new HeadObjectCommand({ Bucket: bucket, Key: 'k', ChecksumMode: 'ENABLED' }))
