import { describe, expect, it } from 'vitest'
import { json, prefix, put, reasons, shard, index, step, settle, publishShards } from '../support/release-world.ts'
import { bucketName, createWorld, noise } from '../support/weights-world.ts'

describe.each(['_SUCCESS', 'MLmodel', 'DONE'])('a marker %s', (marker) => {
  const options = marker === 'DONE' ? { release: { marker } } : {}

  it('fixes the versions that were current when it was written', async () => {
    const world = createWorld(options)
    const first = put(world, 'a.bin', noise(50, 1))
    put(world, 'b.bin', noise(60, 1))
    step(world)
    put(world, marker, json({}))
    step(world)
    put(world, 'a.bin', noise(70, 2))
    put(world, 'late.bin', noise(5))
    await world.run()
    const [release, ...others] = await world.releases()
    expect(others).toEqual([])
    expect(release).toMatchObject({ completeness: 'marker', marker: { key: prefix + marker } })
    const paths = marker === 'MLmodel' ? ['MLmodel', 'a.bin', 'b.bin'] : ['a.bin', 'b.bin']
    expect(release!.members.map(({ path }) => path)).toEqual(paths)
    expect(release!.members.find(({ path }) => path === 'a.bin')!.version).toBe(first.versionId)
  })

  it('never mixes two publishes over the same keys', async () => {
    const world = createWorld(options)
    const published = [1, 2].map((seed) => {
      const versions = ['a.bin', 'b.bin'].map((path) => put(world, path, noise(50, seed)).versionId)
      step(world)
      put(world, marker, json({ seed }))
      step(world)
      return versions
    })
    await world.run({ pick: () => 0.99 })
    const releases = (await world.releases()).toSorted((a, b) => (a.publishedAt < b.publishedAt ? -1 : 1))
    expect(releases).toHaveLength(2)
    for (const [number, release] of releases.entries())
      expect(release.members.filter(({ path }) => path.endsWith('.bin')).map(({ version }) => version)).toEqual(
        published[number],
      )
  })

  it('waits for a member that no event announced, and takes it in when it comes', async () => {
    const world = createWorld(options)
    put(world, 'a.bin', noise(50))
    const lost = world.publish(`${prefix}b.bin`, noise(60), { quiet: true })
    step(world)
    put(world, marker, json({}))
    await world.run()
    await settle(world)
    expect(await world.releases()).toEqual([])
    expect((await reasons(world)).at(-1)).toContain('b.bin')
    world.announce(lost)
    await world.run()
    expect(await world.releases()).toHaveLength(1)
  })

  it('is ambiguous where a version came in the very second of the marker', async () => {
    const world = createWorld(options)
    put(world, 'a.bin', noise(50, 1))
    step(world)
    put(world, 'a.bin', noise(50, 2))
    put(world, marker, json({}))
    await world.run()
    await settle(world, 90)
    expect(await world.releases()).toEqual([])
    expect((await reasons(world)).at(-1)).toContain('ambiguous')
  })

  it('is ambiguous where two contents of a key came in one second, and not where one came twice', async () => {
    for (const [seed, releases] of [
      [2, 0],
      [1, 1],
    ] as const) {
      const world = createWorld(options)
      put(world, 'a.bin', noise(50, 1))
      put(world, 'a.bin', noise(50, seed))
      step(world)
      put(world, marker, json({}))
      await world.run()
      await settle(world)
      expect(await world.releases()).toHaveLength(releases)
    }
  })

  it('is ambiguous where a bucket without versions may have had a content that nobody saw', async () => {
    const world = createWorld({ ...options, versioning: 'unversioned' })
    put(world, 'a.bin', noise(50, 1))
    await world.run()
    step(world)
    world.source.put(bucketName, `${prefix}a.bin`, noise(50, 2))
    step(world)
    put(world, marker, json({}))
    step(world)
    put(world, 'a.bin', noise(50, 3))
    await world.run()
    await settle(world)
    expect(await world.releases()).toEqual([])
    expect((await reasons(world)).at(-1)).toContain('replaced after the release was marked')
  })

  it('waits for a member that was replaced before it was copied, and says so', async () => {
    const world = createWorld({ ...options, versioning: 'unversioned' })
    put(world, 'a.bin', noise(50, 1))
    step(world)
    put(world, marker, json({}))
    step(world)
    const real = { ...world.deps.source }
    let replaced = false
    world.deps.source.read = async function* late(object, start, end) {
      if (!replaced && object.key.endsWith('a.bin')) {
        replaced = true
        world.source.put(bucketName, `${prefix}a.bin`, noise(50, 2))
      }
      yield* real.read(object, start, end)
    }
    await world.run()
    await settle(world)
    const markers = (await world.releases()).filter(({ completeness }) => completeness === 'marker')
    expect(markers).toEqual([])
    expect((await reasons(world)).at(-1)).toMatch(/replaced after the release was marked|was superseded/)
  })

  it('is empty without objects, and waits', async () => {
    const world = createWorld(options)
    put(world, marker, json({}))
    await world.run()
    // An MLmodel is a file of the model, the others say something about it.
    expect([(await world.releases()).length, await reasons(world)]).toEqual(
      marker === 'MLmodel' ? [1, []] : [0, ['no object was there when the marker was written']],
    )
  })
})

