import { describe, expect, it } from 'vitest'
import { createMemoryBlobStore } from '../../shared/clouds/memory/blob-store.ts'
import { parseConfig } from '../../shared/config.ts'
import { DeniedError } from '../../shared/errors.ts'
import { bothChecks } from '../../shared/doctor/both-checks.ts'
import type { Checked } from '../../shared/doctor/check.ts'
import type { ReplicaFacts, SourceFacts } from '../../shared/doctor/ports.ts'
import { placeOf } from '../../shared/doctor/regions.ts'
import { replicaChecks } from '../../shared/doctor/replica-checks.ts'
import { runChecks } from '../../shared/doctor/run.ts'
import { sourceChecks } from '../../shared/doctor/source-checks.ts'
import { createOwnerCheck, deploymentOf } from '../../shared/owner.ts'

const stream = 'arn:aws:dynamodb:eu-west-1:111122223333:table/users/stream/2026-01-01T00:00:00.000'
const config = parseConfig(
  `formatVersion: 1
source: { account: '111122223333', region: eu-west-1 }
replica: { project: example-project, bucket: replica, bigtableInstance: rows, appProfile: lifeboat }
buckets: [{ name: models }]
tables: [{ name: users, streams: [{ arn: "${stream}", epoch: 1 }] }]
`,
  { stage: 'prod', file: 'lifeboat.yml' },
)
const stage = 'prod'
const audience = '//iam.googleapis.com/projects/123456789/locations/global/workloadIdentityPools/lifeboat/providers/aws'
const sourceKey = 'arn:aws:kms:eu-west-1:111122223333:key/k'

const goodSource: SourceFacts = {
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
    ...(name.endsWith('copySegment') && { concurrencyMax: 50 }),
  }),
  concurrency: async () => ({ limit: 1000, unreserved: 900 }),
  clockAheadMs: async () => 300,
}

const memberOf = (name: string): string =>
  `principalSet://iam.googleapis.com/projects/123456789/locations/global/workloadIdentityPools/lifeboat/attribute.aws_role/${name}`
