import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { PutOptions } from '../../shared/clouds/memory/source.ts'
import { NotFoundError, UnavailableError } from '../../shared/errors.ts'
import { commitObject } from '../../shared/weights/commit.ts'
import { digestRange } from '../../shared/weights/digest.ts'
import { type DigestMessage, digestMessageSchema } from '../../shared/weights/messages.ts'
import { receiveMessage } from '../../shared/weights/receive.ts'
import { work } from '../../shared/weights/work.ts'
import { ample, bucketName, createWorld, noise, type World } from '../support/weights-world.ts'

const KIB = 1024
const MIB = 1024 * KIB
const key = 'llama/v1/weights.data'
const body = noise(100 * KIB)

type Kind = [title: string, put: PutOptions, verified: Record<string, unknown> | null, secondRead: boolean]
const full = (algorithm: 'CRC64NVME' | 'CRC32' | 'CRC32C' | 'SHA1' | 'SHA256', secondRead: boolean): Kind => [
  `${algorithm} of the whole object`,
  { checksum: { algorithm, type: 'FULL_OBJECT' } },
  { algorithm, type: 'FULL_OBJECT' },
  secondRead,
]
const composite = (algorithm: 'CRC32' | 'CRC32C' | 'SHA1' | 'SHA256', secondRead: boolean): Kind => [
  `${algorithm} by part`,
  { checksum: { algorithm, type: 'COMPOSITE' }, partBytes: 7000 },
  { algorithm, type: 'COMPOSITE' },
  secondRead,
]
const kinds: Kind[] = [
  full('CRC64NVME', false),
  full('CRC32', false),
  full('CRC32C', false),
  full('SHA1', true),
  full('SHA256', true),
  composite('CRC32', false),
  composite('CRC32C', false),
  composite('SHA1', true),
  composite('SHA256', true),
  ['MD5 by the ETag', { checksum: null }, { algorithm: 'MD5', type: 'FULL_OBJECT' }, true],
  ['MD5 by part', { checksum: null, partBytes: 7000 }, { algorithm: 'MD5', type: 'COMPOSITE' }, true],
  ['CRC64NVME of a multipart object', { partBytes: 7000 }, { algorithm: 'CRC64NVME', type: 'FULL_OBJECT' }, false],
  ['nothing but an encrypted ETag', { checksum: null, isEncrypted: true }, null, false],
  ['nothing but an encrypted ETag by part', { checksum: null, isEncrypted: true, partBytes: 7000 }, null, false],
  [
    'SHA-256 although the ETag is encrypted',
    { checksum: { algorithm: 'SHA256', type: 'FULL_OBJECT' }, isEncrypted: true },
    { algorithm: 'SHA256', type: 'FULL_OBJECT' },
    true,
  ],
]

describe.each(kinds)('%s', (_title, put, verified, secondRead) => {
  it.each([
    ['segments that cut through parts', 10 * KIB],
    ['one segment', 200 * KIB],
  ])('is compared, with %s', async (_how, segmentBytesMax) => {
    const world = createWorld({ segmentBytesMax })
    world.publish(key, body, put)
    expect(await world.run()).toEqual([])
    const [manifest] = await world.manifests()
    const { algorithm, type } = manifest!.checksums.verified ?? {}
    expect({ algorithm, type }).toEqual(verified ?? {})
    expect(manifest!.state).toBe(verified ? 'protected' : 'sealed')
    expect(manifest!.checksums.unverifiedReason ?? '').toContain(verified ? '' : 'no checksum')
    expect(Buffer.compare(await world.restore(manifest!), body)).toBe(0)
    expect(world.telemetry.total('BytesReadAgain') > 0).toBe(secondRead && segmentBytesMax === 10 * KIB)
  })

  it('is compared for an object of no bytes', async () => {
    const world = createWorld()
    world.publish(key, noise(0), put)
    expect(await world.run()).toEqual([])
    expect((await world.manifests())[0]!.state).toBe(verified ? 'protected' : 'sealed')
  })
})

const verifiable = kinds.filter(([, , verified]) => verified)

