import { CloudWatchClient } from '@aws-sdk/client-cloudwatch'
import { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { DynamoDBStreamsClient } from '@aws-sdk/client-dynamodb-streams'
import { S3Client } from '@aws-sdk/client-s3'
import { SQSClient } from '@aws-sdk/client-sqs'
import { setTimeout as sleep } from 'node:timers/promises'
import { createCanaryItems } from './clouds/aws/canary-items.ts'
import { createCanaryObjects } from './clouds/aws/canary-objects.ts'
import { createGauges } from './clouds/aws/gauges.ts'
import { createObjectLedger } from './clouds/aws/object-ledger.ts'
import { createProofState } from './clouds/aws/proof-state.ts'
import { createQuarantineCensus } from './clouds/aws/quarantine-census.ts'
import { createQueueCounts, queueNameOf } from './clouds/aws/queue-counts.ts'
import { createS3Source } from './clouds/aws/s3-source.ts'
import { readLagEnv, readRowsEnv } from './env.ts'
import { UnavailableError } from './errors.ts'
import type { LagDeps, RowsLagDeps } from './proof/lag-deps.ts'
import { createTelemetry } from './telemetry.ts'
import { openOwnStore } from './wiring.ts'
import { awsClient, systemClock } from './wiring-common.ts'

/** It is called again in a minute: nothing is waited for as long as elsewhere. */
const clientFor = (requestTimeout: number) => ({
  ...awsClient,
  maxAttempts: 2,
  requestHandler: { ...awsClient.requestHandler, requestTimeout, socketTimeout: requestTimeout },
})
const usual = clientFor(10_000)
/** Where CloudWatch does not answer there is still something to say, in the same call. */
const forCloudWatch = clientFor(5000)

const limited = async <T>(work: Promise<T>, ms: number): Promise<T> => {
  const { promise, reject } = Promise.withResolvers<never>()
  const late = (): void => reject(new UnavailableError(`no answer within ${ms / 1000} s`))
  const timer = setTimeout(late, ms)
  try {
    return await Promise.race([work, promise])
  } finally {
    clearTimeout(timer)
  }
}

/** Loads the client of Bigtable, which takes longer than everything else together. */
const loadRows = async (s3: S3Client, dynamodb: DynamoDBClient): Promise<RowsLagDeps> => {
  const env = readRowsEnv()
  const { openRows } = await import('./wiring-rows.ts')
  return {
    rows: openRows(env, s3),
    items: createCanaryItems(dynamodb, new DynamoDBStreamsClient(usual)),
    quarantine: createQuarantineCensus({ s3, bucket: env.quarantineBucket }),
  }
}

/** Builds what measure-lag needs from its environment, once, in its init phase. */
export const wireLag = (): { deps: LagDeps; flush: () => void } => {
  const env = readLagEnv()
  const { config, stage } = env
  const s3 = new S3Client(usual)
  const dynamodb = new DynamoDBClient(usual)
  const telemetry = createTelemetry()
  const urls = [env.objectsQueueUrl, env.segmentsQueueUrl, env.objectsDeadQueueUrl, env.segmentsDeadQueueUrl]
  const names = urls.map(queueNameOf)
  let rows: Promise<RowsLagDeps> | undefined
  const deps: LagDeps = {
    config,
    stage,
    store: openOwnStore(env, s3),
    objects: createObjectLedger(dynamodb, env.ledgerTable),
    source: createS3Source(s3),
    canaryObjects: createCanaryObjects(s3),
    state: createProofState(dynamodb, env.ledgerTable),
    queues: names.map((name, index) => ({ name, isDead: index >= 2 })),
    counts: createQueueCounts(new SQSClient(usual), new Map(names.map((name, index) => [name, urls[index] ?? '']))),
    gauges: createGauges(new CloudWatchClient(forCloudWatch), systemClock, `lifeboat-${stage}-applyChanges`),
    openRows: () => {
      rows ??= loadRows(s3, dynamodb)
      // The next call tries again.
      rows.catch(() => (rows = undefined))
      return rows
    },
    telemetry,
    clock: systemClock,
    wait: (ms) => sleep(ms),
    limited,
  }
  return { deps, flush: telemetry.flush }
}
