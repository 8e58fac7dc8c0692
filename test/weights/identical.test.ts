import { describe, expect, it } from 'vitest'
import { DeniedError } from '../../shared/errors.ts'
import { planObject, ruleFor } from '../../shared/weights/plan.ts'
import { bucketName, createWorld, noise, safetensorsOf, type World } from '../support/weights-world.ts'

/** A rename, a copy or a re-upload that a SHA-256 of S3's proves is committed without a read. */

const KIB = 1024
const sha256 = { checksum: { algorithm: 'SHA256', type: 'FULL_OBJECT' } } as const
const byPart = { checksum: { algorithm: 'SHA256', type: 'COMPOSITE' }, partBytes: 64 * KIB } as const
const first = 'llama/v1/model.safetensors'
const second = 'llama/v2/renamed.safetensors'
const body = safetensorsOf({ a: 150 * KIB, b: 90 * KIB })

const createCounted = (options: Parameters<typeof createWorld>[0] = {}) => {
  let reads = 0
  const world = createWorld({
    segmentBytesMax: 100 * KIB,
    ...options,
    onStep: (step, when) => {
      if (step === 'source.read' && when === 'before') reads += 1
    },
  })
  return { world, readsOf: () => reads }
}
const manifestOf = async (world: World, key: string) => {
  const found = (await world.manifests()).find(({ source }) => source.key === key)
  if (!found) throw new Error(`no manifest of ${key}`)
  return found
}
/** Publishes both, one after the other, and answers how often the source was read for the second. */
const publishBoth = async (
  { world, readsOf }: ReturnType<typeof createCounted>,
  options: Parameters<World['publish']>[2],
  again: { body?: Uint8Array; options?: Parameters<World['publish']>[2]; between?: () => Promise<void> | void } = {},
): Promise<number> => {
  world.publish(first, body, options)
  expect(await world.run()).toEqual([])
  await again.between?.()
  const before = readsOf()
  world.publish(second, again.body ?? body, again.options ?? options)
  expect(await world.run()).toEqual([])
  const manifest = await manifestOf(world, second)
  expect(manifest.state).toBe('protected')
  expect(Buffer.compare(await world.restore(manifest), again.body ?? body)).toBe(0)
  return readsOf() - before
}

