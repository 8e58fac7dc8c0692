import { describe, expect, it } from 'vitest'
import { toArray } from '../../shared/bounded.ts'
import { UnavailableError } from '../../shared/errors.ts'
import { planIdOf } from '../../shared/weights/identity.ts'
import { parseRecord, pendingSchema, tensorsPartSchema } from '../../shared/weights/manifest.ts'
import { parsePendingName } from '../../shared/weights/names.ts'
import { planObject, releaseOf, ruleFor } from '../../shared/weights/plan.ts'
import { readPart } from '../../shared/weights/store.ts'
import { bucketName, createWorld, noise, safetensorsOf, type World } from '../support/weights-world.ts'

const KIB = 1024
const key = 'llama/v1/model.bin'

const plan = async (world: World, object = world.source.put(bucketName, key, noise(100)), attempt = 0) =>
  planObject(world.deps, ruleFor(world.config, bucketName, object.key)!, object, attempt)
const pendings = (world: World): string[] => world.store.names().filter((name) => name.startsWith('pending/'))
const header = (json: string, claimed?: bigint): Buffer => {
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(claimed ?? BigInt(json.length))
  return Buffer.concat([length, Buffer.from(json)])
}

describe('planObject', () => {
  it('writes the pending manifest before the row, and the row before any message', async () => {
    const steps: string[] = []
    const world = createWorld({ onStep: (step, when) => void (when === 'after' && steps.push(step)) })
    await plan(world)
    const order = ['store.create', 'objects.begin', 'workQueue.send'].map((step) => steps.indexOf(step))
    expect(order).toEqual(order.toSorted((a, b) => a - b))
    expect(order).not.toContain(-1)
    const [name] = pendings(world)
    expect(parsePendingName(name!)).toEqual({ version: { text: 'v00000001' }, planId: world.rows()[0]!.planId })
    const pending = parseRecord(pendingSchema, name!, (await world.store.read(name!))!)
    expect(pending).toMatchObject({ size: 100, segments: 1, source: { key, versionId: 'v00000001' } })
  })

  it('sends one message for each segment, which tile the object', async () => {
    const world = createWorld({ segmentBytesMax: 30 })
    await plan(world)
    const sent = world.workQueue.messages.map(
      (text) => JSON.parse(text) as { offset: number; size: number; index: number },
    )
    expect(sent.map(({ offset, size, index }) => [offset, size, index])).toEqual([
      [0, 30, 0],
      [30, 30, 1],
      [60, 30, 2],
      [90, 10, 3],
    ])
    expect(world.rows()[0]).toMatchObject({ left: 4, segments: 4, state: 'copying', phase: 'copy' })
  })

  it('resends the same plan whole on a redelivery and leaves the row as it is', async () => {
    const world = createWorld({ segmentBytesMax: 30 })
    const object = world.source.put(bucketName, key, noise(100))
    const first = await plan(world, object)
    const messages = world.workQueue.messages.splice(0)
    await world.deps.objects.update(first.row.traceId, first.row.planId, { nudgedAt: 5 })
    const second = await plan(world, object)
    expect([first.outcome, second.outcome]).toEqual(['planned', 'resent'])
    expect(world.workQueue.messages).toEqual(messages)
    expect(world.rows()).toHaveLength(1)
    expect(world.rows()[0]).toMatchObject({ nudgedAt: 5, planId: first.row.planId })
    expect(pendings(world)).toHaveLength(1)
  })

  it('sends nothing for an event whose plan was sent, and all of it for a redrive', async () => {
    const world = createWorld()
    const object = world.source.put(bucketName, key, noise(100))
    const rule = ruleFor(world.config, bucketName, key)!
    expect((await planObject(world.deps, rule, object, 0, 'first')).outcome).toBe('planned')
    const sent = world.workQueue.messages.length
    for (const delivery of ['first', 'again'] as const)
      expect((await planObject(world.deps, rule, object, 0, delivery)).outcome).toBe('duplicate')
    expect(world.workQueue.messages).toHaveLength(sent)
    expect((await planObject(world.deps, rule, object, 0, 'asked')).outcome).toBe('resent')
    expect(world.workQueue.messages).toHaveLength(2 * sent)
  })

  it('has an event come again whose plan another call began, and sends it where that call did not', async () => {
    const world = createWorld()
    const object = world.source.put(bucketName, key, noise(100))
    const rule = ruleFor(world.config, bucketName, key)!
    const cut = { ...world.deps, workQueue: { send: async () => Promise.reject(new UnavailableError('cut off')) } }
    await expect(planObject(cut, rule, object, 0, 'first')).rejects.toThrow('cut off')
    await expect(planObject(world.deps, rule, object, 0, 'first')).rejects.toThrow(UnavailableError)
    expect(world.workQueue.messages).toHaveLength(0)
    expect((await planObject(world.deps, rule, object, 0, 'again')).outcome).toBe('resent')
    expect(world.workQueue.messages.length).toBeGreaterThan(0)
  })

  it('replaces a plan by one of another attempt, whose segments do not count for each other', async () => {
    const world = createWorld({ segmentBytesMax: 30 })
    const object = world.source.put(bucketName, key, noise(100))
    const before = await plan(world, object)
    const [stale] = world.workQueue.messages
    const after = await plan(world, object, 1)
    expect(after.outcome).toBe('planned')
    expect(after.row.planId).not.toBe(before.row.planId)
    expect(pendings(world)).toHaveLength(2)
    world.workQueue.messages.splice(0, world.workQueue.messages.length, stale!)
    await world.run()
    expect(world.rows()[0]).toMatchObject({ planId: after.row.planId, left: 4 })
    expect(await plan(world, object, 0)).toMatchObject({ row: { planId: after.row.planId } })
  })

  it('leaves a version alone that is sealed, whatever the attempt of a late duplicate', async () => {
    const world = createWorld()
    const object = world.publish(key, noise(100))
    await world.run()
    const [manifest] = await world.manifests()
    expect(await plan(world, object)).toMatchObject({ outcome: 'already' })
    await plan(world, object, 1)
    await world.run()
    expect(world.rows()[0]).toMatchObject({ state: 'protected', planId: manifest!.planId })
    const members = await world.deps.releases.members(bucketName, 'llama/v1/')
    expect(members[0]).toMatchObject({ state: 'protected', planId: manifest!.planId })
    expect(await world.manifests()).toEqual([manifest])
    expect(pendings(world)).toHaveLength(1)
  })

  it('plans an object of no bytes, with no segments', async () => {
    const world = createWorld()
    await plan(world, world.source.put(bucketName, key, noise(0)))
    expect(world.workQueue.messages).toEqual([])
    expect(world.rows()[0]).toMatchObject({ left: 0, segments: 0 })
    expect(world.ready).toHaveLength(1)
  })

  it('cuts a safetensors file at its tensors and stores their index as a part', async () => {
    const world = createWorld({ segmentBytesMax: 300 * KIB })
    const body = safetensorsOf({ a: 200 * KIB, b: 1100 * KIB, c: 10 })
    const { row } = await plan(world, world.source.put(bucketName, 'llama/v1/model.safetensors', body))
    expect(row.warnings).toEqual([])
    expect(row.tensors).toHaveLength(1)
    const name = `parts/${row.tensors[0]!.id.slice(7, 9)}/${row.tensors[0]!.id.slice(7)}`
    const part = parseRecord(tensorsPartSchema, name, await readPart(world.store, row.tensors[0]!))
    expect(part.tensors.map((tensor) => tensor.name)).toEqual(['a', 'b', 'c'])
    expect(part.dataStart).toBe(body.length - 200 * KIB - 1100 * KIB - 10)
    const starts = world.workQueue.messages.map((text) => (JSON.parse(text) as { offset: number }).offset)
    expect(starts).toContain(part.tensors[1]!.start)
    await world.run()
    const [manifest] = await world.manifests()
    expect(Buffer.compare(await world.restore(manifest!), body)).toBe(0)
  })

  it.each([
    ['a truncated header', header('{"a":', 4096n), 'past the end'],
    ['a file shorter than its length', Buffer.from('abc'), '8-byte header length'],
    ['a header of 2^63 bytes', header('{}', 2n ** 63n), 'claims 9223372036854775808 bytes'],
    ['invalid JSON', header('{"a": nope}'), 'not valid JSON'],
    [
      'overlapping offsets',
      Buffer.concat([
        header(
          '{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}}',
        ),
        Buffer.alloc(6),
      ]),
      'overlaps',
    ],
    [
      'offsets out of range',
      Buffer.concat([header('{"a":{"dtype":"U8","shape":[40],"data_offsets":[0,40]}}'), Buffer.alloc(4)]),
      'past the 4 bytes',
    ],
  ])('copies %s as an opaque file with a warning that says why', async (_title, body, reason) => {
    const world = createWorld()
    world.publish('llama/v1/model.safetensors', body)
    expect(await world.run()).toEqual([])
    const [manifest] = await world.manifests()
    expect(manifest).toMatchObject({ cutter: 'gear/1', state: 'protected', tensors: [] })
    expect(manifest!.warnings).toHaveLength(1)
    expect(manifest!.warnings[0]).toContain(reason)
    expect(Buffer.compare(await world.restore(manifest!), body)).toBe(0)
    expect(world.telemetry.lines.some(({ level, message }) => level === 'warn' && message.includes(reason))).toBe(true)
  })

  it('reads a header that is longer than the first look', async () => {
    const world = createWorld()
    const names = Object.fromEntries(Array.from({ length: 3000 }, (_, index) => [`layer.${index}.weight`, 1]))
    const body = safetensorsOf(names)
    world.publish('llama/v1/model.safetensors', body)
    expect(await world.run()).toEqual([])
    const [manifest] = await world.manifests()
    expect(manifest).toMatchObject({ cutter: 'safetensors/1', warnings: [] })
    expect(Buffer.compare(await world.restore(manifest!), body)).toBe(0)
  })

  it('keeps what the source says of the object', async () => {
    const world = createWorld()
    world.publish(key, noise(10), {
      contentType: 'application/x-weights',
      contentEncoding: 'gzip',
      metadata: { owner: 'ö' },
      storageClass: 'STANDARD_IA',
    })
    await world.run()
    const [manifest] = await world.manifests()
    expect(manifest!.source).toMatchObject({
      contentType: 'application/x-weights',
      contentEncoding: 'gzip',
      metadata: { owner: 'ö' },
      storageClass: 'STANDARD_IA',
      account: '111122223333',
      region: 'eu-west-1',
    })
  })
})

