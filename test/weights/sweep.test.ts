import { describe, expect, it } from 'vitest'
import { receiveMessage } from '../../shared/weights/receive.ts'
import { sweep } from '../../shared/weights/sweep.ts'
import { bucketName, createWorld, noise, type World } from '../support/weights-world.ts'

const key = 'llama/v1/a.bin'

/** Plans what was published and loses the messages of its segments. */
const planAndLose = async (world: World): Promise<void> => {
  for (const message of world.objectsQueue.messages.splice(0)) await receiveMessage(world.deps, message)
  world.workQueue.messages.length = 0
}
const sweepLater = async (world: World): Promise<void> => {
  for (let times = 0; times < 2; times += 1) {
    world.tick(31 * 60_000)
    await world.sweep()
    await world.run()
  }
}
const states = (world: World): string[] => world.rows().map(({ state }) => state)

describe('sweep', () => {
  it('sends the lost units of a plan again', async () => {
    const world = createWorld()
    world.publish(key, noise(20))
    await planAndLose(world)
    await sweepLater(world)
    expect(states(world)).toEqual(['protected'])
  })

  it('leaves a plan alone that goes on, and pauses twice as long after each time that it sent it again', async () => {
    const world = createWorld()
    world.publish(key, noise(20))
    await planAndLose(world)
    const resentAfter = async (minutes: number): Promise<number> => {
      world.tick(minutes * 60_000)
      const { resent } = await world.sweep()
      world.objectsQueue.messages.length = 0
      return resent
    }
    expect(await resentAfter(6)).toBe(1)
    expect(await resentAfter(6)).toBe(0)
    expect(await resentAfter(6)).toBe(1)
    const [row] = world.rows()
    await world.deps.objects.update(row!.traceId, row!.planId, { left: row!.left + 1 })
    expect(await resentAfter(60)).toBe(0)
    expect(await resentAfter(60)).toBe(1)
  })

  it('ends a plan whose version is gone', async () => {
    const world = createWorld()
    const { versionId } = world.publish(key, noise(20))
    await planAndLose(world)
    world.source.delete(bucketName, key, versionId)
    await sweepLater(world)
    expect(states(world)).toEqual(['superseded'])
  })

  it('ends a plan whose object was replaced in a bucket without versions', async () => {
    const world = createWorld({ versioning: 'unversioned' })
    world.publish(key, noise(20))
    await planAndLose(world)
    world.tick(5000)
    world.publish(key, noise(20, 2), { quiet: true })
    await sweepLater(world)
    expect(states(world)).toEqual(['superseded', 'protected'])
  })

  it('leaves half of its time to releases, however many objects are open', async () => {
    const world = createWorld()
    for (let index = 0; index < 20; index += 1) world.publish(`llama/v2/${index}`, noise(5, index))
    await planAndLose(world)
    world.publish(key, noise(20))
    await world.run()
    world.tick(61 * 60_000)
    let remainingMs = 300_000
    const real = { ...world.deps.objects }
    world.deps.objects = {
      ...world.deps.objects,
      pending: async function* slowly() {
        for await (const row of real.pending()) {
          remainingMs -= 30_000
          yield row
        }
      },
    }
    const swept = await sweep(world.deps, { remainingMs: () => remainingMs })
    expect(swept).toMatchObject({ finished: false, releases: 2 })
    expect((await world.releases()).map(({ completeness }) => completeness)).toEqual(['inferred'])
  })
})
