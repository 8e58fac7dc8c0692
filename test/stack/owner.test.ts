import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { startGcs } from '../../local/gcs/server.ts'
import { toArray } from '../../shared/bounded.ts'
import { createGcsBlobStore } from '../../shared/clouds/gcp/blob-store.ts'
import { createStorage } from '../../shared/clouds/gcp/storage-client.ts'
import { createOwnerCheck, ownerName } from '../../shared/owner.ts'
import { startTestStack, type TestStack, until } from '../support/stack.ts'

/** The whole stack in front of a replica that another deployment owns. */

vi.setConfig({ testTimeout: 240_000, hookTimeout: 240_000 })

const dir = mkdtempSync(join(tmpdir(), 'lifeboat-owner-'))
let it: TestStack

const claimForAnother = async (): Promise<void> => {
  const gcs = await startGcs({ dir: join(dir, 'gcs') })
  try {
    const url = `${gcs.url}/storage/v1/b?enableObjectRetention=true`
    const headers = { authorization: 'Bearer lifeboat-admin', 'content-type': 'application/json' }
    expect((await fetch(url, { method: 'POST', headers, body: '{"name":"replica"}' })).status).toBe(200)
    const storage = createStorage({ projectId: 'p', endpoint: gcs.url, token: 'lifeboat-writer' })
    const store = createGcsBlobStore({ storage, bucket: 'replica' })
    const deployment = { source: { account: '999999999999', region: 'us-east-1' }, stage: 'prod' }
    await createOwnerCheck({ store, deployment, place: 'gs://replica/', clock: { now: Date.now } })()
  } finally {
    await gcs.close()
  }
}

beforeAll(async () => {
  await claimForAnother()
  it = await startTestStack(dir)
})
afterAll(async () => {
  try {
    await it.stop()
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
})

test('nothing is written, who it belongs to is said, and once it is handed over all goes on', async () => {
  const refused = /the replica gs:\/\/replica\/ belongs to stage prod of AWS account 999999999999/
  await it.put('models', 'alone.bin', 'bytes')
  for (const name of ['planObject', 'measureLag'] as const)
    await until(async () => refused.test(it.log(name)), `a refusal in the log of ${name}`)
  expect((await toArray(it.store('lifeboat-admin').list(''))).map(({ name }) => name)).toEqual([ownerName])
  // The lag is counted all the same.
  expect(it.log('measureLag')).toContain('"OldestPendingSeconds"')
  const path = `${it.stack.clouds.endpoints.gcs}/storage/v1/b/replica/o/${ownerName}`
  expect((await fetch(path, { method: 'DELETE', headers: { authorization: 'Bearer lifeboat-admin' } })).status).toBe(
    204,
  )
  await it.put('models', 'after.bin', 'bytes')
  const names = async (): Promise<string[]> => (await toArray(it.store().list('objects/'))).map(({ name }) => name)
  await until(async () => (await names()).some((name) => name.includes('after.bin')), 'what came after in the replica')
})
