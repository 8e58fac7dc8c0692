import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { toArray } from '../../shared/bounded.ts'
import type { PutOptions } from '../../shared/clouds/memory/source.ts'
import type { ReleaseManifest } from '../../shared/weights/manifest.ts'
import { digestMessageSchema } from '../../shared/weights/messages.ts'
import { ample, bucketName, createWorld, noise, type World } from '../support/weights-world.ts'
import { work } from '../../shared/weights/work.ts'

const MINUTE_MS = 60_000
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')
const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value))
const prefix = 'llama/v1/'

const put = (world: World, path: string, body: Uint8Array, options: PutOptions = {}) =>
  world.publish(prefix + path, body, options)
const membersOf = (release: ReleaseManifest | undefined) =>
  release?.members.map(({ path, version }) => `${path} ${version}`)
/** In the order in which they were found. */
const reasons = async (world: World): Promise<string[]> =>
  (await world.waits()).toSorted((a, b) => (a.at < b.at ? -1 : 1)).map(({ reason }) => reason)
const shard = (index: number): string => `model-0000${index}-of-00002.safetensors`
const index = json({ metadata: {}, weight_map: { a: shard(1), b: shard(2), c: shard(1) } })
/** What is published later has a later second. */
const step = (world: World): void => world.tick(5000)
/** Sweeps after all that waits for time has had it. */
const settle = async (world: World, minutes = 2): Promise<void> => {
  for (let minute = 0; minute < minutes; minute += 1) {
    world.tick(MINUTE_MS)
    await world.sweep()
    await world.run()
  }
}

const publishShards = (world: World, seed: number): (string | undefined)[] =>
  [1, 2].map((number) => put(world, shard(number), noise(50 + number, seed)).versionId)

