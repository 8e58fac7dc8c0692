import { describe, expect, it } from 'vitest'
import { parseConfig } from '../../shared/config.ts'
import { DeniedError } from '../../shared/errors.ts'
import { bothChecks } from '../../shared/doctor/both-checks.ts'
import { placeOf } from '../../shared/doctor/regions.ts'
import { runChecks } from '../../shared/doctor/run.ts'
import { goodBucket, goodReplica, goodSource, look, type Plants, stage, wrong } from '../support/doctor-world.ts'

const denied = async (): Promise<never> => {
  throw new DeniedError('denied: s3:GetBucketVersioning')
}

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
      'event-rule',
      'event-source',
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

describe('what could not be looked at is unknown, with the reason, and never fine', () => {
  it('denied everywhere: no check is fine', async () => {
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

  it.each<[string, Plants, string, string]>([
    [
      'a bucket of the source that is not there',
      { source: { bucket: async () => undefined, bucketKey: async () => undefined } },
      'source-kms models',
      'it is not there',
    ],
    ['a table that is not there', { source: { table: async () => undefined } }, 'source-kms users', 'it is not there'],
    [
      'a bucket of the replica that is not there',
      { replica: { bucket: async () => undefined } },
      'restore-keys ',
      'there is no such bucket',
    ],
    [
      'an instance without clusters',
      { replica: { clusterKeys: async () => [] } },
      'restore-keys ',
      'the instance for rows has no cluster',
    ],
  ])('the key of %s', async (_title, plant, name, detail) => {
    const found = (await look(plant)).filter(({ id, subject }) => `${id} ${subject}` === name)
    expect(found).toMatchObject([{ outcome: 'unknown', detail }])
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
