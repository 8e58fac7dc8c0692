import { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { S3Client } from '@aws-sdk/client-s3'
import { SQSClient } from '@aws-sdk/client-sqs'
import type { Endpoints } from './stack.ts'

export type Clients = { sqs: SQSClient; dynamodb: DynamoDBClient; s3: S3Client; close(): void }

/** SDK clients of the runner itself; the functions have their own. */
export const createClients = (endpoints: Endpoints, region: string): Clients => {
  const common = { region, credentials: { accessKeyId: 'runner', secretAccessKey: 'runner' }, maxAttempts: 1 }
  const sqs = new SQSClient({ ...common, endpoint: endpoints.sqs })
  const dynamodb = new DynamoDBClient({ ...common, endpoint: endpoints.dynamodb })
  const s3 = new S3Client({ ...common, endpoint: endpoints.s3, forcePathStyle: true })
  return {
    sqs,
    dynamodb,
    s3,
    close: () => {
      for (const client of [sqs, dynamodb, s3]) client.destroy()
    },
  }
}
