import { createHash } from 'node:crypto'
import { expect } from 'vitest'
import { receiveMessage } from '../../shared/weights/receive.ts'
import { work } from '../../shared/weights/work.ts'
import { ample, noise, type World } from './weights-world.ts'

export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

/** Publishes, plans and copies; the trigger is taken off, so that nothing is sealed yet. */
export const copied = async (
  world: World,
  body: Uint8Array = noise(100),
  name = 'llama/v1/model.bin',
): Promise<string> => {
  world.publish(name, body)
  for (const message of world.objectsQueue.messages.splice(0)) await receiveMessage(world.deps, message)
  while (world.workQueue.messages.length > 0) await work(world.deps, world.workQueue.messages.shift()!, ample)
  return world.ready.splice(0).at(-1)!
}

/** Lets the world come to rest: one object, protected, which comes back as `body`. */
export const expectHealed = async (world: World, body: Uint8Array): Promise<void> => {
  expect(await world.run()).toEqual([])
  const manifests = await world.manifests()
  expect(manifests).toHaveLength(1)
  expect(manifests[0]).toMatchObject({ state: 'protected', size: body.length })
  expect(Buffer.compare(await world.restore(manifests[0]!), body)).toBe(0)
  expect(world.rows().every(({ state }) => state === 'protected')).toBe(true)
}