describe('an object whose SHA-256 is that of a protected one', () => {
  it.each([
    ['of the whole', sha256],
    ['of the same parts', byPart],
  ])('is sealed without a read, %s', async (_what, options) => {
    const counted = createCounted()
    expect(await publishBoth(counted, options)).toBe(0)
    const [one, two] = [await manifestOf(counted.world, first), await manifestOf(counted.world, second)]
    expect(two).toMatchObject({
      parts: one.parts,
      tensors: one.tensors,
      cutter: one.cutter,
      checksums: { verified: one.checksums.verified },
    })
    expect(two.checksums.sha256).toBe(one.checksums.sha256)
    expect(counted.world.rows().every(({ state }) => state === 'protected')).toBe(true)
  })

  it.each([
    ['by other parts', byPart, { options: { ...byPart, partBytes: 128 * KIB } }],
    ['with a CRC of S3s own', {}, {}],
    ['with an MD5', { checksum: null }, {}],
    ['with a SHA-1', { checksum: { algorithm: 'SHA1', type: 'FULL_OBJECT' } } as const, {}],
    ['of other bytes', sha256, { body: noise(body.length, 7) }],
  ])('is read where nothing of the kind is proved: %s', async (_what, options, again) => {
    expect(await publishBoth(createCounted(), options, again)).toBeGreaterThan(0)
  })

  it('is read where the manifest is gone or another', async () => {
    for (const damage of ['gone', 'other'] as const) {
      const counted = createCounted({ retentionDays: 0 })
      const { store } = counted.world
      const between = async (): Promise<void> => {
        const [name] = counted.world.names('objects/')
        const text = Buffer.from((await store.read(name!))!).toString()
        store.remove(name!)
        if (damage === 'other') await store.create(name!, Buffer.from(text.replace('"signatures"', '"signatures" ')))
      }
      counted.world.publish(first, body, sha256)
      expect(await counted.world.run()).toEqual([])
      await between()
      counted.world.publish(second, body, sha256)
      expect(await counted.world.run()).toEqual([])
      expect((await manifestOf(counted.world, second)).state).toBe('protected')
      expect(counted.readsOf()).toBeGreaterThan(4)
    }
  })

  it('is read where a writer that may not list is denied what is missing', async () => {
    const counted = createCounted({ retentionDays: 0 })
    const { world } = counted
    world.publish(first, body, sha256)
    expect(await world.run()).toEqual([])
    world.store.remove(world.names('objects/')[0]!)
    const { store } = world.deps
    world.deps.store = {
      ...store,
      read: async (name, options) => {
        const bytes = await store.read(name, options)
        if (!bytes) throw new DeniedError(`${name}: no storage.objects.list`)
        return bytes
      },
    }
    world.publish(second, body, sha256)
    expect(await world.run()).toEqual([])
    expect((await manifestOf(world, second)).state).toBe('protected')
  })

  it('is read while the protected one is being repaired, and not after', async () => {
    const counted = createCounted()
    const { world } = counted
    world.publish(first, body, sha256)
    expect(await world.run()).toEqual([])
    const object = (await world.deps.source.head({ bucket: bucketName, key: first }))!
    world.tick(1000)
    await planObject(world.deps, ruleFor(world.config, bucketName, first)!, object, 1, 'asked', { bodies: [] })
    const held = world.workQueue.messages.splice(0)
    const before = counted.readsOf()
    world.publish(second, body, sha256)
    expect(await world.run()).toEqual([])
    expect((await manifestOf(world, second)).state).toBe('protected')
    expect(counted.readsOf()).toBeGreaterThan(before + 1)
    world.workQueue.messages.push(...held)
    world.tick(1000)
    expect(await world.run()).toEqual([])
    const repaired = counted.readsOf()
    world.publish('llama/v3/again.safetensors', body, sha256)
    expect(await world.run()).toEqual([])
    expect(counted.readsOf()).toBe(repaired)
  })

  it('is read where the manifest goes between plan and copy', async () => {
    const { world } = createCounted({ retentionDays: 0 })
    world.publish(first, body, sha256)
    expect(await world.run()).toEqual([])
    const object = world.publish(second, body, sha256)
    const { store } = world
    const [name] = world.names('objects/')
    const queue = world.deps.workQueue
    world.deps.workQueue = {
      send: async (messages) => {
        if (store.names().includes(name!)) store.remove(name!)
        return queue.send(messages)
      },
    }
    expect(await world.run()).toEqual([])
    const row = world.rows().find(({ source }) => source.key === object.key)
    expect(row).toMatchObject({ state: 'protected', attempt: 1 })
    expect(row).not.toHaveProperty('identical')
  })

  it('has read what the replica turns out to lack, and the checksum is then computed', async () => {
    const counted = createCounted({ retentionDays: 0 })
    const { world } = counted
    let removed = ''
    const reads = await publishBoth(counted, sha256, {
      between: () => {
        removed = world.names('chunks/')[0]!
        world.store.remove(removed)
      },
    })
    expect(reads).toBeGreaterThan(0)
    expect(world.names('chunks/')).toContain(removed)
    expect(world.telemetry.total('SegmentsReopened')).toBeGreaterThan(0)
  })

  it('is refused where what had to be read after all is not what its checksum says', async () => {
    const counted = createCounted({ retentionDays: 0 })
    const { world } = counted
    world.publish(first, body, sha256)
    expect(await world.run()).toEqual([])
    world.store.remove(world.names('chunks/')[0]!)
    const other = noise(body.length, 3)
    const claimed = (await manifestOf(world, first)).checksums.verified?.value
    world.publish(second, other, { ...sha256, checksumValue: claimed! })
    expect(await world.run()).toEqual([])
    expect((await world.manifests()).map(({ source }) => source.key)).toEqual([first])
    expect(world.rows().find(({ source }) => source.key === second)?.state).toBe('refused')
  })
})
