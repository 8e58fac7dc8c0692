import { describe, expect, it } from 'vitest'
import type { ReplicaFacts } from '../../shared/doctor/ports.ts'
import {
  audience,
  eventSourcesOf,
  functions,
  goodBucket,
  goodReplica,
  look,
  memberOf,
  type Plants,
  stream,
  wrong,
} from '../support/doctor-world.ts'

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
    /StreamEnabled=false; aws dynamodb wait table-exists --table-name users; aws dynamodb update-table --table-name users .*NEW_AND_OLD_IMAGES.*lifeboat --stage prod diff users --repair$/,
  ],
  [
    'a stream that was enabled again',
    { source: { table: async () => ({ streamArn: `${stream}x`, viewType: 'NEW_AND_OLD_IMAGES' }) } },
    'stream-epoch',
    /not configured/,
    /with epoch 2, npx serverless deploy --stage prod, then lifeboat --stage prod diff users --repair$/,
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
    /L-B99A9384 --desired-value 1000$/,
  ],
  [
    'no object retention',
    { replica: { bucket: async () => ({ ...goodBucket, objectRetention: false }) } },
    'bucket-retention',
    /nothing can be sealed/,
    /apply -var-file=stages\/prod\.tfvars \(a new bucket/,
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
    /apply -var-file=stages\/prod\.tfvars/,
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
        fix: expect.stringContaining('The owner record'),
      },
    ])
  })

  it.each<[string, Plants, RegExp, RegExp]>([
    [
      'the placeholder',
      {
        source: {
          deployed: async (name) => ({
            name,
            roleArn: '',
            audience: audience.replace('123456789', '000000000000'),
            eventSources: eventSourcesOf(name, stream),
          }),
        },
      },
      /placeholder/,
      /^npx serverless deploy --stage prod --param="gcpWifAudience=/,
    ],
    [
      'no provider',
      { replica: { provider: async () => undefined } },
      /no provider/,
      /deploy --stage prod .*gcpWifAudience/,
    ],
    [
      'a disabled provider',
      { replica: { provider: async () => ({ isActive: false }) } },
      /disabled or deleted/,
      /^terraform -chdir=infra\/gcp apply -var-file=stages\/prod\.tfvars$/,
    ],
    [
      'a provider for another account',
      { replica: { provider: async () => ({ isActive: true, awsAccount: '9' }) } },
      /takes AWS account 9/,
      /^the account is that of lifeboat.yml: correct source.account \(111122223333\) .*apply -var-file=stages\/prod\.tfvars$/,
    ],
    [
      'no service account',
      { replica: { federatedMembers: async () => undefined } },
      /no service account/,
      /apply -var-file=stages\/prod\.tfvars$/,
    ],
    [
      'no bound role',
      { replica: { federatedMembers: async () => [`user:somebody/lifeboat-prod-planObject-role`, memberOf('other')] } },
      /may not become lifeboat-writer@/,
      /apply -var-file=stages\/prod\.tfvars: .*workloadIdentityUser/,
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
})