const functions = [
  'planObject',
  'copySegment',
  'commitObject',
  'validate',
  'reconcile',
  'measureLag',
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

const goodBucket = {
  location: 'EUROPE-WEST4',
  objectRetention: true,
  publicAccessPrevention: true,
  uniformAccess: true,
  versioning: true,
  softDeleteSeconds: 604_800,
}
const goodReplica: ReplicaFacts = {
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

type Plants = { source?: Partial<SourceFacts>; replica?: Partial<ReplicaFacts>; stage?: string }
const look = ({ source = {}, replica = {}, stage: of = stage }: Plants = {}): Promise<Checked[]> => {
  const facts = { source: { ...goodSource, ...source }, replica: { ...goodReplica, ...replica } }
  return runChecks([
    ...sourceChecks({ facts: facts.source, config, stage: of }),
    ...replicaChecks({ facts: facts.replica, config, stage: of }),
    ...bothChecks({ ...facts, config, stage: of }),
  ])
}
const wrong = (checked: readonly Checked[]): Checked[] => checked.filter(({ outcome }) => outcome !== 'ok')

it('a good setup is fine in every check, and every check was made', async () => {
  const checked = await look()
  expect(wrong(checked)).toEqual([])
  expect([...new Set(checked.map(({ id }) => id))].sort()).toEqual(
    [
      'app-profile',
      'bigtable-table',
      'bucket-public',
      'bucket-retention',
      'bucket-uniform',
      'bucket-versioning',
      'clocks',
      'distance',
      'function',
      'lambda-concurrency',
      'login',
      'owner',
      'restore-config',
      'restore-credentials',
      'restore-keys',
      's3-eventbridge',
      's3-region',
      's3-versioning',
      'source-account',
      'source-kms',
      'stream',
      'stream-epoch',
    ].sort(),
  )
})

/** What is planted, the one kind of check that finds it, what it says, and its fix. */
const plants: [title: string, plant: Plants, id: string, detail: RegExp, fix: RegExp][] = [
  [
    'credentials of another account',
    { source: { account: async () => '999999999999' } },
    'source-account',
    /999999999999/,
    /credentials of 111122223333/,
  ],
  [
    'a bucket of another region',
    { source: { bucket: async () => ({ region: 'us-east-1', versioning: 'Enabled', eventBridge: true }) } },
    's3-region',
    /us-east-1/,
    /one deployment per source region/,
  ],
  [
    'no versioning',
    { source: { bucket: async () => ({ region: 'eu-west-1', versioning: 'Suspended', eventBridge: true }) } },
    's3-versioning',
    /suspended/,
    /put-bucket-versioning --bucket models .*Status=Enabled/,
  ],
  [
    'no EventBridge',
    { source: { bucket: async () => ({ region: 'eu-west-1', versioning: 'Enabled', eventBridge: false }) } },
    's3-eventbridge',
    /disabled/,
    /put-bucket-notification-configuration --bucket models/,
  ],
  [
    'a stream of keys only',
    { source: { table: async () => ({ streamArn: stream, viewType: 'KEYS_ONLY' }) } },
    'stream',
    /KEYS_ONLY/,
    /update-table --table-name users .*NEW_AND_OLD_IMAGES/,
  ],
  [
    'a stream that was enabled again',
    { source: { table: async () => ({ streamArn: `${stream}x`, viewType: 'NEW_AND_OLD_IMAGES' }) } },
    'stream-epoch',
    /not configured/,
    /with epoch 2, deploy, then lifeboat diff users --repair/,
  ],
  [
    'a key that is pending deletion',
    { source: { key: async (arn) => ({ arn, state: 'PendingDeletion', isManaged: false, trustsIam: true }) } },
    'source-kms',
    /PendingDeletion/,
    /enable-key/,
  ],
  [
    'a role without the key',
    { source: { mayUseKey: async (role) => !role.includes('copySegment') } },
    'source-kms',
    /copySegment may not decrypt/,
    /sourceKmsKeyArns=arn:aws:kms/,
  ],
  [
    'little concurrency',
    { source: { concurrency: async () => ({ limit: 50, unreserved: 50 }) } },
    'lambda-concurrency',
    /up to \d+ at once, of 50/,
    /L-B99A9384/,
  ],
  [
    'no object retention',
    { replica: { bucket: async () => ({ ...goodBucket, objectRetention: false }) } },
    'bucket-retention',
    /nothing can be sealed/,
    /a new bucket/,
  ],
  [
    'public access',
    { replica: { bucket: async () => ({ ...goodBucket, publicAccessPrevention: false }) } },
    'bucket-public',
    /not enforced/,
    /--public-access-prevention/,
  ],
  [
    'ACLs',
    { replica: { bucket: async () => ({ ...goodBucket, uniformAccess: false }) } },
    'bucket-uniform',
    /ACLs/,
    /--uniform-bucket-level-access/,
  ],
  [
    'no soft delete',
    { replica: { bucket: async () => ({ ...goodBucket, softDeleteSeconds: 0 }) } },
    'bucket-versioning',
    /no soft delete/,
    /--soft-delete-duration/,
  ],
  [
    'an app profile to any cluster',
    { replica: { appProfile: async () => ({ hasTransactions: false }) } },
    'app-profile',
    /any cluster/,
    /--route-to=/,
  ],
  [
    'an app profile without transactions',
    { replica: { appProfile: async () => ({ cluster: 'c', hasTransactions: false }) } },
    'app-profile',
    /transactions are off/,
    /--transactional-writes/,
  ],
  [
    'no app profile',
    { replica: { appProfile: async () => undefined } },
    'app-profile',
    /no such app profile/,
    /terraform/,
  ],
  [
    'federated credentials',
    { replica: { credentials: async () => ({ kind: 'federated from AWS', isFromAws: true }) } },
    'restore-credentials',
    /end with AWS/,
    /application-default login/,
  ],
  [
    'a key outside of Google',
    {
      replica: {
        bucket: async () => ({ ...goodBucket, kmsKey: 'k' }),
        key: async () => ({ state: 'ENABLED', protection: 'EXTERNAL_VPC' }),
      },
    },
    'restore-keys',
    /EXTERNAL_VPC/,
    /does not run in AWS/,
  ],
  [
    'a disabled key',
    {
      replica: {
        clusterKeys: async () => [{ cluster: 'c', zone: 'z', kmsKey: 'k' }],
        key: async () => ({ state: 'DISABLED', protection: 'HSM' }),
      },
    },
    'restore-keys',
    /DISABLED/,
    /versions enable/,
  ],
  ['clocks that are apart', { replica: { clockAheadMs: async () => 9000 } }, 'clocks', /9 s apart/, /status pages/],
  [
    'a machine whose clock is off',
    { source: { clockAheadMs: async () => 90_000 }, replica: { clockAheadMs: async () => 90_500 } },
    'clocks',
    /this machine is 91 s off/,
    /NTP/,
  ],
]

describe('a planted misconfiguration is found, with its fix, and nothing else is', () => {
  it.each(plants)('%s', async (_title, plant, id, detail, fix) => {
    const found = wrong(await look(plant))
    expect(found.map((one) => `${one.outcome} ${one.id}`)).toEqual(found.map(() => `finding ${id}`))
    const [first] = found
    expect(first).toMatchObject({
      outcome: 'finding',
      detail: expect.stringMatching(detail),
      fix: expect.stringMatching(fix),
    })
  })

  it.each<[string, Awaited<ReturnType<ReplicaFacts['table']>>, RegExp]>([
    ['no table', undefined, /no such table/],
    ['no family of markers', { families: { d: { versions: 1 } } }, /no family m/],
    [
      'markers that age',
      { families: { d: { versions: 1 }, m: { seconds: 86_400 } } },
      /family m has age 86400 s, not versions and no age/,
    ],
    [
      'markers that age among versions',
      { families: { d: { versions: 1 }, m: { other: 'a union of rules' } } },
      /family m has a union/,
    ],
    [
      'several versions of attributes',
      { families: { d: { versions: 3 }, m: 'none' } },
      /family d has 3 versions, not one version/,
    ],
  ])('rows with %s', async (_title, table, detail) => {
    const found = wrong(
      await look({ replica: { table: async (name) => (name === 'users' ? table : goodReplica.table(name)) } }),
    )
    expect(found).toMatchObject([
      { id: 'bigtable-table', subject: 'users', outcome: 'finding', detail: expect.stringMatching(detail) },
    ])
  })

  it('history that is kept too short', async () => {
    const found = wrong(
      await look({
        replica: {
          table: async (name) =>
            name === 'users' ? goodReplica.table(name) : { families: { h: { seconds: 86_400 } } },
        },
      }),
    )
    expect(found).toMatchObject([
      {
        id: 'bigtable-table',
        subject: 'users-history',
        detail: 'family h has age 86400 s, not an age of at least 35 days',
        fix: expect.stringContaining('setgcpolicy users-history h maxage=35d'),
      },
    ])
  })

  it('a replica of another deployment', async () => {
    const found = wrong(await look({ stage: 'other' }))
    const owner = found.filter(({ id }) => id === 'owner')
    expect(owner).toMatchObject([
      {
        outcome: 'finding',
        detail: expect.stringMatching(/^it belongs to stage prod of AWS account 111122223333/),
        fix: expect.stringContaining('owner-record'),
      },
    ])
  })

  it.each<[string, Plants, RegExp, RegExp]>([
    [
      'the placeholder',
      {
        source: {
          deployed: async (name) => ({ name, roleArn: '', audience: audience.replace('123456789', '000000000000') }),
        },
      },
      /placeholder/,
      /gcpWifAudience/,
    ],
    ['no provider', { replica: { provider: async () => undefined } }, /no provider/, /gcpWifAudience/],
    [
      'a disabled provider',
      { replica: { provider: async () => ({ isActive: false }) } },
      /disabled or deleted/,
      /terraform/,
    ],
    [
      'a provider for another account',
      { replica: { provider: async () => ({ isActive: true, awsAccount: '9' }) } },
      /takes AWS account 9/,
      /111122223333/,
    ],
    ['no service account', { replica: { federatedMembers: async () => undefined } }, /no service account/, /terraform/],
    [
      'no bound role',
      { replica: { federatedMembers: async () => [`user:somebody/lifeboat-prod-planObject-role`, memberOf('other')] } },
      /may not become lifeboat-writer@/,
      /workloadIdentityUser/,
    ],
  ])('a login with %s', async (_title, plant, detail, fix) => {
    const found = wrong(await look(plant))
    expect(found.filter(({ id }) => id !== 'login' && id !== 'source-kms')).toEqual([])
    const logins = found.filter(({ id }) => id === 'login')
    expect(logins.length).toBe(functions.length)
    expect(logins[0]).toMatchObject({
      outcome: 'finding',
      detail: expect.stringMatching(detail),
      fix: expect.stringMatching(fix),
    })
  })

  it('a function that is not deployed', async () => {
    const found = wrong(
      await look({
        source: { deployed: async (name) => (name.endsWith('validate') ? undefined : goodSource.deployed(name)) },
      }),
    )
    expect(found).toMatchObject([
      {
        id: 'function',
        subject: 'lifeboat-prod-validate',
        outcome: 'finding',
        fix: 'npx serverless deploy --stage prod',
      },
      { id: 'login', subject: 'lifeboat-prod-validate', outcome: 'unknown' },
    ])
  })
})

describe('what could not be looked at is unknown, with the reason, and never fine', () => {
  it('denied everywhere: no check is fine', async () => {
    const denied = async (): Promise<never> => {
      throw new DeniedError('denied: s3:GetBucketVersioning')
    }
    const deny = <T extends object>(facts: T): T =>
      Object.fromEntries(Object.keys(facts).map((name) => [name, denied])) as T
    const deniedStore = {
      read: denied,
      list: () => ({ [Symbol.asyncIterator]: () => ({ next: denied }) }),
    }
    const checked = await look({ source: deny(goodSource), replica: { ...deny(goodReplica), store: deniedStore } })
    expect(new Set(checked.map(({ outcome }) => outcome))).toEqual(new Set(['unknown']))
    expect(checked.every(({ detail }) => detail.startsWith('denied: '))).toBe(true)
  })

  it('a key whose policy does not leave it to IAM', async () => {
    const found = wrong(
      await look({ source: { key: async (arn) => ({ arn, state: 'Enabled', isManaged: false, trustsIam: false }) } }),
    )
    expect(found).toMatchObject([
      { id: 'source-kms', outcome: 'unknown', detail: expect.stringContaining('cannot be evaluated') },
    ])
  })

  it('a place that this version does not know', async () => {
    const found = wrong(await look({ replica: { bucket: async () => ({ ...goodBucket, location: 'MOON-1' }) } }))
    expect(found).toMatchObject([
      { id: 'distance', outcome: 'unknown', detail: 'where MOON-1 is, this version does not know' },
    ])
  })
})

it('source and replica in one city are found', async () => {
  const london = parseConfig(
    `formatVersion: 1
source: { account: '111122223333', region: eu-west-2 }
replica: { project: example-project, bucket: replica }
buckets: [{ name: models }]
`,
    { stage, file: 'x' },
  )
  const replica = { ...goodReplica, bucket: async () => ({ ...goodBucket, location: 'EUROPE-WEST2' }) }
  const checked = await runChecks(bothChecks({ source: goodSource, replica, config: london, stage }))
  expect(checked.find(({ id }) => id === 'distance')).toMatchObject({
    outcome: 'finding',
    detail: expect.stringContaining('both in london'),
  })
})

it('knows every place once, in either spelling', () => {
  expect(placeOf('EU')).toEqual({ area: 'many', continent: 'europe' })
  expect(placeOf('us-east-1')?.area).toBe(placeOf('US-EAST4')?.area)
  expect(placeOf('nowhere')).toBeUndefined()
})
