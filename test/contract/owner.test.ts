import { describe, expect, it } from 'vitest'
import { createGcsBlobStore } from '../../shared/clouds/gcp/blob-store.ts'
import { createOwnerFile } from '../../shared/clouds/gcp/owner-file.ts'
import { createStorage } from '../../shared/clouds/gcp/storage-client.ts'
import { DeniedError, UnavailableError } from '../../shared/errors.ts'
import { createOwnerCheck, ownerName, type OwnerStore, readOwner } from '../../shared/owner.ts'
import { gcsFixture } from '../support/gcs.ts'

/** The owner record by every identity that writes, with the permissions that infra/gcp/roles.json gives it. */

const { server, call, newBucket } = gcsFixture()

/** Whose functions check by the whole client of the bucket, and whose by the small one. */
const identities: [role: string, open: (bucket: string, token: string) => OwnerStore][] = [
  ['lifeboat-writer', (bucket, token) => byClient(bucket, token)],
  ['lifeboat-committer', (bucket, token) => byClient(bucket, token)],
  ['lifeboat-validator', (bucket, token) => byClient(bucket, token)],
  ['lifeboat-observer', (bucket, token) => byClient(bucket, token)],
  ['lifeboat-rows', (bucket, token) => byClient(bucket, token)],
  [
    'lifeboat-rows',
    (bucket, token) => createOwnerFile({ bucket, prefix: 'x/', access: { endpoint: server().url, token } }),
  ],
]
const byClient = (bucket: string, token: string): OwnerStore =>
  createGcsBlobStore({
    storage: createStorage({ projectId: 'p', endpoint: server().url, token }),
    bucket,
    prefix: 'x/',
  })

const check = (store: OwnerStore, stage: string): Promise<void> => {
  const deployment = { source: { account: '111122223333', region: 'eu-west-1' }, stage }
  return createOwnerCheck({ store, deployment, place: 'gs://b/x/', clock: { now: () => 0 } })()
}

describe.each(identities)('%s', (role, open) => {
  it('becomes the owner of a new replica, knows its own one, and refuses another one', async () => {
    const { name } = await newBucket()
    await check(open(name, role), 'prod')
    await check(open(name, role), 'prod')
    await expect(check(open(name, role), 'dev')).rejects.toThrow(DeniedError)
    await expect(check(open(name, role), 'dev')).rejects.toThrow('the replica gs://b/x/ belongs to stage prod')
    expect((await readOwner(byClient(name, 'lifeboat-restorer')))?.stage).toBe('prod')
  })

  it('cannot take the record away, nor write over it', async () => {
    const { name } = await newBucket()
    await check(open(name, role), 'prod')
    const path = `/storage/v1/b/${name}/o/${encodeURIComponent(`x/${ownerName}`)}`
    expect((await call(path, { method: 'DELETE' }, role)).status).toBe(403)
    const upload = `/upload/storage/v1/b/${name}/o?uploadType=media&name=x/${ownerName}`
    expect((await call(upload, { method: 'POST', body: '{}' }, role)).status).toBe(403)
  })
})

it('handed over: an administrator removes the record, and the next one that writes becomes the owner', async () => {
  const { name } = await newBucket()
  await check(byClient(name, 'lifeboat-writer'), 'prod')
  await call(`/storage/v1/b/${name}/o/${encodeURIComponent(`x/${ownerName}`)}`, { method: 'DELETE' })
  await check(byClient(name, 'lifeboat-writer'), 'dev')
  await expect(check(byClient(name, 'lifeboat-writer'), 'prod')).rejects.toThrow('belongs to stage dev')
})

it('a bucket that is not there denies nothing and allows nothing', async () => {
  await expect(check(byClient('no-such-bucket', 'lifeboat-writer'), 'prod')).rejects.toThrow(
    /no-such-bucket|does not exist/,
  )
})

it('Cloud Storage that is not reached is unavailable: the work comes again', async () => {
  const gone = createOwnerFile({
    bucket: 'b',
    prefix: '',
    access: { endpoint: 'http://127.0.0.1:9', token: 't' },
    retriesMax: 0,
  })
  await expect(check(gone, 'prod')).rejects.toThrow(UnavailableError)
})
