import { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { EventBridgeClient } from '@aws-sdk/client-eventbridge'
import { IAMClient } from '@aws-sdk/client-iam'
import { KMSClient } from '@aws-sdk/client-kms'
import { LambdaClient } from '@aws-sdk/client-lambda'
import { S3Client } from '@aws-sdk/client-s3'
import { STSClient } from '@aws-sdk/client-sts'
import type { SourceFacts } from '../../doctor/ports.ts'
import { createSourceFacts } from './source-facts.ts'

/** Nothing is waited for long: what does not answer is unknown. */
const patience = {
  maxAttempts: 2,
  requestHandler: { connectionTimeout: 3000, requestTimeout: 10_000, throwOnRequestTimeout: true },
}

/** The source of a region with the credentials of whoever calls. `s3Endpoint` is an emulator's, whose clock is asked, too. */
export const openSourceFacts = (options: {
  region: string
  s3Endpoint?: string | undefined
}): { facts: SourceFacts; close(): void } => {
  const { region, s3Endpoint } = options
  const settings = { region, ...patience }
  const clients = {
    s3: new S3Client({ ...settings, followRegionRedirects: true, forcePathStyle: s3Endpoint !== undefined }),
    dynamodb: new DynamoDBClient(settings),
    sts: new STSClient(settings),
    kms: new KMSClient(settings),
    iam: new IAMClient(settings),
    lambda: new LambdaClient(settings),
    eventBridge: new EventBridgeClient(settings),
  }
  const close = (): void => {
    for (const client of Object.values(clients)) client.destroy()
  }
  return { facts: createSourceFacts(clients, s3Endpoint ?? `https://sts.${region}.amazonaws.com/`), close }
}
