import { describe, expect, it } from 'vitest'
import { toArray } from '../../shared/bounded.ts'
import { MINUTE_MS, prefix, put, reasons, step, settle } from '../support/release-world.ts'
import { bucketName, createWorld, noise } from '../support/weights-world.ts'

describe('a release without a marker', () => {
  it('is inferred after the quiet period, and labelled so', async () => {
    const world = createWorld()
    put(world, 'a.bin', noise(50))
    put(world, 'b.bin', noise(60))
    await world.run()
    await settle(world, 50)
    expect(await world.releases()).toEqual([])
    await settle(world, 15)
    expect(await world.releases()).toMatchObject([{ completeness: 'inferred', marker: null }])
    await settle(world, 3)
    expect(await toArray(world.deps.releases.open())).toEqual([])
    expect(await world.releases()).toHaveLength(1)
  })

  it('is not inferred while the source has something newer that is not in the replica', async () => {
    const world = createWorld()
    put(world, 'a.bin', noise(50))
    await world.run()
    world.tick(50 * MINUTE_MS)
    const lost = world.publish(`${prefix}b.bin`, noise(60), { quiet: true })
    await settle(world, 70)
    expect(await world.releases()).toEqual([])
    expect((await reasons(world)).at(-1)).toContain('b.bin')
    world.announce(lost)
    await world.run()
    await settle(world, 70)
    expect((await world.releases()).map((release) => release.members.length)).toEqual([2])
  })

  it('is inferred again for what comes after', async () => {
    const world = createWorld()
    put(world, 'a.bin', noise(50, 1))
    await world.run()
    await settle(world, 65)
    put(world, 'a.bin', noise(50, 2))
    await world.run()
    await settle(world, 65)
    expect(await world.releases()).toHaveLength(2)
  })
})

describe('releases of one model', () => {
  it('are named by time and content where the path has no version', async () => {
    const world = createWorld({ release: { path: '{model}/**' } })
    world.publish('llama/a.bin', noise(50))
    step(world)
    world.publish('llama/_SUCCESS', noise(0))
    await world.run()
    const [release] = await world.releases()
    expect(release!.model).toBe('llama')
    expect(release!.version).toMatch(/^20260101T000005Z-[0-9a-f]{8}$/)
  })

  it('name their parent and are chained, though a call died between seal and chain', async () => {
    const world = createWorld()
    const real = { ...world.deps.chain }
    let deaths = 0
    world.deps.chain.advance = async (chain, ...rest) => {
      if (chain.startsWith('release#') && deaths < 1) {
        deaths += 1
        throw new Error('killed')
      }
      return real.advance(chain, ...rest)
    }
    for (const version of ['v1', 'v2', 'v3']) {
      world.publish(`llama/${version}/a.bin`, noise(50, version.length))
      step(world)
      world.publish(`llama/${version}/_SUCCESS`, noise(0))
      await world.run()
      await settle(world)
    }
    expect(deaths).toBe(1)
    const releases = await world.releases()
    expect(releases.map(({ version, parent }) => [version, parent?.version ?? null])).toEqual([
      ['v1', null],
      ['v2', 'v1'],
      ['v3', 'v2'],
    ])
    expect(releases.map(({ previousDigest }) => previousDigest === null)).toEqual([true, false, false])
  })

  it('are evaluated again on replay, and change nothing', async () => {
    const world = createWorld()
    const object = put(world, 'a.bin', noise(50))
    step(world)
    const marker = put(world, '_SUCCESS', noise(0))
    await world.run()
    const before = await world.releases()
    world.announce(object, 3)
    world.announce(marker, 3)
    await world.run()
    await settle(world)
    expect(await world.releases()).toEqual(before)
    expect(before).toHaveLength(1)
    expect(await toArray(world.deps.releases.open())).toEqual([])
  })

  it('are sealed, not protected, where the source has no checksum of a member', async () => {
    const world = createWorld()
    put(world, 'a.bin', noise(50), { checksum: null, isEncrypted: true })
    step(world)
    put(world, '_SUCCESS', noise(0))
    await world.run()
    expect(await world.releases()).toMatchObject([{ state: 'sealed' }])
  })

  it('leave out what was deleted before the marker, and keep what was deleted after', async () => {
    const world = createWorld()
    put(world, 'gone.bin', noise(5))
    put(world, 'a.bin', noise(50))
    step(world)
    world.source.delete(bucketName, `${prefix}gone.bin`)
    step(world)
    put(world, '_SUCCESS', noise(0))
    step(world)
    world.source.delete(bucketName, `${prefix}a.bin`)
    await world.run()
    expect((await world.releases())[0]!.members.map(({ path }) => path)).toEqual(['a.bin'])
  })

  it('report a marker that was superseded', async () => {
    const world = createWorld({ versioning: 'unversioned' })
    put(world, 'a.bin', noise(5))
    step(world)
    put(world, '_SUCCESS', noise(3, 1))
    const real = { ...world.deps.source }
    let replaced = false
    world.deps.source.read = async function* late(object, start, end) {
      if (!replaced && object.key.endsWith('_SUCCESS')) {
        replaced = true
        step(world)
        world.source.put(bucketName, `${prefix}_SUCCESS`, noise(3, 2))
      }
      yield* real.read(object, start, end)
    }
    await world.run()
    await settle(world)
    expect(await reasons(world)).toContain('marker llama/v1/_SUCCESS was superseded')
    expect(await world.releases()).toHaveLength(1)
    expect(await toArray(world.deps.releases.open())).toEqual([])
  })
})
