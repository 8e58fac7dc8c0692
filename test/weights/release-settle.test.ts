import { describe, expect, it } from 'vitest'
import { createWorld, noise, type World, type WorldOptions } from '../support/weights-world.ts'

/** What belongs to a release that is complete by its index, and what below its prefix does not. */

const prefix = 'llama/v1/'
const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value))
const index = json({ weight_map: { a: 'm1.safetensors' } })

const put = (world: World, path: string, body: Uint8Array, options: { quiet?: boolean } = {}) =>
  world.publish(prefix + path, body, options)
const paths = async (world: World): Promise<string[][]> =>
  (await world.releases()).map(({ members }) => members.map(({ path }) => path))
const settle = async (world: World, minutes = 3): Promise<void> => {
  for (let minute = 0; minute < minutes; minute += 1) {
    world.tick(60_000)
    await world.sweep()
    await world.run()
  }
}
const publishIndexed = async (options: WorldOptions = {}): Promise<World> => {
  const world = createWorld(options)
  put(world, 'm1.safetensors', noise(50))
  world.tick(5000)
  put(world, 'model.safetensors.index.json', index)
  await world.run()
  return world
}

describe('a release by its index', () => {
  it('takes in the files that follow, each within settleSeconds of the one before', async () => {
    const world = await publishIndexed()
    for (const name of ['config.json', 'tokenizer.json', 'vocab.txt']) {
      world.tick(40_000)
      put(world, name, noise(20))
      await world.run()
    }
    await settle(world)
    expect(await paths(world)).toEqual([
      ['config.json', 'm1.safetensors', 'model.safetensors.index.json', 'tokenizer.json', 'vocab.txt'],
    ])
  })

  it('waits for what follows a shard whose upload in parts began long before it ended', async () => {
    const world = createWorld()
    const shard = put(world, 'm1.safetensors', noise(50), { quiet: true })
    put(world, 'model.safetensors.index.json', index)
    await world.run()
    world.tick(300_000)
    // S3 dates it by when its upload began, and announces it when it ended.
    world.announce(shard)
    await world.run()
    expect(await paths(world)).toEqual([])
    world.tick(10_000)
    put(world, 'tokenizer.json', noise(20))
    await world.run()
    await settle(world)
    expect(await paths(world)).toEqual([['m1.safetensors', 'model.safetensors.index.json', 'tokenizer.json']])
  })

  it('leaves to the next publish what comes with it', async () => {
    const world = await publishIndexed()
    world.tick(5000)
    put(world, 'm1.safetensors', noise(50, 2))
    world.tick(5000)
    put(world, 'notes.txt', noise(5))
    world.tick(5000)
    put(world, 'model.safetensors.index.json', index)
    await world.run()
    await settle(world)
    expect(await paths(world)).toEqual(
      expect.arrayContaining([
        ['m1.safetensors', 'model.safetensors.index.json'],
        ['m1.safetensors', 'model.safetensors.index.json', 'notes.txt'],
      ]),
    )
  })

  it.each(['unversioned', 'suspended'] as const)(
    'is not sealed with a shard that replaced its own unseen (%s)',
    async (versioning) => {
      const world = createWorld({ versioning })
      put(world, 'm1.safetensors', noise(50), { quiet: true })
      world.tick(5000)
      const first = put(world, 'model.safetensors.index.json', index)
      await world.run()
      world.tick(5000)
      const shard = put(world, 'm1.safetensors', noise(50, 2), { quiet: true })
      world.tick(5000)
      put(world, 'model.safetensors.index.json', json({ weight_map: { a: 'm1.safetensors' }, metadata: {} }))
      world.announce(shard)
      await world.run()
      await settle(world)
      for (const { marker } of await world.releases()) expect(marker?.version).not.toContain(first.etag)
    },
  )
})

describe('a release by a marker', () => {
  it('does not wait for the folder that the console of S3 makes', async () => {
    const world = createWorld()
    put(world, '', noise(0))
    put(world, 'a.bin', noise(20))
    world.tick(5000)
    put(world, '_SUCCESS', noise(0))
    await world.run()
    await settle(world)
    expect(await paths(world)).toEqual([['a.bin']])
  })

  it.each(['unversioned', 'suspended'] as const)(
    'is not sealed without a file that was replaced before anybody saw it (%s)',
    async (versioning) => {
      const world = createWorld({ versioning })
      put(world, 'a.bin', noise(20, 1), { quiet: true })
      put(world, 'b.bin', noise(20, 2))
      world.tick(5000)
      put(world, '_SUCCESS', noise(0))
      world.tick(5000)
      put(world, 'a.bin', noise(20, 3))
      await world.run()
      await settle(world)
      expect(await paths(world)).toEqual([])
      expect((await world.waits()).map(({ reason }) => reason).join()).toContain('llama/v1/a.bin')
    },
  )
})