describe('_PUBLISH.json', () => {
  it.each([
    ['before', 0],
    ['between', 1],
    ['after', 2],
  ])('seals its release when all it names is sealed, though the list comes %s', async (_when, position) => {
    const world = createWorld()
    const files = { 'a.bin': noise(50, 1), 'sub/b.bin': noise(60, 2) }
    const list = Object.entries(files).map(([key, body]) => ({ key, size: body.length, sha256: sha256(body) }))
    const all: [string, Uint8Array][] = Object.entries(files)
    all.splice(position, 0, ['_PUBLISH.json', json({ files: list })])
    for (const [path, body] of all) {
      expect(await world.releases()).toEqual([])
      put(world, path, body)
      expect(await world.run()).toEqual([])
      step(world)
    }
    const [release, ...others] = await world.releases()
    expect(others).toEqual([])
    expect(release).toMatchObject({ completeness: 'exact', model: 'llama', version: 'v1', state: 'protected' })
    expect(release!.members.map(({ path }) => path)).toEqual(['a.bin', 'sub/b.bin'])
    expect(release!.parent).toBeNull()
    const manifests = await world.manifests()
    for (const member of release!.members) {
      const manifest = manifests.find(({ source }) => source.key === member.key)!
      expect(member).toMatchObject({ version: manifest.source.version, planId: manifest.planId, size: manifest.size })
      expect(member.manifestDigest).toBe(`sha256:${sha256((await world.store.read(member.manifest))!)}`)
    }
  })

  it('reads the SHA-256 of files of several segments again, each once, while it is evaluated again and again', async () => {
    const world = createWorld({ segmentBytesMax: 40 })
    const files = [noise(100, 1), noise(110, 2), noise(120, 3)]
    for (const [number, body] of files.entries()) put(world, `${number}.bin`, body)
    await world.run()
    const list = files.map((body, number) => ({ key: `${number}.bin`, size: body.length, sha256: sha256(body) }))
    put(world, '_PUBLISH.json', json({ files: list }))
    while (world.objectsQueue.messages.length > 0 || world.ready.length > 0) {
      const held = world.workQueue.messages.splice(0)
      const digests = held.filter((text) => text.includes('"digest"'))
      world.workQueue.messages.push(...held.filter((text) => !digests.includes(text)))
      await world.run()
      world.workQueue.messages.push(...digests)
      if (digests.length > 0) break
    }
    await world.run()
    expect(world.telemetry.total('BytesReadAgain')).toBe(330)
    expect(await world.releases()).toMatchObject([{ completeness: 'exact' }])
  })

  it('asks for a pass once in half an hour, however often it is evaluated', async () => {
    const world = createWorld({ segmentBytesMax: 40 })
    const body = noise(100)
    put(world, 'a.bin', body)
    await world.run()
    put(world, '_PUBLISH.json', json({ files: [{ key: 'a.bin', size: 100, sha256: sha256(body) }] }))
    const asked: string[] = []
    const real = { ...world.workQueue }
    world.deps.workQueue.send = async (messages) => {
      const all = [...(messages as Iterable<{ kind: string }>)]
      asked.push(...all.filter(({ kind }) => kind === 'digest').map((message) => JSON.stringify(message)))
      return real.send(all.filter(({ kind }) => kind !== 'digest') as never)
    }
    await world.run()
    await settle(world, 20)
    expect(asked).toHaveLength(1)
    expect(await reasons(world)).toContain('the SHA-256 of llama/v1/a.bin is being read')
    await settle(world, 12)
    expect(asked).toHaveLength(2)
    const message = digestMessageSchema.parse(JSON.parse(asked[0]!))
    world.deps.workQueue.send = real.send
    await work(world.deps, JSON.stringify(message), ample)
    await world.run()
    expect(await world.releases()).toHaveLength(1)
  })

  it('names a version by its id, or by its CRC64NVME', async () => {
    const world = createWorld()
    const first = put(world, 'a.bin', noise(50, 1))
    const other = put(world, 'b.bin', noise(60, 2))
    step(world)
    put(world, 'a.bin', noise(50, 3))
    put(world, 'b.bin', noise(60, 4))
    step(world)
    const list = [
      { key: 'a.bin', size: 50, versionId: first.versionId },
      { key: 'b.bin', size: 60, crc64nvme: other.checksums[0]!.value },
    ]
    put(world, '_PUBLISH.json', json({ files: list }))
    await world.run()
    expect(membersOf((await world.releases())[0])).toEqual([`a.bin ${first.versionId}`, `b.bin ${other.versionId}`])
  })

  it.each([
    ['another size', { size: 51 }],
    ['another SHA-256', { sha256: sha256(noise(50, 9)) }],
    ['another version', { versionId: 'v99999999' }],
    ['another CRC64NVME', { sha256: undefined, crc64nvme: 'AAAAAAAAAAA=' }],
    ['another key', { key: 'b.bin' }],
  ])('waits, with the reason, where it names %s', async (_what, wrong) => {
    const world = createWorld()
    put(world, 'a.bin', noise(50))
    const entry = { key: 'a.bin', size: 50, sha256: sha256(noise(50)), ...wrong }
    put(world, '_PUBLISH.json', json({ files: [entry] }))
    await world.run()
    await settle(world, 90)
    expect(await world.releases()).toEqual([])
    const found = await reasons(world)
    expect(found.at(-1)).toContain('_PUBLISH.json lists')
    expect(await toArray(world.deps.releases.open())).toMatchObject([{ waiting: found.at(-1) }])
  })

  it.each([
    ['no JSON', Buffer.from('not json')],
    ['no list', json({})],
    ['an empty list', json({ files: [] })],
    ['an entry that identifies nothing', json({ files: [{ key: 'a.bin', size: 5 }] })],
    ['a bad digest', json({ files: [{ key: 'a.bin', size: 5, sha256: 'xyz' }] })],
  ])('waits where it is wrong: %s, and keeps nothing else from its work', async (_what, body) => {
    const world = createWorld()
    put(world, '_PUBLISH.json', body)
    await world.run()
    const object = put(world, 'a.bin', noise(5))
    world.announce(object, 3)
    expect(await world.run()).toEqual([])
    expect(await world.releases()).toEqual([])
    expect(await world.sweep()).toMatchObject({ failed: 0 })
    const found = await reasons(world)
    expect(found.length).toBeGreaterThan(0)
    expect(found.every((reason) => reason.includes('_PUBLISH.json'))).toBe(true)
  })

  it('chooses of two equal contents the one that is in the replica', async () => {
    const world = createWorld({ versioning: 'unversioned' })
    const body = noise(50)
    const sealed = put(world, 'a.bin', body)
    await world.run()
    step(world)
    world.source.put(bucketName, `${prefix}a.bin`, body)
    put(world, '_PUBLISH.json', json({ files: [{ key: 'a.bin', size: 50, crc64nvme: sealed.checksums[0]!.value }] }))
    await world.run()
    expect(await world.releases()).toHaveLength(1)
  })
})

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

  it('waits for a superseded member and says so', async () => {
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
    expect((await reasons(world)).some((reason) => reason.includes('superseded'))).toBe(true)
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
