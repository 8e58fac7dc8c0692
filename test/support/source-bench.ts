import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type ChecksumAlgorithm as S3Algorithm,
  type CompletedPart,
  CompleteMultipartUploadCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import { type S3Server, startS3 } from '../../local/s3/server.ts'
import { createS3Source } from '../../shared/clouds/aws/s3-source.ts'
import { createMemorySource, type PutOptions, type Versioning } from '../../shared/clouds/memory/source.ts'
import type { ObjectSource } from '../../shared/ports.ts'
import { awsOptions } from './contract-target.ts'

/** What the contract of an ObjectSource is tried on: the source and the publisher's side of it. */
export type SourceBench = {
  source: ObjectSource
  /** A bucket of its own. */
  bucket(versioning: Versioning): Promise<string>
  suspend(bucket: string): Promise<void>
  put(bucket: string, key: string, body: Uint8Array, options?: PutOptions): Promise<{ versionId?: string }>
  delete(bucket: string, key: string, versionId?: string): Promise<void>
  close(): Promise<void>
}

export const startMemoryBench = async (): Promise<SourceBench> => {
  const source = createMemorySource({ clock: { now: () => Date.now() } })
  let buckets = 0
  return {
    source,
    bucket: async (versioning) => {
      buckets += 1
      source.createBucket(`bucket-${buckets}`, versioning)
      return `bucket-${buckets}`
    },
    suspend: async (bucket) => source.setVersioning(bucket, 'suspended'),
    put: async (bucket, key, body, options) => {
      const { versionId } = source.put(bucket, key, body, options)
      return versionId === undefined ? {} : { versionId }
    },
    delete: async (bucket, key, versionId) => void source.delete(bucket, key, versionId),
    close: async () => undefined,
  }
}

const headersOf = (options: PutOptions) => ({
  ...(options.contentType === undefined ? {} : { ContentType: options.contentType }),
  ...(options.contentEncoding === undefined ? {} : { ContentEncoding: options.contentEncoding }),
  ...(options.metadata === undefined ? {} : { Metadata: options.metadata }),
  ...(options.storageClass === undefined ? {} : { StorageClass: options.storageClass as 'STANDARD_IA' }),
  ...(options.isEncrypted ? { ServerSideEncryption: 'aws:kms' as const } : {}),
})

const uploadParts = async (
  client: S3Client,
  target: { Bucket: string; Key: string },
  body: Uint8Array,
  options: PutOptions & { partBytes: number },
): Promise<string | undefined> => {
  const { checksum = { algorithm: 'CRC64NVME', type: 'FULL_OBJECT' }, partBytes } = options
  const made = checksum && {
    ChecksumAlgorithm: checksum.algorithm as S3Algorithm,
    ChecksumType: checksum.type,
  }
  const { UploadId } = await client.send(
    new CreateMultipartUploadCommand({ ...target, ...headersOf(options), ...made }),
  )
  const Parts: CompletedPart[] = []
  for (let start = 0; start === 0 || start < body.length; start += partBytes) {
    const PartNumber = Parts.length + 1
    const part = { ...target, UploadId, PartNumber, Body: body.subarray(start, start + partBytes) }
    const { ETag, ChecksumCRC32, ChecksumCRC32C, ChecksumSHA1, ChecksumSHA256 } = await client.send(
      new UploadPartCommand({ ...part, ...(made ? { ChecksumAlgorithm: made.ChecksumAlgorithm } : {}) }),
    )
    Parts.push({ PartNumber, ETag, ChecksumCRC32, ChecksumCRC32C, ChecksumSHA1, ChecksumSHA256 })
  }
  const { VersionId } = await client.send(
    new CompleteMultipartUploadCommand({
      ...target,
      UploadId,
      MultipartUpload: { Parts },
      ...(made ? { ChecksumType: made.ChecksumType } : {}),
    }),
  )
  return VersionId
}

/** The embedded S3 with the adapter that the functions use; `server` switches faults on. */
export const startS3Bench = async (): Promise<SourceBench & { server: S3Server }> => {
  const dir = mkdtempSync(join(tmpdir(), 'lifeboat-source-'))
  const server = await startS3({ dir })
  const client = new S3Client({
    ...awsOptions(server.url),
    forcePathStyle: true,
    requestChecksumCalculation: 'WHEN_REQUIRED',
  })
  let buckets = 0
  const setVersioning = async (Bucket: string, Status: 'Enabled' | 'Suspended'): Promise<void> =>
    void (await client.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration: { Status } })))
  return {
    server,
    source: createS3Source(client),
    bucket: async (versioning) => {
      buckets += 1
      const Bucket = `bucket-${buckets}`
      await client.send(new CreateBucketCommand({ Bucket }))
      if (versioning !== 'unversioned')
        await setVersioning(Bucket, versioning === 'versioned' ? 'Enabled' : 'Suspended')
      return Bucket
    },
    suspend: async (bucket) => setVersioning(bucket, 'Suspended'),
    put: async (Bucket, Key, body, options = {}) => {
      const { checksum = { algorithm: 'CRC64NVME', type: 'FULL_OBJECT' }, partBytes } = options
      if (partBytes !== undefined) {
        const versionId = await uploadParts(client, { Bucket, Key }, body, { ...options, partBytes })
        return versionId === undefined ? {} : { versionId }
      }
      const { VersionId } = await client.send(
        new PutObjectCommand({
          Bucket,
          Key,
          Body: body,
          ...headersOf(options),
          ...(checksum ? { ChecksumAlgorithm: checksum.algorithm } : {}),
        }),
      )
      return VersionId === undefined ? {} : { versionId: VersionId }
    },
    delete: async (Bucket, Key, VersionId) =>
      void (await client.send(new DeleteObjectCommand({ Bucket, Key, VersionId }))),
    close: async () => {
      client.destroy()
      await server.close()
      rmSync(dir, { recursive: true })
    },
  }
}
