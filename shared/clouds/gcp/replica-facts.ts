import type { Storage } from '@google-cloud/storage'
import type { ReplicaBucket, ReplicaFacts } from '../../doctor/ports.ts'
import { clockAheadMs } from '../clock.ts'
import { type BigtableFactsOptions, createBigtableFacts } from './bigtable-facts.ts'
import { createControlFacts } from './control-facts.ts'
import { translateError } from './errors.ts'
import { unlessMissing } from './unless-missing.ts'

/** What the doctor asks of Google. infra/gcp/doctor-role.yaml lists what it takes; nothing there changes anything. */

export type ReplicaFactsOptions = BigtableFactsOptions & {
  bucket: string
  storage: Storage
  store: ReplicaFacts['store']
  credentials: ReplicaFacts['credentials']
  endpoints?: Parameters<typeof createControlFacts>[0]['endpoints']
}

const readBucket = (storage: Storage, name: string): Promise<ReplicaBucket | undefined> =>
  unlessMissing(async () => {
    const [meta] = await storage
      .bucket(name)
      .getMetadata()
      .catch((error: unknown) => {
        throw translateError('look at', `gs://${name}`, error)
      })
    const { iamConfiguration: iam, objectRetention, softDeletePolicy, encryption } = meta
    const kmsKey = encryption?.defaultKmsKeyName
    return {
      location: meta.location ?? '',
      objectRetention: objectRetention?.mode === 'Enabled',
      publicAccessPrevention: iam?.publicAccessPrevention === 'enforced',
      uniformAccess: iam?.uniformBucketLevelAccess?.enabled === true,
      versioning: meta.versioning?.enabled === true,
      softDeleteSeconds: Number(softDeletePolicy?.retentionDurationSeconds ?? 0),
      ...(kmsKey && { kmsKey }),
    }
  })

export const createReplicaFacts = (
  options: ReplicaFactsOptions,
): { facts: ReplicaFacts; close: () => Promise<void> } => {
  const { bucket, storage, store, credentials } = options
  const rows = createBigtableFacts(options)
  return {
    facts: {
      bucket: () => readBucket(storage, bucket),
      ...rows.facts,
      ...createControlFacts(options),
      credentials,
      clockAheadMs: () => clockAheadMs(storage.apiEndpoint),
      store,
    },
    close: rows.close,
  }
}
