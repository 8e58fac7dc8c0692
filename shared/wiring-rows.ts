import { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { S3Client } from '@aws-sdk/client-s3'
import { createItemSource } from './clouds/aws/item-source.ts'
import { createS3Quarantine } from './clouds/aws/quarantine.ts'
import { createOwnerFile } from './clouds/gcp/owner-file.ts'
import { createBigtableRowStore } from './clouds/gcp/row-store.ts'
import { readRowsEnv, type RowsEnv } from './env.ts'
import type { RowsDeps } from './features/deps.ts'
import { ownedRows } from './owner.ts'
import { createTelemetry } from './telemetry.ts'
import { awsClient, openGoogleAuth, openOwnerCheck, systemClock, systemRandom } from './wiring-common.ts'

/** Apart from wiring.ts, so that only the functions that need Bigtable carry its client. */

export type RowsWiring = { deps: RowsDeps; env: RowsEnv; flush: () => void }

export const openRows = (env: Omit<RowsEnv, 'quarantineBucket'>, s3: S3Client): RowsDeps['rows'] => {
  const { project, appProfile } = env.config.replica
  const options = {
    projectId: project,
    instanceId: env.bigtableInstance,
    ...(appProfile === undefined ? {} : { appProfileId: appProfile }),
  }
  if (env.bigtableEndpoint !== undefined)
    return createBigtableRowStore({ ...options, endpoint: env.bigtableEndpoint, token: env.serviceAccount })
  return createBigtableRowStore({ ...options, authClient: openGoogleAuth(env, async () => s3.config.credentials()) })
}

/** The rows, which are written only where the replica is this deployment's. */
export const openOwnRows = (env: Omit<RowsEnv, 'quarantineBucket'>, s3: S3Client): RowsDeps['rows'] => {
  const rows = openRows(env, s3)
  // An emulated Bigtable beside no emulated bucket: there is no replica whose owner could be asked.
  if (env.bigtableEndpoint !== undefined && env.gcsEndpoint === undefined) return rows
  const access =
    env.gcsEndpoint === undefined
      ? { auth: openGoogleAuth(env, async () => s3.config.credentials()) }
      : { endpoint: env.gcsEndpoint, token: env.serviceAccount }
  const { bucket, prefix } = env.config.replica
  return ownedRows(rows, openOwnerCheck(env, createOwnerFile({ bucket, prefix, access })))
}

/** Builds what a function that replicates rows needs from its environment, once, in its init phase. */
export const wireRows = (): RowsWiring => {
  const env = readRowsEnv()
  const s3 = new S3Client(awsClient)
  const telemetry = createTelemetry()
  const deps: RowsDeps = {
    config: env.config,
    rows: openOwnRows(env, s3),
    source: createItemSource(new DynamoDBClient(awsClient)),
    quarantine: createS3Quarantine({ s3, bucket: env.quarantineBucket }),
    telemetry,
    clock: systemClock,
    random: systemRandom,
  }
  return { deps, env, flush: telemetry.flush }
}
