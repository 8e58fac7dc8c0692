import { expect, it } from 'vitest'
import { createRepairer } from '../../shared/proof/repair.ts'
import { createProofWorld } from '../support/proof-world.ts'

it('asks for the object first, then forgets as many bodies as the order names, some at a time', async () => {
  const { world } = await createProofWorld()
  const { chunks, objectsQueue } = world.deps
  const steps: string[] = []
  let inFlight = 0
  let most = 0
  const forget: typeof chunks.forget = async (id) => {
    steps.push(id)
    inFlight += 1
    most = Math.max(most, inFlight)
    await new Promise((resolve) => setImmediate(resolve))
    inFlight -= 1
  }
  const named: unknown[] = []
  const send: typeof objectsQueue.send = async (messages) => {
    steps.push('sent')
    for await (const message of messages) named.push(...(message.repair?.bodies ?? []))
    return objectsQueue.send(messages)
  }
  const deps = { ...world.deps, chunks: { ...chunks, forget }, objectsQueue: { ...objectsQueue, send } }
  const { version } = world.rows().find(({ source }) => source.key === 'single.bin')!
  const bodies = Array.from({ length: 1200 }, (_, index) => index.toString(16).padStart(64, '0'))
  expect(await createRepairer(deps).object({ bucket: 'models', key: 'single.bin', version }, bodies)).toMatchObject({
    repaired: 'sent',
  })
  expect(steps).toEqual(['sent', ...bodies.slice(0, 500)])
  expect(named).toEqual(bodies.slice(0, 500))
  expect(most).toBeGreaterThan(1)
  expect(most).toBeLessThanOrEqual(32)
})
