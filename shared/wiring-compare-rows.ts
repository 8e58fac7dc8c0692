import { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { S3Client } from '@aws-sdk/client-s3'
import { setTimeout as sleep } from 'node:timers/promises'
import { createItemSource } from './clouds/aws/item-source.ts'
import { createProofState } from './clouds/aws/proof-state.ts'
import { readCompareRowsEnv } from './env.ts'
import type { CheckRowsDeps } from './proof/check-rows.ts'
import { readFeatureTime } from './proof/lag-state.ts'
import { settleMsOf } from './proof/rows-work.ts'
import { createTelemetry } from './telemetry.ts'
import { openOwnStore } from './wiring.ts'
import { awsClient, systemClock, systemRandom } from './wiring-common.ts'
import { openOwnRows } from './wiring-rows.ts'

/** Builds what compare-rows needs from its environment, once, in its init phase. */
export const wireCompareRows = (): { deps: CheckRowsDeps; flush: () => void } => {
  const env = readCompareRowsEnv()
  const { config } = env
  const s3 = new S3Client(awsClient)
  const dynamodb = new DynamoDBClient(awsClient)
  const telemetry = createTelemetry()
  const state = createProofState(dynamodb, env.ledgerTable)
  const deps: CheckRowsDeps = {
    config,
    rows: openOwnRows(env, s3),
    source: createItemSource(dynamodb),
    store: openOwnStore(env, s3),
    state,
    featureTime: (table) => readFeatureTime(state, table),
    settleMs: settleMsOf(config),
    telemetry,
    clock: systemClock,
    random: systemRandom,
    wait: (ms) => sleep(ms),
  }
  return { deps, flush: telemetry.flush }
}
