import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { wireBackfill } from '../../shared/wiring-backfill.ts'

vi.mock('../../shared/wiring-rows.ts', () => ({
  openRows: () => 'whoever the replica belongs to',
  openOwnRows: () => 'only where it is ours',
}))

const env = {
  STAGE: 'prod',
  LIFEBOAT_CONFIG: fileURLToPath(new URL('../fixtures/rows.lifeboat.yml', import.meta.url)),
  GCP_SERVICE_ACCOUNT: 'lifeboat-writer@example-project.iam.gserviceaccount.com',
  GCP_WIF_AUDIENCE: '//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/lifeboat/providers/aws',
  AWS_REGION: 'eu-west-1',
  LEDGER_TABLE: 'ledger',
  OBJECTS_QUEUE_URL: 'https://sqs/objects',
  SEGMENTS_QUEUE_URL: 'https://sqs/segments',
  BACKFILL_QUEUE_URL: 'https://sqs/backfill',
  BACKFILL_SEGMENTS_QUEUE_URL: 'https://sqs/backfill-segments',
}
beforeEach(() => {
  for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value)
})
afterEach(() => {
  vi.unstubAllEnvs()
})

it('rows of a backfill are written only where the replica is its own', async () => {
  expect((await wireBackfill().deps.openRows()).rows).toBe('only where it is ours')
})
