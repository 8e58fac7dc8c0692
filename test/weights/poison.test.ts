import { describe, expect, it } from 'vitest'
import { encodeBodyHeader } from '../../shared/weights/body.ts'
import { copied, expectHealed, sha256 } from '../support/pipeline-steps.ts'
import { createWorld, noise } from '../support/weights-world.ts'

const key = 'llama/v1/model.bin'

describe('a body under a wrong name', () => {
  const poisons: [string, Uint8Array][] = [
    ['noise', noise(500, 7)],
    ['another chunk', Buffer.concat([encodeBodyHeader({ codec: 'raw', plainLength: 100 }), noise(100, 8)])],
    ['a body of a newer format', Buffer.from('LBC2....................')],
    ['a body of an unknown codec', Buffer.concat([Buffer.from('LBC1'), Buffer.from([9, 0, 0, 0]), Buffer.alloc(8)])],
    ['a bomb', Buffer.concat([encodeBodyHeader({ codec: 'zstd', plainLength: 2 ** 40 }), noise(9)])],
    ['nothing', new Uint8Array()],
  ]

  it.each(poisons)(
    '%s: the chunk is quarantined, kept under another name, and the object sealed',
    async (_what, poison) => {
      const world = createWorld()
      const body = noise(100)
      const id = sha256(body)
      await world.store.create(`chunks/${id.slice(0, 2)}/${id}`, poison)
      world.publish(key, body)
      await expectHealed(world, body)
      expect(await world.failures()).toMatchObject([{ state: 'quarantined', name: `chunks/${id.slice(0, 2)}/${id}` }])
      expect(world.names('chunks/')).toHaveLength(2)
      // The next one believes the index, which names the true body.
      world.publish('llama/v2/model.bin', body)
      await world.run()
      expect(world.names('chunks/')).toHaveLength(2)
    },
  )

  it.each(poisons)('%s: the part is quarantined and kept under another name', async (_what, poison) => {
    const probe = createWorld()
    const body = noise(100)
    await copied(probe, body)
    const [part] = probe.names('parts/')
    // The same history, but for the poison, gives the same part.
    const poisoned = createWorld()
    let first = true
    poisoned.deps.store = {
      ...poisoned.store,
      create: async (name, ...rest) => {
        if (first && name === part) {
          first = false
          await poisoned.store.create(name, poison)
        }
        return poisoned.store.create(name, ...rest)
      },
    }
    poisoned.publish(key, body)
    await expectHealed(poisoned, body)
    expect(first).toBe(false)
    expect(await poisoned.failures()).toMatchObject([{ state: 'quarantined', name: part }])
  })

  it('is believed where it is the very chunk in another encoding', async () => {
    const world = createWorld()
    const body = Buffer.alloc(5000, 'compressible')
    const id = sha256(body)
    await world.store.create(
      `chunks/${id.slice(0, 2)}/${id}`,
      Buffer.concat([encodeBodyHeader({ codec: 'raw', plainLength: 5000 }), body]),
    )
    world.publish(key, body)
    await expectHealed(world, body)
    expect(world.names('chunks/')).toHaveLength(1)
    expect(await world.failures()).toEqual([])
  })
})

describe('an index that lies', () => {
  it('is compared, not believed, once a body that it names is missing', async () => {
    const world = createWorld()
    const body = noise(100)
    const id = sha256(body)
    await world.deps.chunks.record([
      { id: `sha256:${id}`, length: 100, codec: 'raw', base: null, storedBytes: 116, crc32c: 1, generation: '999' },
    ])
    world.publish(key, body)
    await expectHealed(world, body)
    expect(world.telemetry.total('SegmentsReopened')).toBe(1)
    expect((await world.deps.chunks.lookup(id))!.generation).not.toBe('999')
  })
})