describe('an index of shards', () => {
  it.each(['before', 'after'])(
    'seals when its shards are there and have settled, though it came %s them',
    async (when) => {
      const world = createWorld()
      if (when === 'before') put(world, 'model.safetensors.index.json', index)
      step(world)
      publishShards(world, 1)
      step(world)
      if (when === 'after') put(world, 'model.safetensors.index.json', index)
      await world.run()
      expect(await world.releases()).toEqual([])
      expect((await reasons(world)).at(-1)).toContain('settleSeconds')
      put(world, 'config.json', json({}))
      await world.run()
      await settle(world)
      const [release] = await world.releases()
      expect(release).toMatchObject({ completeness: 'index' })
      expect(release!.members.map(({ path }) => path)).toContain(shard(2))
      expect(release!.members.map(({ path }) => path)).toContain('model.safetensors.index.json')
    },
  )

  it('waits for a shard that is not there', async () => {
    const world = createWorld()
    put(world, shard(1), noise(50))
    put(world, 'model.safetensors.index.json', index)
    await world.run()
    await settle(world, 90)
    expect(await world.releases()).toEqual([])
    expect((await reasons(world)).at(-1)).toContain(shard(2))
  })

  it('seals two publishes of shards and index alone, each with its own', async () => {
    const world = createWorld()
    const published = [1, 2].map((seed) => {
      const versions = publishShards(world, seed)
      step(world)
      put(world, 'model.safetensors.index.json', index)
      step(world)
      return versions
    })
    await world.run()
    await settle(world)
    const releases = (await world.releases()).toSorted((a, b) => (a.publishedAt < b.publishedAt ? -1 : 1))
    expect(releases).toHaveLength(2)
    for (const [number, release] of releases.entries())
      expect(release.members.slice(0, 2).map(({ version }) => version)).toEqual(published[number])
  })

  it('never mixes a new index with the shards of the publish before', async () => {
    const world = createWorld()
    publishShards(world, 1)
    step(world)
    put(world, 'model.safetensors.index.json', index)
    await world.run()
    await settle(world)
    expect(await world.releases()).toHaveLength(1)
    put(world, 'model.safetensors.index.json', index)
    await world.run()
    await settle(world, 5)
    expect(await world.releases()).toHaveLength(1)
    expect((await reasons(world)).at(-1)).toContain('ambiguous')
    publishShards(world, 2)
    await world.run()
    await settle(world, 5)
    expect(await world.releases()).toHaveLength(1)
  })

  it('waits where it has no weight map', async () => {
    const world = createWorld()
    put(world, 'vocab.index.json', json({ a: 1 }))
    expect(await world.run()).toEqual([])
    expect((await reasons(world)).at(-1)).toContain('weight_map')
  })
})
