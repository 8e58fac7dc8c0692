import { describe, expect, it } from 'vitest'
import { SupersededError, UnavailableError } from '../../shared/errors.ts'
import { copySegment } from '../../shared/weights/copy.ts'
import { type SegmentMessage, segmentMessageSchema } from '../../shared/weights/messages.ts'
import { chunkName } from '../../shared/weights/names.ts'
import { work } from '../../shared/weights/work.ts'
import { ample, bucketName, createWorld, noise, safetensorsOf, type World } from '../support/weights-world.ts'
import { receiveMessage } from '../../shared/weights/receive.ts'

const KIB = 1024
const MIB = 1024 * KIB
const key = 'llama/v1/model.bin'

/** Publishes and plans; answers the segments' messages, taken off the queue. */
const planned = async (world: World, body = noise(100), name = key): Promise<SegmentMessage[]> => {
  world.publish(name, body)
  for (const message of world.objectsQueue.messages.splice(0)) await receiveMessage(world.deps, message)
  return world.workQueue.messages.splice(0).map((text) => segmentMessageSchema.parse(JSON.parse(text)))
}
const chunkNames = (world: World): string[] => world.store.names().filter((name) => name.startsWith('chunks/'))

describe('copySegment', () => {
  it('stores the chunks, lists them in a part and counts the segment down once', async () => {
    const world = createWorld()
    const body = noise(5 * MIB)
    const [message] = await planned(world, body)
    expect(await copySegment(world.deps, message!, ample)).toBe('copied')
    expect(await copySegment(world.deps, message!, ample)).toBe('already')
    expect(world.rows()[0]).toMatchObject({ left: 0 })
    const row = await world.deps.segments.get(message!.traceId, message!.planId, 0)
    expect(row?.parts).toMatchObject([{ kind: 'chunks', offset: 0, size: 5 * MIB }])
    expect(row?.parts[0]?.chunks).toBe(chunkNames(world).length)
    expect(row?.parts[0]?.chunks).toBeGreaterThan(1)
    expect(row).toMatchObject({ bytesReused: 0 })
    expect(row!.bytesSent).toBeGreaterThan(5 * MIB)
  })

  it('sends nothing of what the replica has, in another file or version', async () => {
    const world = createWorld()
    const body = noise(3 * MIB)
    const [first] = await planned(world, body)
    await copySegment(world.deps, first!, ample)
    const before = chunkNames(world)
    const [second] = await planned(world, body, 'llama/v2/renamed.bin')
    await copySegment(world.deps, second!, ample)
    expect(chunkNames(world)).toEqual(before)
    const row = await world.deps.segments.get(second!.traceId, second!.planId, 0)
    expect(row).toMatchObject({ bytesSent: 0, bytesReused: 3 * MIB })
  })

  it('stores a chunk that appears many times in one segment once', async () => {
    const world = createWorld()
    const [message] = await planned(world, Buffer.alloc(20 * MIB))
    await copySegment(world.deps, message!, ample)
    expect(chunkNames(world).length).toBeLessThanOrEqual(2)
    expect(world.rows()[0]).toMatchObject({ left: 0 })
  })

  it('hands on what the deadline leaves and ends with the same chunks', async () => {
    const [whole, cut] = [createWorld(), createWorld()]
    const body = safetensorsOf({ a: 3 * MIB, b: 2 * MIB, c: 300, d: 5 * MIB })
    for (const world of [whole, cut]) world.publish('llama/v1/model.safetensors', body)
    expect(await whole.run()).toEqual([])
    expect(await cut.run({ deadline: { remainingMs: () => 0 } })).toEqual([])
    const continued = cut.telemetry.lines.filter(({ message }) => message === 'segment continued')
    expect(continued.length).toBeGreaterThan(3)
    expect(chunkNames(cut)).toEqual(chunkNames(whole))
    await cut.run()
    for (const { traceId } of cut.rows()) cut.ready.push(traceId)
    await cut.run()
    const [manifest] = await cut.manifests()
    expect(manifest).toMatchObject({ state: 'protected', checksums: { verified: { algorithm: 'CRC64NVME' } } })
    expect(Buffer.compare(await cut.restore(manifest!), body)).toBe(0)
  })

  it('ends a segment after three minutes of its own, whatever the function has left', async () => {
    let now = Date.UTC(2026, 0, 1)
    const world = createWorld({ onStep: (step) => void (step === 'store.create' && (now += 200_000)) })
    const [message] = await planned(world, noise(12 * MIB))
    const deps = { ...world.deps, clock: { now: () => now } }
    expect(await copySegment(deps, message!, ample)).toBe('continued')
    expect(world.workQueue.messages).toHaveLength(1)
    const rest = segmentMessageSchema.parse(JSON.parse(world.workQueue.messages[0]!))
    expect(rest.done!.position).toBeGreaterThan(0)
    expect(rest.done!.position).toBeLessThan(12 * MIB)
  })

  it('does nothing for a plan that was replaced or an object that is not known', async () => {
    const world = createWorld()
    const [message] = await planned(world)
    expect(await copySegment(world.deps, { ...message!, planId: 'other' }, ample)).toBe('stale')
    expect(await copySegment(world.deps, { ...message!, traceId: 'other' }, ample)).toBe('stale')
    expect(chunkNames(world)).toEqual([])
    expect(world.rows()[0]).toMatchObject({ left: 1 })
  })

  it('ends an overwritten object as superseded, and plans the current one at once', async () => {
    const world = createWorld({ versioning: 'unversioned' })
    const [message] = await planned(world, noise(100, 1))
    world.tick(2000)
    world.source.put(bucketName, key, noise(100, 2))
    expect(await copySegment(world.deps, message!, ample)).toBe('superseded')
    expect(world.rows()[0]).toMatchObject({ state: 'superseded' })
    expect(await world.failures()).toMatchObject([{ state: 'superseded', bucket: bucketName, key }])
    expect(await world.run()).toEqual([])
    const [manifest, ...others] = await world.manifests()
    expect(others).toEqual([])
    expect(Buffer.compare(await world.restore(manifest!), noise(100, 2))).toBe(0)
    expect(
      world
        .rows()
        .map(({ state }) => state)
        .toSorted(),
    ).toEqual(['protected', 'superseded'])
  })

  it('plans the current object at once where it was replaced while it was planned', async () => {
    const world = createWorld({ versioning: 'unversioned' })
    const object = world.publish('llama/v1/model.safetensors', safetensorsOf({ a: 10 }, 1))
    const real = { ...world.deps.source }
    let heads = 0
    world.deps.source.head = async (ref) => {
      const found = await real.head(ref)
      heads += 1
      if (heads === 1) {
        world.tick(2000)
        world.source.put(bucketName, object.key, safetensorsOf({ a: 10 }, 2))
      }
      return found
    }
    expect(await world.run()).toEqual([])
    expect(await world.manifests()).toHaveLength(1)
    expect(await world.failures()).toMatchObject([{ state: 'superseded' }])
  })

  it('lets a late duplicate that finds the version gone not undo the seal', async () => {
    const world = createWorld({ versioning: 'unversioned', segmentBytesMax: 50 })
    const [first, second] = await planned(world, noise(100))
    const real = { ...world.deps.source }
    world.deps.source.read = async function* late(object, start, end, signal) {
      yield* real.read(object, start, end, signal)
      await world.run()
      await copySegment({ ...world.deps, source: { ...world.deps.source, ...real } }, first!, ample)
      await copySegment({ ...world.deps, source: { ...world.deps.source, ...real } }, second!, ample)
      await world.run()
      throw new SupersededError('gone by now')
    }
    expect(await copySegment(world.deps, first!, ample)).toBe('superseded')
    expect(world.rows()[0]).toMatchObject({ state: 'protected' })
    expect(await world.deps.releases.members(bucketName, 'llama/v1/')).toMatchObject([{ state: 'protected' }])
    expect((await world.failures()).map(({ state }) => state)).toEqual([])
  })

  it('compares what the index says when a body of the segment was missing', async () => {
    const world = createWorld()
    const [message] = await planned(world, noise(1000))
    await copySegment(world.deps, message!, ample)
    const [name] = chunkNames(world)
    world.store.remove(name!)
    await world.deps.segments.reopen((await world.deps.segments.get(message!.traceId, message!.planId, 0))!)
    await copySegment(world.deps, message!, ample)
    expect(chunkNames(world)).toEqual([])
    await world.deps.segments.reopen((await world.deps.segments.get(message!.traceId, message!.planId, 0))!)
    await copySegment(world.deps, { ...message!, compare: true }, ample)
    expect(chunkNames(world)).toEqual([name])
  })

  it('plans anew where the index of tensors is gone', async () => {
    const world = createWorld()
    const body = safetensorsOf({ a: 2000 })
    const [message] = await planned(world, body, 'llama/v1/model.safetensors')
    world.store.remove(world.names('parts/')[0]!)
    expect(await copySegment(world.deps, message!, ample)).toBe('replanned')
    expect(await world.run()).toEqual([])
    expect(Buffer.compare(await world.restore((await world.manifests())[0]!), body)).toBe(0)
  })

  it('leaves nothing running and loses nothing when the store fails in the middle', async () => {
    let running = 0
    const world = createWorld()
    const body = noise(9 * MIB)
    const [message] = await planned(world, body)
    const real = { ...world.deps.store }
    let creates = 0
    world.deps.store.create = async (...args) => {
      running += 1
      creates += 1
      const mine = creates
      try {
        await new Promise((resolve) => setImmediate(resolve))
        if (mine === 3) throw new UnavailableError('503')
        return await real.create(...args)
      } finally {
        running -= 1
      }
    }
    await expect(copySegment(world.deps, message!, ample)).rejects.toThrow('503')
    expect(running).toBe(0)
    expect(await copySegment(world.deps, message!, ample)).toBe('copied')
    await world.run()
    expect(Buffer.compare(await world.restore((await world.manifests())[0]!), body)).toBe(0)
  })

  it('throws what a retry cures where the stream ends early', async () => {
    const world = createWorld()
    const [message] = await planned(world, safetensorsOf({ a: 2000 }), 'llama/v1/model.safetensors')
    const real = { ...world.deps.source }
    world.deps.source.read = (object, start, end) => real.read(object, start, end - 10)
    await expect(copySegment(world.deps, message!, ample)).rejects.toThrow(UnavailableError)
    expect(world.rows()[0]).toMatchObject({ left: 1 })
  })

  it('does not count an opaque segment whose stream ended early', async () => {
    const world = createWorld()
    const [message] = await planned(world, noise(2000))
    const real = { ...world.deps.source }
    world.deps.source.read = (object, start, end) => real.read(object, start, end - 10)
    const outcome = await copySegment(world.deps, message!, ample).catch((error: unknown) => error)
    expect(outcome).not.toBe('copied')
    expect(world.rows()[0]).toMatchObject({ left: 1 })
  })
})

describe('work', () => {
  it.each(['', 'no json', '{}', '{"lifeboat":1,"kind":"segment"}', '{"lifeboat":2,"kind":"segment"}', '[]'])(
    'quarantines a message that is not of our making: %j',
    async (text) => {
      const world = createWorld()
      await work(world.deps, text, ample)
      const [failure] = await world.failures()
      expect(failure).toMatchObject({ state: 'quarantined', detail: text })
      expect(failure!.reason).toContain('malformed message')
    },
  )

  it('says what became of a segment, with its trace id', async () => {
    const world = createWorld()
    const [message] = await planned(world)
    await work(world.deps, JSON.stringify(message), ample)
    expect(world.telemetry.lines.at(-1)).toMatchObject({
      message: 'segment copied',
      fields: { traceId: message!.traceId, stage: 'copy' },
    })
    expect(world.telemetry.total('BytesRead')).toBe(100)
    expect(chunkNames(world)).toEqual([chunkName(chunkNames(world)[0]!.slice('chunks/00/'.length))])
  })
})
