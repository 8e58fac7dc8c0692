import { describe, expect, it } from 'vitest'
import { InvalidInputError } from '../../shared/errors.ts'
import { type Candidate, membersAt, membersIndexed, membersListed } from '../../shared/weights/release-rules.ts'
import { sealRelease } from '../../shared/weights/seal-release.ts'
import { createWorld, noise } from '../support/weights-world.ts'

/** Releases of many objects. */

const prefix = 'llama/v1/'
const candidate = (path: string, more: Partial<Candidate> = {}): Candidate => ({
  path,
  key: prefix + path,
  traceId: path,
  version: 'v',
  etag: 'e',
  lastModified: 1000,
  size: 1,
  deleted: false,
  state: 'protected',
  planId: 'p',
  manifestDigest: `sha256:${'0'.repeat(64)}`,
  ...more,
})
const many = Array.from({ length: 200_000 }, (_, index) => candidate(`file-${index}`))

describe('a release of more objects than a call has arguments', () => {
  it('is judged', () => {
    expect(membersAt(many, 5000).kind).toBe('members')
    const index = candidate('i.index.json', { lastModified: 2000 })
    const shards = many.map(({ path }) => path)
    expect(membersIndexed([...many, index], index, shards, { settleMs: 0 }).kind).toBe('members')
  })

  it('is not sealed as a manifest that no reader takes', async () => {
    const world = createWorld()
    const members = Array.from({ length: 50_000 }, (_, index) => candidate(`${'x'.repeat(500)}${index}`))
    await expect(
      sealRelease(
        world.deps,
        { bucket: 'models', prefix, model: 'llama', version: 'v1' },
        { members, completeness: 'marker', marker: null, publishedAt: 1000 },
      ),
    ).rejects.toThrow(InvalidInputError)
    expect(world.names('releases/')).toEqual([])
  })
})

describe('a release whose objects come one by one', () => {
  it('does not leave a record, or list the source, for each of them', async () => {
    const world = createWorld()
    let listings = 0
    const real = { ...world.source }
    world.deps.source = {
      ...world.source,
      versions: (...args) => {
        listings += 1
        return real.versions(...args)
      },
    }
    const files = Array.from({ length: 30 }, (_, index) =>
      world.publish(`${prefix}${index}`, noise(20, index), { quiet: true }),
    )
    world.tick(5000)
    world.publish(`${prefix}_SUCCESS`, noise(0))
    await world.run()
    for (const file of files) world.announce(file)
    await world.run()
    expect((await world.releases()).map(({ members }) => members.length)).toEqual([30])
    expect((await world.waits()).length).toBeLessThan(3)
    expect(listings).toBeLessThan(5)
  })
})

describe('_PUBLISH.json', () => {
  const a = candidate('a', { crc64nvme: 'x' })
  const entry = { key: 'a', size: 1, crc64nvme: 'x' }

  it('may name a key twice with the same content', () =>
    expect(membersListed([a], { files: [entry, entry] })).toEqual({ kind: 'members', members: [a] }))

  it('waits where it names two contents of a key, which no restore could write', () =>
    expect(
      membersListed([a, candidate('a', { traceId: '2', crc64nvme: 'y' })], {
        files: [entry, { ...entry, crc64nvme: 'y' }],
      }),
    ).toMatchObject({ kind: 'waiting', reason: expect.stringContaining('two contents of a') as string }))
})
