import { createMemoryBlobStore } from '../../shared/clouds/memory/blob-store.ts'
import { parseConfig } from '../../shared/config.ts'
import { bothChecks } from '../../shared/doctor/both-checks.ts'
import type { Checked } from '../../shared/doctor/check.ts'
import type { EventSource, ReplicaFacts, SourceFacts } from '../../shared/doctor/ports.ts'
import { replicaChecks } from '../../shared/doctor/replica-checks.ts'
import { runChecks } from '../../shared/doctor/run.ts'
import { sourceChecks } from '../../shared/doctor/source-checks.ts'
import { createOwnerCheck, deploymentOf } from '../../shared/owner.ts'

/** Both sides of a good setup as facts in memory, for the doctor's checks; `look` plants what is wrong. */

export const stream = 'arn:aws:dynamodb:eu-west-1:111122223333:table/users/stream/2026-01-01T00:00:00.000'
export const config = parseConfig(
  `formatVersion: 1
source: { account: '111122223333', region: eu-west-1 }
replica: { project: example-project, bucket: replica, bigtableInstance: rows, appProfile: lifeboat }
buckets: [{ name: models }]
tables: [{ name: users, streams: [{ arn: "${stream}", epoch: 1 }] }]
`,
  { stage: 'prod', file: 'lifeboat.yml' },
)
export const stage = 'prod'
export const audience =
  '//iam.googleapis.com/projects/123456789/locations/global/workloadIdentityPools/lifeboat/providers/aws'
const sourceKey = 'arn:aws:kms:eu-west-1:111122223333:key/k'

const callers: Record<string, string[]> = {
  planObject: ['sqs:eu-west-1:111122223333:lifeboat-prod-objects'],
  copySegment: [
    'sqs:eu-west-1:111122223333:lifeboat-prod-segments',
    'sqs:eu-west-1:111122223333:lifeboat-prod-backfill-segments',
  ],
  commitObject: ['dynamodb:eu-west-1:111122223333:table/lifeboat-prod-ledger/stream/2026-01-01T00:00:00.000'],
  backfill: ['sqs:eu-west-1:111122223333:lifeboat-prod-backfill'],
}

/** What calls a function of a stage `prod` as the template connects it; `stream` is that of the one table. */
export const eventSourcesOf = (functionName: string, streamArn: string): EventSource[] => {
  const name = functionName.replace('lifeboat-prod-', '')
  const arns = name === 'applyChanges' ? [streamArn] : (callers[name] ?? []).map((rest) => `arn:aws:${rest}`)
  return arns.map((arn, at) => ({ id: `${name}-${at}`, arn, state: 'Enabled' }))
}

export const goodSource: SourceFacts = {
  account: async () => '111122223333',
  bucket: async () => ({ region: 'eu-west-1', versioning: 'Enabled', eventBridge: true }),
  bucketKey: async () => sourceKey,
  table: async () => ({ streamArn: stream, viewType: 'NEW_AND_OLD_IMAGES' }),
  key: async (arn) => ({ arn, state: 'Enabled', isManaged: false, trustsIam: true }),
  mayUseKey: async () => true,
  deployed: async (name) => ({
    name,
    roleArn: `arn:aws:iam::111122223333:role/${name}-role`,
    audience,
    serviceAccount: 'lifeboat-writer@example-project.iam.gserviceaccount.com',
    eventSources: eventSourcesOf(name, stream),
    ...(name.endsWith('copySegment') && { concurrencyMax: 60 }),
    ...(name.endsWith('backfill') && { concurrencyMax: 32 }),
  }),
  rule: async () => 'ENABLED',
  concurrency: async () => ({ limit: 1000, unreserved: 900 }),
  clockAheadMs: async () => 300,
}

export const memberOf = (name: string): string =>
  `principalSet://iam.googleapis.com/projects/123456789/locations/global/workloadIdentityPools/lifeboat/attribute.aws_role/${name}`
export const functions = [
  'planObject',
  'copySegment',
  'commitObject',
  'validate',
  'reconcile',
  'measureLag',
  'backfill',
  'applyChanges',
  'redrive',
  'compareRows',
]
const allMembers = functions.map((name) => memberOf(`lifeboat-prod-${name}-role`))

const store = createMemoryBlobStore()
await store.create('config/0123456789abcdef.json', Buffer.from('{}'))
await createOwnerCheck({
  store,
  deployment: deploymentOf(config, stage),
  place: 'gs://replica/',
  clock: { now: () => 0 },
})()

export const goodBucket = {
  location: 'EUROPE-WEST4',
  objectRetention: true,
  publicAccessPrevention: true,
  uniformAccess: true,
  versioning: true,
  softDeleteSeconds: 604_800,
}
export const goodReplica: ReplicaFacts = {
  bucket: async () => goodBucket,
  key: async () => ({ state: 'ENABLED', protection: 'SOFTWARE' }),
  table: async (name) => ({
    families: name.endsWith('-history') ? { h: { seconds: 35 * 86_400 } } : { d: { versions: 1 }, m: { versions: 1 } },
  }),
  appProfile: async () => ({ cluster: 'c1', hasTransactions: true }),
  clusterKeys: async () => [{ cluster: 'c1', zone: 'europe-west4-a' }],
  provider: async () => ({ isActive: true, awsAccount: '111122223333' }),
  federatedMembers: async () => allMembers,
  credentials: async () => ({ kind: 'those of a user (gcloud)', isFromAws: false }),
  clockAheadMs: async () => -400,
  store,
}

export type Plants = { source?: Partial<SourceFacts>; replica?: Partial<ReplicaFacts>; stage?: string }
export const look = ({ source = {}, replica = {}, stage: of = stage }: Plants = {}): Promise<Checked[]> => {
  const facts = { source: { ...goodSource, ...source }, replica: { ...goodReplica, ...replica } }
  return runChecks([
    ...sourceChecks({ facts: facts.source, config, stage: of }),
    ...replicaChecks({ facts: facts.replica, config, stage: of }),
    ...bothChecks({ ...facts, config, stage: of }),
  ])
}
export const wrong = (checked: readonly Checked[]): Checked[] => checked.filter(({ outcome }) => outcome !== 'ok')
