import { describe, expect, it } from 'vitest'
import { traceIdOf, versionOf } from '../../shared/weights/identity.ts'
import { bucketName, createWorld, noise } from '../support/weights-world.ts'

const key = 'llama/v1/model.bin'

describe('versionOf', () => {
  it('is the version id where there is one', () => {
    expect(versionOf({ versionId: 'abc', lastModified: 0, etag: 'e' })).toBe('abc')
  })

  it('is the time to the second and the ETag where there is none', () => {
    expect(versionOf({ lastModified: Date.UTC(2026, 0, 2, 3, 4, 5, 678), etag: 'abc-2' })).toBe(
      'u-2026-01-02T03:04:05Z-abc-2',
    )
  })
})

describe('traceIdOf', () => {
  it('is 32 hex digits, and no two triples share one by where they are joined', () => {
    expect(traceIdOf('a', 'b', 'c')).toMatch(/^[0-9a-f]{32}$/)
    const ids = [
      traceIdOf('a', 'bc', 'd'),
      traceIdOf('ab', 'c', 'd'),
      traceIdOf('a', 'b', 'cd'),
      traceIdOf('a', '', 'bcd'),
    ]
    expect(new Set(ids).size).toBe(4)
  })
})

describe.each(['versioned', 'suspended', 'unversioned'] as const)('a %s bucket', (versioning) => {
  it('gives three versions for a content that is published, replaced and published again', async () => {
    const world = createWorld({ versioning })
    for (const seed of [1, 2, 1]) {
      world.publish(key, noise(100, seed))
      await world.run()
      world.tick(5000)
    }
    const manifests = await world.manifests()
    expect(manifests).toHaveLength(3)
    expect(new Set(manifests.map(({ source }) => source.version)).size).toBe(3)
    expect(manifests.every(({ source }) => source.version.startsWith('u-') === (versioning !== 'versioned'))).toBe(true)
    const newest = manifests.toSorted((a, b) => (a.source.lastModified < b.source.lastModified ? 1 : -1))[0]!
    expect(Buffer.compare(await world.restore(newest), noise(100, 1))).toBe(0)
    expect(world.names('chunks/')).toHaveLength(2)
  })

  it('plans what is there where the event came late', async () => {
    const world = createWorld({ versioning })
    const first = world.publish(key, noise(100, 1), { quiet: true })
    world.tick(5000)
    world.publish(key, noise(100, 2), { quiet: true })
    world.announce(first, 2)
    expect(await world.run()).toEqual([])
    const [manifest, ...others] = await world.manifests()
    expect(others).toEqual([])
    const expected = versioning === 'versioned' ? noise(100, 1) : noise(100, 2)
    expect(Buffer.compare(await world.restore(manifest!), expected)).toBe(0)
    expect((await world.failures()).map(({ state }) => state)).toEqual(versioning === 'versioned' ? [] : ['superseded'])
  })
})

describe('a bucket whose versioning changes', () => {
  it('tells versions with ids and the null version apart', async () => {
    const world = createWorld({ versioning: 'unversioned' })
    for (const versioning of ['unversioned', 'versioned', 'suspended'] as const) {
      world.source.setVersioning(bucketName, versioning)
      world.publish(key, noise(100))
      await world.run()
      world.tick(5000)
    }
    const versions = (await world.manifests()).map(({ source }) => source.versionId)
    expect(versions.filter((id) => id === undefined)).toHaveLength(2)
    expect(versions).toHaveLength(3)
  })
})
