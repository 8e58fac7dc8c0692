import { expect, it } from 'vitest'
import type { SourceFacts } from '../../shared/doctor/ports.ts'
import { DeniedError } from '../../shared/errors.ts'
import { goodReplica, look, type Plants, stream, wrong } from '../support/doctor-world.ts'

/** A fix that is typed as it stands changes what is wrong, and nothing else. */

const wrongEverywhere: Plants = {
  source: {
    table: async () => ({ streamArn: `${stream}x`, viewType: 'KEYS_ONLY' }),
    deployed: async (name) => ({ name, roleArn: '', audience: '', eventSources: [] }),
    mayUseKey: async () => false,
  },
  replica: {
    bucket: async () => undefined,
    table: async () => undefined,
    appProfile: async () => undefined,
    provider: async () => undefined,
  },
}

it('whatever a fix deploys, applies or repairs is of the stage that was looked at', async () => {
  const fixes = wrong(await look(wrongEverywhere)).flatMap((one) => (one.outcome === 'finding' ? one.fix : []))
  for (const [command, ofStage] of [
    [/serverless deploy/, /serverless deploy --stage prod\b/],
    [/lifeboat [^;]*diff/, /lifeboat --stage prod diff /],
    [/terraform \S+ apply/, /terraform -chdir=infra\/gcp apply -var-file=stages\/prod\.tfvars/],
  ] as const) {
    const found = fixes.filter((fix) => command.test(fix))
    expect(found).not.toEqual([])
    expect(found.filter((fix) => !ofStage.test(fix))).toEqual([])
  }
})

it.each<[string, Partial<SourceFacts>, RegExp]>([
  ['keys that can be looked at', {}, /"sourceKmsKeyArns=arn:of:models,arn:of:users" /],
  [
    'a table that is denied',
    { table: () => Promise.reject(new DeniedError('denied')) },
    /"sourceKmsKeyArns=arn:of:models" \(it replaces the list: add the key of users, which could not be looked at, /,
  ],
  [
    'keys of AWS',
    { key: async (id) => ({ arn: `arn:of:${id}`, state: 'Enabled', isManaged: id !== 'models', trustsIam: true }) },
    /"sourceKmsKeyArns=arn:of:models" /,
  ],
])('the grant of a key keeps that of the others: %s', async (_title, source, fix) => {
  const keys: Partial<SourceFacts> = {
    bucketKey: async () => 'models',
    table: async (name) => ({ streamArn: stream, viewType: 'NEW_AND_OLD_IMAGES', kmsKey: name }),
    key: async (id) => ({ arn: `arn:of:${id}`, state: 'Enabled', isManaged: false, trustsIam: true }),
    mayUseKey: async (role, key) => key !== 'arn:of:models' || !role.includes('copySegment'),
  }
  const found = wrong(await look({ source: { ...keys, ...source } }))
  expect(found.filter(({ id, outcome }) => id === 'source-kms' && outcome === 'finding')).toMatchObject([
    { subject: 'models', detail: expect.stringMatching(/copySegment may not/), fix: expect.stringMatching(fix) },
  ])
})

it.each(['models', 'users'])('a backfill that may not use the key of %s', async (subject) => {
  const source: Partial<SourceFacts> = {
    bucketKey: async () => 'models',
    table: async (name) => ({ streamArn: stream, viewType: 'NEW_AND_OLD_IMAGES', kmsKey: name }),
    mayUseKey: async (role, key) => key !== subject || !role.includes('backfill'),
  }
  expect(wrong(await look({ source }))).toMatchObject([
    { id: 'source-kms', subject, outcome: 'finding', detail: `the role of backfill may not decrypt with ${subject}` },
  ])
})

it('a family that is not there is made before its rule is set', async () => {
  const table = { families: { d: { versions: 3 } } }
  const found = wrong(
    await look({ replica: { table: async (name) => (name === 'users' ? table : goodReplica.table(name)) } }),
  )
  expect(found).toMatchObject([
    {
      detail: 'family d has 3 versions, not one version; no family m',
      fix: expect.stringMatching(
        /; or cbt -instance rows setgcpolicy users d maxversions=1; cbt -instance rows createfamily users m; cbt -instance rows setgcpolicy users m maxversions=1$/,
      ),
    },
  ])
})

it('a quota that AWS gives by default is not asked for again', async () => {
  const found = wrong(await look({ source: { concurrency: async () => ({ limit: 1000, unreserved: 50 }) } }))
  expect(found).toMatchObject([
    {
      id: 'lambda-concurrency',
      detail: 'up to 110 at once, of 50 that nobody reserved (limit 1000)',
      fix: expect.stringMatching(/L-B99A9384 --desired-value 1110$/),
    },
  ])
})