describe('planIdOf', () => {
  const world = createWorld()
  const object = world.source.put(bucketName, key, noise(10))
  const base = { object, version: 'v1', cutter: 'gear/1', segmentBytesMax: 256, tensorParts: ['a'], attempt: 0 }

  it.each([
    ['version', { ...base, version: 'v2' }],
    ['size', { ...base, object: { ...object, size: 11 } }],
    ['cutter', { ...base, cutter: 'gear/2' }],
    ['cuts', { ...base, segmentBytesMax: 128 }],
    ['tensors', { ...base, tensorParts: ['b'] }],
    ['attempt', { ...base, attempt: 1 }],
    ['key', { ...base, object: { ...object, key: 'other' } }],
  ])('changes with the %s', (_what, other) => {
    expect(planIdOf(other)).not.toBe(planIdOf(base))
    expect(planIdOf(other)).toMatch(/^[0-9a-f]{16}$/)
  })

  it('is the same for the same plan', () => expect(planIdOf({ ...base })).toBe(planIdOf(base)))
})

describe('releaseOf', () => {
  it('answers the longest rule, model, version and the path below the release', () => {
    const world = createWorld()
    const rule = ruleFor(world.config, bucketName, 'llama/v1/a/b.bin')!
    expect(releaseOf(rule, 'llama/v1/a/b.bin')).toEqual({
      model: 'llama',
      version: 'v1',
      path: 'a/b.bin',
      prefix: 'llama/v1/',
    })
    expect(releaseOf(rule, 'loose.bin')).toBeUndefined()
    expect(ruleFor(world.config, 'other', 'llama/v1/a')).toBeUndefined()
  })

  it('replicates an object outside of every release as one object', async () => {
    const world = createWorld()
    world.publish('loose.bin', noise(10))
    await world.run()
    expect(await world.manifests()).toMatchObject([{ release: null, state: 'protected' }])
    expect(await toArray(world.deps.releases.open())).toEqual([])
  })
})
