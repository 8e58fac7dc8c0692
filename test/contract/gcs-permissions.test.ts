import { describe, expect, it } from 'vitest'
import { codeOf, gcsFixture } from '../support/gcs.ts'

const DAY_MS = 86_400_000
const { server, setClock, newBucket, call, insert } = gcsFixture()

const until = (days: number): string => new Date(Date.now() + days * DAY_MS).toISOString()

describe('retention', () => {
  it('keeps an object until its time, and is set only where the bucket allows it', async () => {
    const bucket = await newBucket({ enableObjectRetention: true })
    const retention = { mode: 'Unlocked', retainUntilTime: until(2) }
    const file = bucket.file('o')
    await file.save('x', { resumable: false, metadata: { retention } })
    expect(file.metadata.retention).toEqual(retention)
    expect(await codeOf(file.delete())).toBe(403)
    expect(await codeOf(file.save('y', { resumable: false }))).toBe(403)
    setClock(() => Date.now() + 3 * DAY_MS)
    await file.save('y', { resumable: false })
    await file.delete()
    setClock(Date.now)
    const plain = await newBucket()
    await plain.file('o').save('x', { resumable: false })
    expect(await codeOf(plain.file('o').setMetadata({ retention }))).toBe(400)
  })

  it('unlocked shrinks only with override, locked only grows', async () => {
    const bucket = await newBucket({ enableObjectRetention: true })
    await bucket.file('o').save('x', { resumable: false })
    const set = async (mode: string | null, days = 0, override = ''): Promise<number> => {
      const retention = mode === null ? null : { mode, retainUntilTime: until(days) }
      const init = { method: 'PATCH', body: JSON.stringify({ retention }) }
      return (await call(`/storage/v1/b/${bucket.name}/o/o?${override}`, init)).status
    }
    const override = 'overrideUnlockedRetention=true'
    expect(await set('Unlocked', -1)).toBe(400)
    expect(await set('Sealed', 1)).toBe(400)
    expect(await set('Unlocked', 5)).toBe(200)
    expect(await set('Unlocked', 6)).toBe(200)
    expect(await set('Unlocked', 4)).toBe(403)
    expect(await set(null)).toBe(403)
    expect(await set('Unlocked', 4, override)).toBe(200)
    expect(await set(null, 0, override)).toBe(200)
    expect(await set('Unlocked', 4)).toBe(200)
    expect(await set('Locked', 4.5)).toBe(403)
    expect(await set('Locked', 4.5, override)).toBe(200)
    expect(await set('Locked', 5)).toBe(200)
    expect(await set('Locked', 4, override)).toBe(403)
    expect(await set('Unlocked', 6, override)).toBe(403)
    expect(await set(null, 0, override)).toBe(403)
  })

  it('asks for the permissions that it needs', async () => {
    const bucket = await newBucket({ enableObjectRetention: true })
    await bucket.file('o').save('x', { resumable: false })
    const patch = async (principal: string, body: unknown, query = ''): Promise<[number, string]> => {
      const init = { method: 'PATCH', body: JSON.stringify(body) }
      const answer = await call(`/storage/v1/b/${bucket.name}/o/o?${query}`, init, principal)
      return [answer.status, await answer.text()]
    }
    const retention = { mode: 'Unlocked', retainUntilTime: until(2) }
    expect((await patch('lifeboat-writer', { metadata: {} }))[1]).toContain(
      'lifeboat-writer does not have storage.objects.update access to the Google Cloud Storage object.',
    )
    expect((await patch('lifeboat-collector', { retention }))[1]).toContain('storage.objects.setRetention')
    expect((await patch('lifeboat-committer', { retention }))[0]).toBe(200)
    expect((await patch('lifeboat-committer', { retention: null }, 'overrideUnlockedRetention=true'))[1]).toContain(
      'storage.objects.overrideUnlockedRetention',
    )
  })
})

describe('what is refused', () => {
  it('answers 401 without a known principal and 403 without the permission', async () => {
    const { name } = await newBucket()
    await insert(name, 'o', 'x')
    expect((await fetch(`${server().url}/storage/v1/b/${name}/o/o`)).status).toBe(401)
    expect((await call(`/storage/v1/b/${name}/o/o`, {}, 'constructor')).status).toBe(401)
    expect((await call(`/storage/v1/b/${name}`, {}, 'lifeboat-collector')).status).toBe(403)
    expect(
      (await call(`/storage/v1/b?project=p`, { method: 'POST', body: '{"name":"n"}' }, 'lifeboat-collector')).status,
    ).toBe(403)
    const asCollector = { method: 'DELETE' }
    expect(
      (await call(`/storage/v1/b/${name}/o/o`, asCollector, 'lifeboat-collector@p.iam.gserviceaccount.com')).status,
    ).toBe(204)
  })

  it.each([
    ['GET', '/storage/v1/b/BUCKET/o?matchGlob=*', ''],
    ['GET', '/storage/v1/b/BUCKET/iam', ''],
    ['PATCH', '/storage/v1/b/BUCKET/o/o', '{"temporaryHold":true}'],
    ['PATCH', '/storage/v1/b/BUCKET', '{"retentionPolicy":{"retentionPeriod":"1"}}'],
    ['POST', '/storage/v1/b/BUCKET/o/o/moveTo/o/p', '{}'],
    ['POST', '/upload/storage/v1/b/BUCKET/o?uploadType=media&name=n&predefinedAcl=private', 'x'],
    ['POST', '/batch/storage/v1', ''],
    ['GET', '/BUCKET/o', ''],
  ])('answers 501 to %s %s %s', async (method, path, body) => {
    const { name } = await newBucket()
    await insert(name, 'o', 'x')
    const init = { method, ...(body ? { body } : {}) }
    expect((await call(path.replace('BUCKET', name), init)).status).toBe(501)
  })

  it('refuses names that GCS refuses', async () => {
    const { name } = await newBucket()
    for (const bad of ['.', '..', 'a\nb', 'x'.repeat(1025)]) expect((await insert(name, bad, 'x')).status).toBe(400)
    expect((await insert(name, 'x'.repeat(1024), 'x')).status).toBe(200)
  })
})
