import { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { S3Client } from '@aws-sdk/client-s3'
import { SQSClient } from '@aws-sdk/client-sqs'
import { createChunkIndex } from './clouds/aws/chunk-index.ts'
import { createObjectLedger } from './clouds/aws/object-ledger.ts'
import { createDigestLedger, createSegmentLedger } from './clouds/aws/segment-ledger.ts'
import { createChain, createReleaseLedger } from './clouds/aws/release-ledger.ts'
import { createS3Source } from './clouds/aws/s3-source.ts'
import { createSqsQueue } from './clouds/aws/sqs-queue.ts'
import { createGcsBlobStore } from './clouds/gcp/blob-store.ts'
import { createStorage } from './clouds/gcp/storage-client.ts'
import { type BaseEnv, type Env, readEnv } from './env.ts'
import { ownedStore } from './owner.ts'
import { createTelemetry } from './telemetry.ts'
import type { BlobStore } from './ports.ts'
import type { WeightsDeps } from './weights/deps.ts'
import type { WorkMessage } from './weights/messages.ts'
import { createRoutedQueue } from './weights/routed-queue.ts'
import { awsClient, openGoogleAuth, openOwnerCheck, systemClock, systemRandom } from './wiring-common.ts'

/** Builds what a function that replicates objects needs from its environment, once, in its init phase. */

const openStorage = (env: BaseEnv & Pick<Env, 'gcsEndpoint'>, s3: S3Client) => {
  const { project } = env.config.replica
  if (env.gcsEndpoint !== undefined)
    return createStorage({ projectId: project, endpoint: env.gcsEndpoint, token: env.serviceAccount })
  const authClient = openGoogleAuth(env, async () => s3.config.credentials())
  return createStorage({ projectId: project, authClient })
}

/** The replica, which is written only where it is this deployment's. */
export const openOwnStore = (env: BaseEnv & Pick<Env, 'gcsEndpoint'>, s3: S3Client): BlobStore => {
  const { replica, retention } = env.config
  const { bucket, prefix } = replica
  const storage = openStorage(env, s3)
  const store = createGcsBlobStore({ storage, bucket, prefix, retentionMode: retention.mode })
  return ownedStore(store, openOwnerCheck(env, store))
}

export type Wiring = { deps: WeightsDeps; env: Env; sqs: SQSClient; dynamodb: DynamoDBClient; flush: () => void }

export const wireWeights = (): Wiring => {
  const env = readEnv()
  const s3 = new S3Client(awsClient)
  const sqs = new SQSClient(awsClient)
  const dynamodb = new DynamoDBClient(awsClient)
  const telemetry = createTelemetry()
  const table = env.ledgerTable
  const store = openOwnStore(env, s3)
  const deps: WeightsDeps = {
    config: env.config,
    source: createS3Source(s3),
    store,
    objects: createObjectLedger(dynamodb, table),
    segments: createSegmentLedger(dynamodb, table),
    digests: createDigestLedger(dynamodb, table),
    chunks: createChunkIndex(dynamodb, table),
    releases: createReleaseLedger(dynamodb, table),
    chain: createChain(dynamodb, table),
    objectsQueue: createSqsQueue(sqs, env.objectsQueueUrl),
    workQueue: createRoutedQueue<WorkMessage>(
      createSqsQueue(sqs, env.segmentsQueueUrl),
      createSqsQueue(sqs, env.backfillSegmentsQueueUrl),
    ),
    telemetry,
    clock: systemClock,
    random: systemRandom,
  }
  return { deps, env, sqs, dynamodb, flush: telemetry.flush }
}
