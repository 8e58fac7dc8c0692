import { describe, expect, it } from 'vitest'
import { CorruptError, DeniedError, UnavailableError } from '../../shared/errors.ts'
import { commitObject } from '../../shared/weights/commit.ts'
import { objectManifestSchema, parseRecord, toBytes } from '../../shared/weights/manifest.ts'
import { objectManifestName } from '../../shared/weights/names.ts'
import { condemnedKey } from '../../shared/weights/presence.ts'
import { receiveMessage } from '../../shared/weights/receive.ts'
import { copied, expectHealed, sha256 } from '../support/pipeline-steps.ts'
import { ample, bucketName, createWorld, noise, safetensorsOf, seeded, type World } from '../support/weights-world.ts'

const KIB = 1024
const DAY_MS = 86_400_000
const key = 'llama/v1/model.bin'

/** The SHA-256 of every sealed manifest as it is stored, by the object's version. */
const digestsOf = async (world: World): Promise<Map<string, string>> => {
  const digests = new Map<string, string>()
  for (const name of world.names('objects/')) {
    const body = (await world.store.read(name))!
    digests.set(parseRecord(objectManifestSchema, name, body).source.version, `sha256:${sha256(body)}`)
  }
  return digests
}

describe('commitObject', () => {
  it('seals what ten shuffled copies of every message announce exactly once, and creates no chunk twice', async () => {
    const created: string[] = []
    for (const seed of [1, 2, 3]) {
      const world = createWorld({ segmentBytesMax: 40, seed })
      const real = { ...world.store }
      world.store.create = async (...args) => {
        const stat = await real.create(...args)
        if (stat && args[0].startsWith('chunks/')) created.push(`${seed} ${args[0]}`)
        return stat
      }
      Object.assign(world.deps, { store: world.store })
      const random = seeded(seed)
      const objects = [world.publish(key, noise(100)), world.publish('llama/v1/other.bin', noise(130))]
      for (const object of objects) world.announce(object, 9)
      const queue = { ...world.workQueue }
      world.deps.workQueue.send = async (messages) => {
        const all = [...(messages as Iterable<never>)]
        for (let copy = 0; copy < 3; copy += 1) await queue.send(all)
        return all.length
      }
      expect(await world.run({ pick: random })).toEqual([])
      expect((await world.manifests()).map(({ size, state }) => [size, state])).toEqual([
        [100, 'protected'],
        [130, 'protected'],
      ])
      expect(world.names('pending/')).toHaveLength(2)
      expect(world.telemetry.total('ObjectsProtected')).toBe(2)
    }
    expect(new Set(created).size).toBe(created.length)
  })

  it('seals an object of no bytes', async () => {
    const world = createWorld()
    world.publish(key, noise(0))
    await expectHealed(world, noise(0))
    expect((await world.manifests())[0]).toMatchObject({ parts: [], checksums: { sha256: sha256(noise(0)) } })
  })

  it('chains the manifests of a key and numbers them upwards', async () => {
    const world = createWorld()
    for (const seed of [1, 2, 3]) {
      world.publish(key, noise(100, seed))
      await world.run()
    }
    const manifests = (await world.manifests()).toSorted((a, b) => a.sequence - b.sequence)
    expect(manifests.map(({ sequence }) => sequence)).toEqual([1, 2, 3])
    expect(manifests[0]!.previousDigest).toBeNull()
    const digests = await digestsOf(world)
    for (const [index, manifest] of manifests.slice(1).entries())
      expect(manifest.previousDigest).toBe(digests.get(manifests[index]!.source.version))
  })

  it.each([
    ['a hole', (offset: number) => offset !== 30],
    ['a missing end', (offset: number) => offset !== 90],
    ['nothing', () => false],
  ])('refuses to seal segments with %s', async (_what, keepOffset) => {
    const world = createWorld({ segmentBytesMax: 30 })
    const traceId = await copied(world)
    const real = { ...world.deps.segments }
    world.deps.segments.list = async function* partial(...args) {
      for await (const row of real.list(...args)) if (keepOffset(row.offset)) yield row
    }
    await expect(commitObject(world.deps, traceId, ample)).rejects.toThrow(CorruptError)
    expect(await world.manifests()).toEqual([])
  })

  it('refuses to seal segments that overlap', async () => {
    const world = createWorld({ segmentBytesMax: 30 })
    const traceId = await copied(world)
    const real = { ...world.deps.segments }
    world.deps.segments.list = async function* doubled(...args) {
      for await (const row of real.list(...args)) yield* row.offset === 30 ? [row, row] : [row]
    }
    await expect(commitObject(world.deps, traceId, ample)).rejects.toThrow('do not tile')
    expect(await world.manifests()).toEqual([])
  })

  it.each([
    ['chunks/', 'a missing chunk', undefined],
    ['parts/', 'a missing part', undefined],
    ['chunks/', 'another body under the name of a chunk', noise(77, 9)],
    ['parts/', 'another body under the name of a part', noise(77, 9)],
  ])('%s: reopens the segment of %s and heals it', async (folder, _what, other) => {
    const world = createWorld({ segmentBytesMax: 64 * KIB })
    const body = noise(200 * KIB)
    const traceId = await copied(world, body)
    const name = world.names(folder)[0]!
    world.store.remove(name)
    if (other) await world.store.create(name, other)
    expect(await commitObject(world.deps, traceId, ample)).toBe('reopened')
    expect(await world.manifests()).toEqual([])
    await expectHealed(world, body)
    expect(world.telemetry.total('SegmentsReopened')).toBe(1)
    expect((await world.failures()).map(({ state }) => state)).toEqual(other ? ['quarantined'] : [])
  })

  it('plans anew where the tensor index is missing', async () => {
    const world = createWorld()
    const body = safetensorsOf({ a: 1000, b: 2000 })
    const traceId = await copied(world, body, 'llama/v1/model.safetensors')
    const { id } = world.rows()[0]!.tensors[0]!
    world.store.remove(`parts/${id.slice(7, 9)}/${id.slice(7)}`)
    expect(await commitObject(world.deps, traceId, ample)).toBe('replanned')
    await expectHealed(world, body)
  })

  it('takes back the condemnation of what a manifest will name', async () => {
    const world = createWorld()
    const traceId = await copied(world)
    for (const name of [...world.names('chunks/'), ...world.names('parts/')]) {
      const stat = (await world.store.stat(name))!
      await world.store.update(stat, { metadata: { [condemnedKey]: '2026-01-01T00:00:00Z' } })
    }
    expect(await commitObject(world.deps, traceId, ample)).toBe('sealed')
    for (const name of [...world.names('chunks/'), ...world.names('parts/')])
      expect((await world.store.stat(name))!.metadata).not.toHaveProperty(condemnedKey)
  })

  it('looks again where a collector is faster, and reopens what it deleted', async () => {
    const world = createWorld()
    const body = noise(100)
    const traceId = await copied(world, body)
    const [name] = world.names('chunks/')
    const real = { ...world.store }
    let races = 0
    world.deps.store = {
      ...world.store,
      update: async (blob, change) => {
        if (blob.name === name && races < 2) {
          races += 1
          const stat = (await world.store.stat(blob.name))!
          if (races === 1) await real.update(stat, { metadata: { [condemnedKey]: 'again' } })
          else world.store.remove(blob.name)
        }
        return real.update(blob, change)
      },
    }
    expect(await commitObject(world.deps, traceId, ample)).toBe('reopened')
    expect(races).toBe(2)
    await expectHealed(world, body)
  })

  it('sets retention on all that the manifest names and on itself, and renews it on what is reused', async () => {
    const world = createWorld({ retentionDays: 30 })
    world.publish(key, noise(100))
    await world.run()
    const kept = [...world.names('chunks/'), ...world.names('parts/'), ...world.names('objects/')]
    expect(kept).toHaveLength(3)
    const untilOf = async (name: string) => (await world.store.stat(name))!.retainUntil
    for (const name of kept) expect(await untilOf(name)).toBe(world.now() + 30 * DAY_MS)
    const first = await untilOf(kept[0]!)
    world.tick(5 * DAY_MS)
    world.publish('llama/v2/model.bin', noise(100))
    await world.run()
    expect(await untilOf(kept[0]!)).toBe(first)
    world.tick(20 * DAY_MS)
    world.publish('llama/v3/model.bin', noise(100))
    await world.run()
    expect(await untilOf(kept[0]!)).toBe(world.now() + 30 * DAY_MS)
  })

  it('sets no retention where none is configured', async () => {
    const world = createWorld({ retentionDays: 0 })
    world.publish(key, noise(100))
    await world.run()
    for (const name of world.store.names()) expect((await world.store.stat(name))!.retainUntil).toBeUndefined()
  })

  it('copies anew under another plan where the collector cancelled this one', async () => {
    const world = createWorld()
    const body = noise(100)
    const traceId = await copied(world, body)
    const [row] = world.rows()
    const cancelled = { format: 'lifeboat/cancelled', formatVersion: '1.0', cancelledAt: '2026-01-01T00:00:00Z' }
    await world.store.create(objectManifestName(bucketName, key, row!.version, row!.planId), toBytes(cancelled))
    expect(await commitObject(world.deps, traceId, ample)).toBe('cancelled')
    await expectHealed(world, body)
    expect(world.rows()[0]!.planId).not.toBe(row!.planId)
  })

  it.each([key, 'lifeboat/cancelled', 'x/"lifeboat/cancelled"'])(
    'reads the manifest that an earlier call wrote before it died: %s',
    async (name) => {
      const world = createWorld()
      const traceId = await copied(world, noise(100), name)
      const real = { ...world.deps.chain }
      world.deps.chain.advance = async () => {
        throw new DeniedError('killed')
      }
      await expect(commitObject(world.deps, traceId, ample)).rejects.toThrow('killed')
      const [before] = await world.manifests()
      Object.assign(world.deps.chain, real)
      world.tick(60_000)
      expect(await commitObject(world.deps, traceId, ample)).toBe('sealed')
      expect(await world.manifests()).toEqual([before])
      const digests = await digestsOf(world)
      expect(world.rows()[0]).toMatchObject({ state: 'protected', manifestDigest: digests.get('v00000001') })
    },
  )

  it('believes nothing that is no manifest of this plan under its name', async () => {
    const world = createWorld()
    const traceId = await copied(world)
    const [row] = world.rows()
    await world.store.create(objectManifestName(bucketName, key, row!.version, row!.planId), noise(50))
    await expect(commitObject(world.deps, traceId, ample)).rejects.toThrow('objects/')
    expect(world.rows()[0]).toMatchObject({ state: 'copying' })
  })

  it('verifies in pages and goes on where the deadline stopped it', async () => {
    const world = createWorld({ segmentBytesMax: 10 })
    const traceId = await copied(world, noise(100))
    const stats: string[] = []
    const real = { ...world.store }
    world.deps.store = { ...world.store, stat: async (name) => (stats.push(name), real.stat(name)) }
    const deadline = { remainingMs: () => (stats.length < 5 ? 60_000 : 20_000) }
    expect(await commitObject(world.deps, traceId, deadline)).toBe('continued')
    expect(await world.manifests()).toEqual([])
    expect(world.rows()[0]!.cursor).toBeGreaterThan(0)
    expect(world.ready).toEqual([traceId])
    const looked = stats.length
    stats.length = 0
    await world.run()
    expect(await world.manifests()).toHaveLength(1)
    expect(stats.filter((name) => name.startsWith('chunks/')).length).toBeLessThan(10)
    expect(looked).toBeLessThan(10)
  })

  it('looks at everything again after a segment was reopened', async () => {
    const world = createWorld({ segmentBytesMax: 10 })
    const traceId = await copied(world, noise(100))
    const [row] = world.rows()
    await world.deps.objects.update(traceId, row!.planId, { cursor: 90 })
    await world.deps.segments.reopen((await world.deps.segments.get(traceId, row!.planId, 90))!)
    expect(world.rows()[0]!.cursor).toBeUndefined()
  })

  it('puts part references into index parts where there are many', async () => {
    const world = createWorld({ segmentBytesMax: 2 })
    const body = noise(1100)
    world.publish(key, body)
    await expectHealed(world, body)
    const [manifest] = await world.manifests()
    expect(manifest!.parts).toMatchObject([{ kind: 'index', offset: 0, size: 1100, chunks: 550 }])
  })

  it('seals nothing where an index part vanishes between its upload and the seal', async () => {
    const world = createWorld({ segmentBytesMax: 16 })
    const ready = await copied(world, noise(16 * 501))
    const before = new Set(world.names('parts/'))
    const real = { ...world.store }
    let removed = 0
    world.store.create = async (name, ...rest) => {
      const stat = await real.create(name, ...rest)
      if (name.startsWith('parts/') && !before.has(name) && removed === 0) {
        removed += 1
        world.store.remove(name)
      }
      return stat
    }
    await expect(commitObject(world.deps, ready, ample)).rejects.toThrow(UnavailableError)
    expect([removed, await world.manifests()]).toEqual([1, []])
    await world.sweep()
    await expectHealed(world, noise(16 * 501))
  })

  it('sends lost units again', async () => {
    const world = createWorld({ segmentBytesMax: 30 })
    const object = world.publish(key, noise(100))
    for (const message of world.objectsQueue.messages.splice(0)) await receiveMessage(world.deps, message)
    world.workQueue.messages.splice(1)
    await world.run()
    expect(await world.manifests()).toEqual([])
    expect(await world.sweep()).toMatchObject({ pending: 1, resent: 0 })
    world.tick(31 * 60_000)
    expect(await world.sweep()).toMatchObject({ pending: 1, resent: 1 })
    expect(await world.sweep()).toMatchObject({ resent: 0 })
    await expectHealed(world, noise(100))
    expect(object.size).toBe(100)
  })
})
