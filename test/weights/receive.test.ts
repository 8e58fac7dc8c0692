import { describe, expect, it } from 'vitest'
import { DeniedError, UnavailableError } from '../../shared/errors.ts'
import { receiveMessage } from '../../shared/weights/receive.ts'
import { account, bucketName, createWorld, eventOf, noise, type World } from '../support/weights-world.ts'

const key = 'llama/v1/model.bin'

const oddKeys = [
  'my model.bin',
  'a+b.bin',
  '100%.bin',
  'a%2Bb',
  'modèle/重み/🧠.bin',
  'line\nbreak',
  '../../etc/passwd',
  './a//b/',
  '/',
  ' ',
  'x'.repeat(1024),
  '🧠'.repeat(256),
  'lifeboat/cancelled',
  '~tilde',
  'quote\'"<>&',
]

const onlyFailure = async (world: World) => {
  const failures = await world.failures()
  expect(failures).toHaveLength(1)
  return failures[0]!
}

describe('receiveMessage', () => {
  it.each(oddKeys)('replicates the key %j', async (name) => {
    const world = createWorld()
    world.publish(name, noise(50))
    expect(await world.run()).toEqual([])
    const [manifest] = await world.manifests()
    expect(manifest!.source.key).toBe(name)
    expect(Buffer.compare(await world.restore(manifest!), noise(50))).toBe(0)
    expect(await world.failures()).toEqual([])
  })

  it.each(oddKeys)('records the deletion of the key %j', async (name) => {
    const world = createWorld()
    const { lastModified } = world.source.put(bucketName, name, noise(5))
    const event = {
      source: 'aws.s3',
      'detail-type': 'Object Deleted',
      account,
      time: new Date(lastModified).toISOString(),
      detail: {
        bucket: { name: bucketName },
        object: { key: name, 'version-id': 'm1' },
        'deletion-type': 'Delete Marker Created',
      },
    }
    for (let time = 0; time < 3; time += 1) await receiveMessage(world.deps, JSON.stringify(event))
    const names = world.names('deleted/')
    expect(names).toHaveLength(1)
    const record = JSON.parse(Buffer.from((await world.store.read(names[0]!))!).toString()) as Record<string, unknown>
    expect(record).toMatchObject({ format: 'lifeboat/deleted', key: name, version: 'm1' })
  })

  it('keeps what was sealed when the source deletes it', async () => {
    const world = createWorld()
    world.publish(key, noise(50))
    await world.run()
    world.source.delete(bucketName, key)
    const event = { ...(JSON.parse(eventOf(world.source.put(bucketName, 'x', noise(1)))) as object) }
    await receiveMessage(
      world.deps,
      JSON.stringify({
        ...event,
        'detail-type': 'Object Deleted',
        detail: { bucket: { name: bucketName }, object: { key } },
      }),
    )
    const [manifest] = await world.manifests()
    expect(Buffer.compare(await world.restore(manifest!), noise(50))).toBe(0)
  })

  it('refuses a bucket that is not configured, once', async () => {
    const world = createWorld()
    world.source.createBucket('other', 'versioned')
    const object = world.source.put('other', key, noise(5))
    world.announce(object, 5)
    expect(await world.run()).toEqual([])
    expect(await onlyFailure(world)).toMatchObject({ state: 'refused', bucket: 'other' })
    expect((await onlyFailure(world)).reason).toContain('not configured')
    expect(world.telemetry.total('ObjectsRefused')).toBe(5)
    expect(await world.manifests()).toEqual([])
  })

  it('refuses an account that is not configured', async () => {
    const world = createWorld()
    const object = world.publish(key, noise(5), { quiet: true })
    await receiveMessage(world.deps, eventOf(object).replace(account, '999988887777'))
    expect((await onlyFailure(world)).reason).toContain('999988887777')
    expect(world.rows()).toEqual([])
  })

  it.each(['hello', '', '{}', '[]', '{"Records":[{}]}', '{"Records":[7]}', '{"lifeboat":1}', '{"source":"aws.s3"}'])(
    'quarantines a malformed message with what it said: %j',
    async (text) => {
      const world = createWorld()
      await receiveMessage(world.deps, text)
      await receiveMessage(world.deps, text)
      expect(await onlyFailure(world)).toMatchObject({
        state: 'quarantined',
        reason: expect.stringContaining('malformed event') as string,
      })
    },
  )

  it('plans the good record beside a malformed one', async () => {
    const world = createWorld()
    const object = world.publish(key, noise(5), { quiet: true })
    const good = {
      eventName: 'ObjectCreated:Put',
      eventTime: '2026-01-01T00:00:00Z',
      s3: { bucket: { name: bucketName }, object: { key, versionId: object.versionId } },
    }
    await receiveMessage(world.deps, JSON.stringify({ Records: [{ eventName: 'x' }, good] }))
    await world.run()
    expect(await world.manifests()).toHaveLength(1)
    expect(await onlyFailure(world)).toMatchObject({ state: 'quarantined' })
  })

  it('records a key that vanished as superseded', async () => {
    const world = createWorld({ versioning: 'unversioned' })
    const object = world.publish(key, noise(5))
    world.source.delete(bucketName, key)
    expect(await world.run()).toEqual([])
    expect(await onlyFailure(world)).toMatchObject({ state: 'superseded', key, etag: object.etag })
  })

  it.each(['GLACIER', 'DEEP_ARCHIVE'])('refuses what is archived in %s and says what to do', async (storageClass) => {
    const world = createWorld()
    world.publish(key, noise(5), { storageClass })
    await world.run()
    const failure = await onlyFailure(world)
    expect(failure).toMatchObject({ state: 'refused', key })
    expect(failure.reason).toContain('backfill')
  })

  it('plans an archived object of which a restored copy can be read', async () => {
    const world = createWorld()
    world.publish(key, noise(5), { storageClass: 'GLACIER', isRestored: true })
    expect(await world.run()).toEqual([])
    expect(await world.manifests()).toMatchObject([{ state: 'protected', source: { storageClass: 'GLACIER' } }])
  })

  it('does not take an order for another version as an attempt at the one that is there', async () => {
    const world = createWorld({ versioning: 'unversioned' })
    const object = world.publish(key, noise(5), { quiet: true })
    const order = { lifeboat: 1, kind: 'plan', bucket: bucketName, key, attempt: 1, traceId: '0'.repeat(32) }
    await receiveMessage(world.deps, JSON.stringify(order))
    expect(world.rows()).toMatchObject([{ attempt: 0, source: { etag: object.etag } }])
  })

  it.each([new UnavailableError('503'), new DeniedError('403')])('throws what the source throws: %s', async (error) => {
    const world = createWorld()
    const object = world.publish(key, noise(5), { quiet: true })
    world.deps.source.head = async () => {
      throw error
    }
    await expect(receiveMessage(world.deps, eventOf(object))).rejects.toBe(error)
    expect(await world.failures()).toEqual([])
  })

  it('gives up for now on an object that changes faster than it is planned', async () => {
    const world = createWorld({ versioning: 'unversioned' })
    const object = world.publish('llama/v1/m.safetensors', noise(5), { quiet: true })
    const real = { ...world.deps.source }
    world.deps.source.head = async (ref) => {
      const found = await real.head(ref)
      world.tick(1000)
      world.source.put(bucketName, object.key, noise(5, world.now() / 1000))
      return found
    }
    await expect(receiveMessage(world.deps, eventOf(object))).rejects.toThrow(UnavailableError)
  })

  it('handles every record although one fails', async () => {
    const world = createWorld()
    const objects = ['a', 'b', 'c'].map((name) => world.publish(name, noise(5), { quiet: true }))
    const real = { ...world.deps.source }
    world.deps.source.head = async (ref) => {
      if (ref.key === 'b') throw new UnavailableError('503')
      return real.head(ref)
    }
    const records = objects.map((object) => ({
      eventName: 'ObjectCreated:Put',
      eventTime: '2026-01-01T00:00:00Z',
      s3: { bucket: { name: bucketName }, object: { key: object.key, versionId: object.versionId } },
    }))
    await expect(receiveMessage(world.deps, JSON.stringify({ Records: records }))).rejects.toThrow('503')
    expect(world.rows().map(({ source }) => source.key)).toEqual(['a', 'c'])
  })
})