describe.each(verifiable)('%s', (_title, put) => {
  it('is copied anew once where it does not match, then refused', async () => {
    const world = createWorld({ segmentBytesMax: 10 * KIB })
    const right = createWorld()
    const { checksums, etag } = right.publish(key, noise(100 * KIB, 2), put)
    const lie = checksums[0]
      ? world.publish(key, body, { ...put, checksumValue: checksums[0].value })
      : world.publish(key, body, { ...put, quiet: true })
    if (!checksums[0]) {
      const real = { ...world.deps.source }
      world.deps.source.head = async (ref) => ({ ...(await real.head(ref))!, etag })
      world.deps.source.read = (object, start, end) => real.read({ ...object, etag: lie.etag }, start, end)
      world.deps.source.parts = (object) => real.parts({ ...object, etag: lie.etag })
      world.announce({ ...lie, etag })
    }
    expect(await world.run()).toEqual([])
    expect(await world.manifests()).toEqual([])
    expect(world.rows()).toMatchObject([{ state: 'refused', attempt: 1 }])
    expect(world.telemetry.total('ValidationFailures')).toBe(2)
    expect(await world.failures()).toMatchObject([
      { state: 'refused', key, reason: expect.stringContaining('checksum mismatch') as string },
    ])
    world.announce(lie)
    await world.run()
    expect(world.telemetry.total('ValidationFailures')).toBe(2)
  })

  it('is healed by the second copy where bits flipped on the way of the first', async () => {
    const world = createWorld({ segmentBytesMax: 10 * KIB })
    world.source.damageReads(key, 3)
    world.publish(key, body, put)
    expect(await world.run()).toEqual([])
    const [manifest] = await world.manifests()
    expect(manifest).toMatchObject({ state: 'protected' })
    expect(Buffer.compare(await world.restore(manifest!), body)).toBe(0)
    expect(world.telemetry.total('ValidationFailures')).toBe(1)
    expect(await world.failures()).toEqual([])
  })
})

/** Copies an object whose SHA-256 needs a second read; answers that read's message, taken off the queue. */
const digesting = async (world: World, bytes = body): Promise<{ traceId: string; message: DigestMessage }> => {
  world.publish(key, bytes, { checksum: { algorithm: 'SHA256', type: 'FULL_OBJECT' } })
  for (const message of world.objectsQueue.messages.splice(0)) await receiveMessage(world.deps, message)
  while (world.workQueue.messages.length > 0) await work(world.deps, world.workQueue.messages.shift()!, ample)
  const [traceId] = world.ready.splice(0)
  expect(await commitObject(world.deps, traceId!, ample)).toBe('digesting')
  return { traceId: traceId!, message: digestMessageSchema.parse(JSON.parse(world.workQueue.messages.shift()!)) }
}

