import { describe, expect, it } from 'vitest'
import { commitObject } from '../../shared/weights/commit.ts'
import { work } from '../../shared/weights/work.ts'
import { copied, expectHealed } from '../support/pipeline-steps.ts'
import { ample, createWorld, noise } from '../support/weights-world.ts'

const KIB = 1024

describe('a commit whose bodies change under it', () => {
  it('seals nothing that it did not look at, where another call opens a segment anew and copies it meanwhile', async () => {
    const world = createWorld({ segmentBytesMax: 64 * KIB })
    const body = noise(200 * KIB)
    const traceId = await copied(world, body)
    const others = { ...world.deps }
    const { segments } = world.deps
    let lists = 0
    world.deps.segments = {
      ...segments,
      list: async function* list(...args) {
        yield* segments.list(...args)
        lists += 1
        if (lists > 1) return
        world.store.remove(world.names('chunks/')[0]!)
        world.tick(60_000)
        expect(await commitObject(others, traceId, ample)).toBe('reopened')
        await work(others, world.workQueue.messages.shift()!, ample)
      },
    }
    expect(await commitObject(world.deps, traceId, ample)).toBe('reopened')
    expect(await world.manifests()).toEqual([])
    await expectHealed(world, body)
  })

  it('heals a list of chunks whose bytes are wrong and whose stored digests are right', async () => {
    const world = createWorld({ segmentBytesMax: 64 * KIB })
    const body = noise(200 * KIB)
    const traceId = await copied(world, body)
    const name = world.names('parts/')[0]!
    const stat = (await world.store.stat(name))!
    world.store.corrupt(name, (bytes) => bytes.with(bytes.length - 1, bytes[bytes.length - 1]! ^ 1))
    expect(await world.store.stat(name)).toMatchObject({ crc32c: stat.crc32c, md5: stat.md5 })
    expect(await commitObject(world.deps, traceId, ample)).toBe('reopened')
    await expectHealed(world, body)
  })
})
