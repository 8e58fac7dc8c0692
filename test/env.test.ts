import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { fileURLToPath } from 'node:url'
import { readCompareRowsEnv, readEnv, readLagEnv, readRowsEnv } from '../shared/env.ts'
import { InvalidInputError } from '../shared/errors.ts'

const config = fileURLToPath(new URL('../lifeboat.yml', import.meta.url))
const audience = '//iam.googleapis.com/projects/123456789/locations/global/workloadIdentityPools/lifeboat/providers/aws'

const deployed = {
  STAGE: 'prod',
  LIFEBOAT_CONFIG: config,
  GCP_SERVICE_ACCOUNT: 'lifeboat-writer@example-project.iam.gserviceaccount.com',
  GCP_WIF_AUDIENCE: audience,
  AWS_REGION: 'eu-west-1',
  LEDGER_TABLE: 'ledger',
  OBJECTS_QUEUE_URL: 'https://sqs/objects',
  SEGMENTS_QUEUE_URL: 'https://sqs/segments',
  BACKFILL_SEGMENTS_QUEUE_URL: 'https://sqs/backfill-segments',
  OBJECTS_DEAD_QUEUE_URL: 'https://sqs/objects-dead',
  SEGMENTS_DEAD_QUEUE_URL: 'https://sqs/segments-dead',
  QUARANTINE_BUCKET: 'quarantine',
}
beforeEach(() => {
  for (const [name, value] of Object.entries(deployed)) vi.stubEnv(name, value)
})
afterEach(() => {
  vi.unstubAllEnvs()
})

const readers = { readEnv, readLagEnv }

describe('a deployed stage', () => {
  it('has what serverless.yml gives it', () =>
    expect(readLagEnv()).toMatchObject({
      stage: 'prod',
      region: 'eu-west-1',
      wifAudience: audience,
      ledgerTable: 'ledger',
    }))

  it.each(Object.entries(readers))('%s refuses an emulator of Cloud Storage', (_name, read) => {
    vi.stubEnv('GCS_ENDPOINT', 'http://127.0.0.1:1')
    expect(read).toThrow(InvalidInputError)
    expect(read).toThrow('GCS_ENDPOINT is set (http://127.0.0.1:1) in stage prod')
  })

  it('refuses an emulator of Bigtable', () => {
    vi.stubEnv('LIFEBOAT_CONFIG', fileURLToPath(new URL('./fixtures/rows.lifeboat.yml', import.meta.url)))
    expect(readRowsEnv().bigtableInstance).toBe('rows')
    vi.stubEnv('BIGTABLE_ENDPOINT', 'http://127.0.0.1:1')
    expect(readRowsEnv).toThrow('BIGTABLE_ENDPOINT is set')
    expect(readCompareRowsEnv).toThrow('BIGTABLE_ENDPOINT is set')
    vi.stubEnv('BIGTABLE_ENDPOINT', undefined)
    vi.stubEnv('GCS_ENDPOINT', 'http://127.0.0.1:1')
    expect(readCompareRowsEnv).toThrow('GCS_ENDPOINT is set')
  })

  it.each(['localhost', 'x-local', 'locale'])('a stage is not local for being called %s', (stage) => {
    vi.stubEnv('STAGE', stage)
    vi.stubEnv('GCS_ENDPOINT', 'http://127.0.0.1:1')
    expect(readEnv).toThrow('emulators are refused')
  })

  it('refuses a lease of its own', () => {
    vi.stubEnv('LEASE_SECONDS', '5')
    expect(readEnv).toThrow('LEASE_SECONDS is 5 in stage prod')
  })

  it.each([
    ['none', '', 'GCP_WIF_AUDIENCE is not set'],
    [
      'the placeholder of serverless.yml',
      audience.replace('123456789', '000000000000'),
      'GCP_WIF_AUDIENCE is the placeholder',
    ],
    ['another form', audience.replace('//iam', 'https://iam'), 'GCP_WIF_AUDIENCE is "https://iam'],
  ])('refuses an audience that is %s, with what to do', (_title, value, message) => {
    vi.stubEnv('GCP_WIF_AUDIENCE', value)
    expect(readEnv).toThrow(message)
  })
})

it.each(['local', 'local-2'])('a stage called %s takes emulators', (stage) => {
  vi.stubEnv('STAGE', stage)
  vi.stubEnv('GCS_ENDPOINT', 'http://127.0.0.1:1')
  vi.stubEnv('GCP_WIF_AUDIENCE', '')
  expect(readEnv()).toMatchObject({ gcsEndpoint: 'http://127.0.0.1:1', wifAudience: '' })
})
