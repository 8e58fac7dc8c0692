import { afterEach, describe, expect, it, vi } from 'vitest'
import { CorruptError } from '../../shared/errors.ts'
import { readPart, storeChunk, storePart } from '../../shared/weights/store.ts'
import { createWorld, noise } from '../support/weights-world.ts'

let flips = 0
vi.mock('../../shared/weights/codec.ts', async (importOriginal) => {
  const codec = await importOriginal<typeof import('../../shared/weights/codec.ts')>()
  return {
    ...codec,
    encodeBody: (plain: Uint8Array) => {
      const encoded = codec.encodeBody(plain)
      if (flips === 0) return encoded
      flips -= 1
      const body = Uint8Array.from(encoded.body)
      body[body.length - 1] = (body[body.length - 1] ?? 0) ^ 1
      return { ...encoded, body }
    },
  }
})
afterEach(() => {
  flips = 0
})

describe('storeChunk', () => {
  it.each([
    ['raw', noise(5000)],
    ['zstd', Buffer.alloc(5000, 'abc')],
  ])('sends no %s body that cannot be read back', async (_codec, plain) => {
    const world = createWorld()
    flips = 1
    await expect(storeChunk(world.deps, plain)).rejects.toThrow(CorruptError)
    expect(world.store.names()).toEqual([])
    expect(await storeChunk(world.deps, plain)).toMatchObject({ reused: false })
  })

  it('says what was sent, stored and already there', async () => {
    const world = createWorld()
    const plain = Buffer.alloc(5000, 'abc')
    const first = await storeChunk(world.deps, plain)
    expect(first).toMatchObject({ reused: false, indexed: false, ref: { length: 5000, codec: 'zstd' } })
    expect(first.bytesSent).toBe(first.ref.storedBytes)
    const second = await storeChunk(world.deps, plain)
    expect(second).toMatchObject({ reused: true, indexed: false, ref: first.ref })
    await world.deps.chunks.record([first.ref])
    expect(await storeChunk(world.deps, plain)).toMatchObject({ reused: true, indexed: true, bytesSent: 0 })
    expect(await storeChunk(world.deps, plain, undefined, false)).toMatchObject({ reused: true, indexed: false })
  })

  it('does not believe equal size and CRC32C under the name', async () => {
    const world = createWorld()
    const plain = noise(100)
    const { ref } = await storeChunk(world.deps, plain)
    const name = world.store.names()[0]!
    const real = { ...world.store }
    world.store.corrupt(name, (body) => body.fill(7, 50))
    world.deps.store = { ...world.store, stat: async (asked) => ({ ...(await real.stat(asked))!, md5: 'forged' }) }
    const again = await storeChunk(world.deps, plain)
    expect(again.ref.name).toMatch(/^chunks\/[0-9a-f]{2}\/[0-9a-f]{64}~[0-9a-f]{16}$/)
    expect(again.ref.id).toBe(ref.id)
    expect(await world.failures()).toMatchObject([{ state: 'quarantined', name }])
  })

  it('stores under another name where the body vanished while it was compared', async () => {
    const world = createWorld()
    const plain = noise(100)
    await storeChunk(world.deps, plain)
    world.deps.store = { ...world.store, stat: async () => undefined }
    expect((await storeChunk(world.deps, plain)).ref.name).toContain('~')
  })
})

describe('readPart', () => {
  it('reads what storePart stored and refuses anything else', async () => {
    const world = createWorld()
    const plain = Buffer.from('{"a":1}')
    const { ref } = await storePart(world.deps, plain, { traceId: 't' })
    expect(Buffer.from(await readPart(world.store, ref))).toEqual(plain)
    const name = world.store.names()[0]!
    expect((await world.store.stat(name))!.metadata).toEqual({ codec: 'raw', traceId: 't' })
    await expect(readPart(world.store, { ...ref, generation: '77' })).rejects.toThrow('missing')
    world.store.corrupt(name, (body) => {
      body[body.length - 1]! ^= 1
      return body
    })
    await expect(readPart(world.store, ref)).rejects.toThrow('does not hash')
  })
})
