import { S3Client } from '@aws-sdk/client-s3'
import type { SQSClient } from '@aws-sdk/client-sqs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { BackfillDeps, BackfillRowsDeps } from './backfill/deps.ts'
import { createItemSource } from './clouds/aws/item-source.ts'
import { createProofState } from './clouds/aws/proof-state.ts'
import { createSqsQueue } from './clouds/aws/sqs-queue.ts'
import { createTableScan } from './clouds/aws/table-scan.ts'
import { type BackfillEnv, readBackfillEnv, readBackfillRowsEnv } from './env.ts'
import { type Wiring, wireWeights } from './wiring.ts'
import { awsClient } from './wiring-common.ts'

/** Loads the client of Bigtable, which objects do without. */
const loadRows = async ({ dynamodb }: Wiring): Promise<BackfillRowsDeps> => {
  const env = readBackfillRowsEnv()
  const { openOwnRows } = await import('./wiring-rows.ts')
  const source = createItemSource(dynamodb)
  return {
    rows: openOwnRows(env, new S3Client(awsClient)),
    scan: createTableScan(dynamodb),
    keys: (table) => source.keys(table),
  }
}

/** Builds what backfills need from the environment, once, in the function's init phase. */
export const wireBackfill = (): { deps: BackfillDeps; env: BackfillEnv; sqs: SQSClient; flush: () => void } => {
  const wiring = wireWeights()
  const { deps: weights, dynamodb, sqs, flush } = wiring
  const env = readBackfillEnv()
  let rows: Promise<BackfillRowsDeps> | undefined
  const deps: BackfillDeps = {
    weights,
    store: weights.store,
    state: createProofState(dynamodb, env.ledgerTable),
    queue: createSqsQueue(sqs, env.backfillQueueUrl),
    openRows: () => {
      rows ??= loadRows(wiring)
      // The next call tries again.
      rows.catch(() => (rows = undefined))
      return rows
    },
    wait: (ms) => sleep(ms),
  }
  return { deps, env, sqs, flush }
}