describe('digestRange', () => {
  it('counts its unit once, however often it is delivered', async () => {
    const world = createWorld({ segmentBytesMax: 10 * KIB })
    const { message } = await digesting(world)
    expect(await digestRange(world.deps, message, ample)).toBe('digested')
    expect(await digestRange(world.deps, message, ample)).toBe('already')
    expect(world.rows()[0]).toMatchObject({ left: 0, phase: 'digest' })
    await world.run()
    expect(await world.manifests()).toMatchObject([
      { state: 'protected', checksums: { sha256: createHash('sha256').update(body).digest('hex') } },
    ])
  })

  it('goes on from a saved state where a deadline cuts it', async () => {
    const world = createWorld({ segmentBytesMax: 64 * KIB })
    const bytes = noise(MIB)
    const { message } = await digesting(world, bytes)
    const read: [number, number][] = []
    const real = { ...world.deps.source }
    world.deps.source.read = (object, start, end) => (read.push([start, end]), real.read(object, start, end))
    let next = message
    let calls = 1
    while ((await digestRange(world.deps, next, { remainingMs: () => 0 })) === 'continued') {
      next = digestMessageSchema.parse(JSON.parse(world.workQueue.messages.shift()!))
      calls += 1
    }
    expect(calls).toBe(16)
    expect(read.map(([start]) => start)).toEqual(Array.from({ length: 16 }, (_, index) => index * 64 * KIB))
    await world.run()
    expect(await world.manifests()).toMatchObject([{ state: 'protected' }])
  })

  it('has the chunk lists of 1 GiB in memory at most, however large the range', async () => {
    const world = createWorld({ segmentBytesMax: 10 * KIB })
    const { message } = await digesting(world)
    const windows: number[] = []
    const real = { ...world.deps.segments }
    world.deps.segments = {
      ...world.deps.segments,
      list: (trace, plan, from = 0, to = Number.MAX_SAFE_INTEGER) => {
        windows.push(to - from)
        return real.list(trace, plan, from, to)
      },
    }
    const huge = { ...message, size: 50 * 2 ** 40 }
    await expect(digestRange(world.deps, huge, ample)).rejects.toThrow('being copied again')
    expect(windows).toEqual([2 ** 30])
  })

  it('is superseded where the object was overwritten', async () => {
    const world = createWorld({ versioning: 'unversioned', segmentBytesMax: 10 * KIB })
    const { message } = await digesting(world)
    world.tick(2000)
    world.source.put(bucketName, key, noise(10))
    expect(await digestRange(world.deps, message, ample)).toBe('superseded')
    await world.run()
    expect(await world.manifests()).toMatchObject([{ size: 10, state: 'protected' }])
  })

  it('finds that the first read was wrong, and copies anew', async () => {
    const world = createWorld({ segmentBytesMax: 10 * KIB })
    world.source.damageReads(key, 1)
    const { message } = await digesting(world)
    expect(await digestRange(world.deps, message, ample)).toBe('mismatch')
    expect(await world.run()).toEqual([])
    expect(await world.manifests()).toMatchObject([{ state: 'protected' }])
  })

  it('does nothing for a plan that was replaced or is closed', async () => {
    const world = createWorld({ segmentBytesMax: 10 * KIB })
    const { message } = await digesting(world)
    expect(await digestRange(world.deps, { ...message, planId: 'other' }, ample)).toBe('stale')
    expect(await digestRange(world.deps, { ...message, traceId: 'other' }, ample)).toBe('stale')
    expect(await digestRange(world.deps, { ...message, purpose: 'release' }, ample)).not.toBe('mismatch')
  })

  it('says that the chunks of a plan are not on record', async () => {
    const world = createWorld({ segmentBytesMax: 10 * KIB })
    const { message } = await digesting(world)
    world.deps.segments.list = () => world.deps.digests.list('none', 'none') as never
    await expect(digestRange(world.deps, message, ample)).rejects.toThrow(NotFoundError)
  })

  it('plans anew where a list of chunks is gone', async () => {
    const world = createWorld({ segmentBytesMax: 10 * KIB })
    const { message } = await digesting(world)
    world.store.remove(world.names('parts/')[0]!)
    expect(await digestRange(world.deps, message, ample)).toBe('replanned')
    expect(await world.run()).toEqual([])
    expect(await world.manifests()).toMatchObject([{ state: 'protected' }])
  })

  it('waits for a segment that is being copied again', async () => {
    const world = createWorld({ segmentBytesMax: 10 * KIB })
    const { traceId, message } = await digesting(world)
    await world.deps.segments.reopen((await world.deps.segments.get(traceId, message.planId, 20 * KIB))!)
    await expect(digestRange(world.deps, message, ample)).rejects.toThrow(UnavailableError)
    expect(world.telemetry.total('ValidationFailures')).toBe(0)
  })

  it('leaves a sealed object as it is where the source gives other bytes for its SHA-256', async () => {
    const world = createWorld({ segmentBytesMax: 10 * KIB })
    world.publish(key, body)
    await world.run()
    const [row] = world.rows()
    world.source.damageReads(key, 1)
    const { etag, versionId } = row!.source
    const source = { bucket: bucketName, key, etag, versionId }
    const unit = { traceId: row!.traceId, planId: row!.planId, source, offset: 0, size: body.length }
    const message = { ...unit, lifeboat: 1, kind: 'digest', purpose: 'release', algorithm: 'SHA256' } as const
    expect(await digestRange(world.deps, message, ample)).toBe('mismatch')
    expect(await world.failures()).toMatchObject([{ state: 'quarantined', key }])
    await world.run()
    expect(world.rows()).toMatchObject([{ state: 'protected', attempt: 0 }])
    expect(await digestRange(world.deps, message, ample)).toBe('digested')
    expect(await digestRange(world.deps, message, ample)).toBe('already')
  })

  it('sends lost digests again', async () => {
    const world = createWorld({ segmentBytesMax: 10 * KIB })
    const { traceId } = await digesting(world)
    expect(await commitObject(world.deps, traceId, ample)).toBe('not-ready')
    expect(await world.run()).toEqual([])
    expect(await world.manifests()).toMatchObject([{ state: 'protected' }])
  })

  it('heals a segment that was reopened while digests were read, although its message was lost', async () => {
    const world = createWorld({ segmentBytesMax: 10 * KIB })
    const { traceId, message } = await digesting(world)
    await digestRange(world.deps, message, ample)
    world.ready.length = 0
    const lost = world.names('chunks/')[0]!
    world.store.remove(lost)
    expect(await commitObject(world.deps, traceId, ample)).toBe('reopened')
    world.workQueue.messages.length = 0
    expect(await world.sweep()).toMatchObject({ failed: 0, resent: 0 })
    world.tick(31 * 60_000)
    expect(await world.sweep()).toMatchObject({ failed: 0, resent: 1 })
    expect(await world.run()).toEqual([])
    const [manifest] = await world.manifests()
    expect(Buffer.compare(await world.restore(manifest!), body)).toBe(0)
  })
})
