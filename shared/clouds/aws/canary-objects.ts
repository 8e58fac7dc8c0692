import { PutObjectCommand, type S3Client } from '@aws-sdk/client-s3'
import type { CanaryObjects } from '../../proof/lag-deps.ts'
import { translated } from './errors.ts'

export const createCanaryObjects = (s3: S3Client): CanaryObjects => ({
  put: async (Bucket, Key, Body) => {
    const { VersionId } = await translated(`put s3://${Bucket}/${Key}`, () =>
      s3.send(new PutObjectCommand({ Bucket, Key, Body, ContentType: 'text/plain' })),
    )
    return VersionId === 'null' ? undefined : VersionId
  },
})
