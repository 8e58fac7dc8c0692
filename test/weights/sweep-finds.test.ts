import { describe, expect, it } from 'vitest'
import { toBytes } from '../../shared/weights/manifest.ts'
import { objectManifestName } from '../../shared/weights/names.ts'
import { receiveMessage } from '../../shared/weights/receive.ts'
import { sweep } from '../../shared/weights/sweep.ts'
import { copied, expectHealed } from '../support/pipeline-steps.ts'
import { bucketName, createWorld, noise, type World } from '../support/weights-world.ts'

const key = 'llama/v1/model.bin'
const states = (world: World) => world.rows().map(({ state }) => state)
const cancel = async (world: World): Promise<void> => {
  const { version, planId } = world.rows()[0]!
  const record = { format: 'lifeboat/cancelled', formatVersion: '1.0', cancelledAt: '2026-01-01T00:00:00Z' }
  await world.store.create(objectManifestName(bucketName, key, version, planId), toBytes(record))
}
/** Time passes, sweeps find what is due, and everything that follows is done. */
const later = async (world: World): Promise<void> => {
  for (let round = 0; round < 3; round += 1) {
    world.tick(31 * 60_000)
    await world.sweep()
    expect(await world.run()).toEqual([])
  }
}

describe('what the sweep finds', () => {
  it('commits what no trigger announced', async () => {
    const world = createWorld()
    await copied(world)
    expect(await world.sweep()).toMatchObject({ pending: 1, committed: 1, resent: 0, failed: 0, finished: true })
    expect(states(world)).toEqual(['protected'])
    expect(await world.sweep()).toMatchObject({ pending: 0, committed: 0 })
  })

  it('looks at the others where one fails', async () => {
    const world = createWorld()
    await copied(world, noise(50), 'a')
    await copied(world, noise(60), 'b')
    const real = { ...world.deps.segments }
    const { traceId } = world.rows()[0]!
    world.deps.segments.list = async function* broken(id, ...rest) {
      if (id === traceId) throw new Error('broken')
      yield* real.list(id, ...rest)
    }
    expect(await world.sweep()).toMatchObject({ pending: 2, committed: 1, failed: 1 })
    expect(states(world)).toEqual(['copying', 'protected'])
    expect(world.telemetry.lines.filter(({ level }) => level === 'error')).toMatchObject([{ fields: { traceId } }])
  })

  it('says that it did not come to the end', async () => {
    const world = createWorld()
    await copied(world)
    expect(await sweep(world.deps, { remainingMs: () => 1000 })).toMatchObject({ finished: false, committed: 0 })
  })

  it('resends nothing of a plan that is young', async () => {
    const world = createWorld()
    world.publish(key, noise(50))
    await receiveMessage(world.deps, world.objectsQueue.messages.shift()!)
    world.workQueue.messages.length = 0
    world.tick(4 * 60_000)
    expect(await world.sweep()).toMatchObject({ pending: 1, resent: 0 })
    await later(world)
    expect(states(world)).toEqual(['protected'])
  })

  it.each(['versioned', 'suspended', 'unversioned'] as const)(
    'ends a plan whose units are lost and whose version is gone from a %s bucket',
    async (versioning) => {
      const world = createWorld({ versioning })
      const object = world.publish(key, noise(50))
      await receiveMessage(world.deps, world.objectsQueue.messages.shift()!)
      world.workQueue.messages.length = 0
      world.source.delete(bucketName, key, object.versionId)
      await later(world)
      expect(states(world)).toEqual(['superseded'])
      expect((await world.failures()).map(({ state }) => state)).toContain('superseded')
    },
  )

  it('ends a cancelled plan where the same content was published again since', async () => {
    const world = createWorld({ versioning: 'unversioned' })
    await copied(world)
    world.tick(5000)
    world.publish(key, noise(100), { quiet: true })
    await cancel(world)
    await later(world)
    expect(states(world)).toEqual(['superseded', 'protected'])
  })

  it('plans a cancelled version anew', async () => {
    const world = createWorld()
    await copied(world)
    await cancel(world)
    expect(await world.sweep()).toMatchObject({ pending: 1, committed: 0, failed: 0 })
    await expectHealed(world, noise(100))
  })
})
