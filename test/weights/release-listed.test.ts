import { describe, expect, it } from 'vitest'
import { toArray } from '../../shared/bounded.ts'
import { digestMessageSchema } from '../../shared/weights/messages.ts'
import { work } from '../../shared/weights/work.ts'
import { sha256, json, prefix, put, membersOf, reasons, step, settle } from '../support/release-world.ts'
import { ample, bucketName, createWorld, noise } from '../support/weights-world.ts'

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

  it('asks for a pass once in a third of the RPO, however often it is evaluated', async () => {
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
    await settle(world, 4)
    expect(asked).toHaveLength(1)
    expect(await reasons(world)).toContain('the SHA-256 of llama/v1/a.bin is being read')
    await settle(world, 2)
    expect(asked).toHaveLength(2)
    const message = digestMessageSchema.parse(JSON.parse(asked[0]!))
    Object.assign(world.deps.workQueue, real)
    await work(world.deps, JSON.stringify(message), ample)
    await world.run()
    expect(await world.releases()).toHaveLength(1)
  })

  it('is sealed although a late commit hid from it the SHA-256 that was read', async () => {
    const world = createWorld({ segmentBytesMax: 40 })
    const body = noise(100)
    put(world, 'a.bin', body)
    await world.run()
    const [before] = await world.deps.releases.members(bucketName, prefix)
    const row = await world.deps.objects.get(before!.traceId)
    await world.deps.objects.update(row!.traceId, row!.planId, { sha256: sha256(body) })
    put(world, '_PUBLISH.json', json({ files: [{ key: 'a.bin', size: 100, sha256: sha256(body) }] }))
    await world.run()
    await settle(world, 2)
    expect(world.telemetry.total('BytesReadAgain')).toBe(0)
    expect(await world.releases()).toMatchObject([{ completeness: 'exact' }])
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
