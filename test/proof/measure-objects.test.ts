import { describe, expect, it } from 'vitest'
import { DeniedError, UnavailableError } from '../../shared/errors.ts'
import { readLagState } from '../../shared/proof/lag-state.ts'
import { followObjectCanary } from '../../shared/proof/object-canary.ts'
import { createLagWorld, type LagWorld, minute } from '../support/lag-world.ts'
import { objectRow } from '../support/ledger-fixture.ts'

const waitFor = async (world: LagWorld, minutes: number) => {
  let last = await world.measure()
  for (let count = 1; count < minutes; count += 1) last = await world.measure()
  return last
}

const plan = (world: LagWorld, traceId: string, since: number, size = 100): Promise<boolean> =>
  world.ledger.objects.begin(
    objectRow({
      traceId,
      since,
      source: { bucket: 'models', key: `m/${traceId}`, etag: 'e', lastModified: since, size, checksums: [] },
    }),
  )

const versions = async (world: LagWorld): Promise<number> => {
  let count = 0
  for await (const { key } of world.source.versions('models', '')) count += key === 'm/lifeboat-canary' ? 1 : 0
  return count
}

const rejecting = (message: string) => () => Promise.reject(new UnavailableError(message))
const refuse = (): never => {
  throw new DeniedError('the observer may only create')
}
async function* nothing(): AsyncGenerator<never> {
  yield* []
  throw new UnavailableError('DynamoDB is away')
}

describe('the lag of objects', () => {
  it('is 0 where nothing is pending, and says so every minute', async () => {
    const world = createLagWorld({})
    const { metric, heartbeat } = await world.measure()
    expect(
      ['OldestPendingSeconds', 'PendingObjects', 'PendingBytes', 'DeadLetters'].map((name) =>
        metric(name as 'DeadLetters'),
      ),
    ).toEqual([0, 0, 0, 0])
    expect(metric('Heartbeats')).toBe(1)
    expect(heartbeat).toMatchObject({
      stage: 'local',
      everySeconds: 60,
      objects: { lagSeconds: 0, canaryAt: null },
      tables: [],
    })
    // What there is none of is not counted: no alarm of rows or canaries is fed.
    expect([metric('FeatureLagSeconds'), metric('ObjectCanaryAgeSeconds'), metric('RowCanaryAgeSeconds')]).toEqual([
      undefined,
      undefined,
      undefined,
    ])
  })

  it('is the age of the oldest version in the ledger, by the time of the source', async () => {
    const world = createLagWorld({})
    await plan(world, 'young', world.now(), 30)
    await plan(world, 'old', world.now() - 9 * minute, 70)
    const { metric, heartbeat } = await world.measure()
    expect([metric('OldestPendingSeconds'), metric('PendingObjects'), metric('PendingBytes')]).toEqual([600, 2, 100])
    expect(heartbeat.objects.pending).toMatchObject({
      count: 2,
      bytes: 100,
      oldest: { bucket: 'models', key: 'm/old' },
    })
    await world.ledger.objects.update('old', 'plan-1', { state: 'protected' })
    expect((await world.measure()).metric('OldestPendingSeconds')).toBe(120)
  })

  it('is not negative where the clock of the source is ahead', async () => {
    const world = createLagWorld({})
    await plan(world, 'ahead', world.now() + 10 * minute)
    expect((await world.measure()).metric('OldestPendingSeconds')).toBe(0)
  })

  it('rises with a message that no function saw, although canaries arrive', async () => {
    const world = createLagWorld({ canary: 'lifeboat-canary' })
    await world.measure()
    world.queues.set('objects', { messages: 1, delayed: 0 })
    for (let count = 0; count < 20; count += 1) {
      await world.settleCanaries('protected')
      await world.measure()
    }
    const { metric, heartbeat } = await world.measure()
    expect(metric('ObjectCanaryAgeSeconds')).toBeLessThanOrEqual(420)
    expect(metric('PendingObjects')).toBe(0)
    expect(metric('OldestPendingSeconds')).toBe(21 * 60)
    expect(heartbeat.objects.queues[0]).toEqual({ name: 'objects', messages: 1, oldestSeconds: 21 * 60 })
  })

  it('counts poison in a dead-letter queue, and its age', async () => {
    const world = createLagWorld({})
    await world.measure()
    world.queues.set('objects', { messages: 1, delayed: 0 })
    world.queues.set('objects-dead', { messages: 3, delayed: 0 })
    world.gauges.ages.set('objects-dead', 3600)
    await waitFor(world, 59)
    const { metric } = await world.measure()
    expect([metric('DeadLetters'), metric('OldestPendingSeconds')]).toEqual([3, 3600])
  })

  it('is unknown, not 0, where a queue cannot be asked; the rest is measured', async () => {
    const world = createLagWorld({})
    await plan(world, 'old', world.now())
    const { metric, heartbeat, lines } = await world.measure({ counts: { count: rejecting('SQS is away') } })
    expect([metric('OldestPendingSeconds'), metric('DeadLetters'), metric('PendingObjects')]).toEqual([
      undefined,
      undefined,
      1,
    ])
    expect(heartbeat.objects).toMatchObject({ lagSeconds: null, unknown: ['queues: SQS is away'] })
    expect(lines.find(({ message }) => message === 'the lag is unknown')?.fields).toMatchObject({ of: 'objects' })
  })

  it('is unknown where the ledger cannot be read', async () => {
    const world = createLagWorld({})
    const objects = {
      ...world.ledger.objects,
      pending: nothing,
    }
    const { metric, heartbeat } = await world.measure({ objects })
    expect([metric('OldestPendingSeconds'), metric('PendingObjects'), metric('Heartbeats')]).toEqual([
      undefined,
      undefined,
      1,
    ])
    expect(heartbeat.objects.unknown).toEqual(['pending objects: DynamoDB is away'])
  })

  it('is the age of the oldest where counting takes too long, and the count is a lower bound', async () => {
    const world = createLagWorld({})
    await plan(world, 'old', world.now() - 9 * minute, 70)
    await plan(world, 'young', world.now(), 30)
    const pending = async function* () {
      for await (const row of world.ledger.objects.pending()) {
        yield row
        throw new UnavailableError('took longer than 40 s')
      }
    }
    const { metric, heartbeat, lines } = await world.measure({ objects: { ...world.ledger.objects, pending } })
    expect(metric('OldestPendingSeconds')).toBe(600)
    expect(heartbeat.objects).toMatchObject({
      lagSeconds: 600,
      pending: { count: 1, bytes: 70, oldest: { key: 'm/old' }, isLowerBound: true },
    })
    expect(lines.map(({ message }) => message)).toContain('pending objects: took longer than 40 s')
  })

  it('is known without CloudWatch, from what was seen before', async () => {
    const world = createLagWorld({})
    const gauges = { queueAges: () => Promise.reject(new DeniedError('no')), iteratorAge: async () => undefined }
    await world.measure({ gauges })
    world.queues.set('segments', { messages: 5, delayed: 0 })
    await world.measure({ gauges })
    expect((await world.measure({ gauges })).metric('OldestPendingSeconds')).toBe(120)
  })

  it('is measured where the heartbeat cannot be written; then none is counted', async () => {
    const world = createLagWorld({})
    await world.measure()
    const store = { ...world.store, create: () => Promise.reject(new UnavailableError('GCS is away')) }
    const { metric, lines } = await world.measure({ store })
    expect([metric('OldestPendingSeconds'), metric('Heartbeats')]).toEqual([0, undefined])
    expect(lines.map(({ message }) => message)).toContain('heartbeat: GCS is away')
  })

  it('is told in time where a cloud hangs', async () => {
    const world = createLagWorld({})
    const limits: number[] = []
    const limited = async <T>(work: Promise<T>, ms: number): Promise<T> => {
      limits.push(ms)
      const late = new Promise<never>((_, reject) => setTimeout(() => reject(new UnavailableError('no answer')), 50))
      return Promise.race([work, late])
    }
    const counts = { count: () => new Promise<never>(() => undefined) }
    const { metric, heartbeat } = await world.measure({ counts, limited })
    expect(heartbeat.objects.unknown).toEqual(['queues: no answer'])
    expect([metric('OldestPendingSeconds'), metric('PendingObjects'), metric('Heartbeats')]).toEqual([undefined, 0, 1])
    // Of 55 s, 12 are kept for what follows the measurements and 2 for the end.
    expect(new Set(limits)).toEqual(new Set([43_000, 53_000]))
  })

  it('counts no more rows than there is time for, and knows the oldest', async () => {
    const world = createLagWorld({})
    const since = world.now() - 9 * minute
    const objects = {
      ...world.ledger.objects,
      pending: async function* many() {
        yield objectRow({ since })
        for (;;) yield objectRow({ since: since + 1 })
      },
    }
    const { metric } = await world.measure({ objects })
    expect([metric('PendingObjects'), metric('OldestPendingSeconds')]).toEqual([50_000, 600])
  })

  it('asks of its identity only to create', async () => {
    const world = createLagWorld({ canary: 'c' })
    const { metric } = await world.measure({
      store: { ...world.store, stat: refuse, read: refuse, list: refuse, update: refuse },
    })
    expect(metric('Heartbeats')).toBe(1)
  })
})

describe('a canary object', () => {
  it('is written every five minutes, under the prefix', async () => {
    const world = createLagWorld({ canary: 'lifeboat-canary' })
    await waitFor(world, 11)
    expect(await versions(world)).toBe(3)
  })

  it('is as old as the last one that is protected', async () => {
    const world = createLagWorld({ canary: 'lifeboat-canary' })
    expect((await world.measure()).metric('ObjectCanaryAgeSeconds')).toBeUndefined()
    const written = world.now()
    await world.settleCanaries('protected')
    const { metric, heartbeat } = await world.measure()
    expect(metric('ObjectCanaryAgeSeconds')).toBe(60)
    expect(heartbeat.objects.canaryAt).toBe(new Date(written).toISOString())
  })

  it('raises canary age and lag where events stop, with no row, no message and no metric', async () => {
    const world = createLagWorld({ canary: 'lifeboat-canary' })
    await world.measure()
    await world.settleCanaries('protected')
    const { metric } = await waitFor(world, 120)
    expect(metric('ObjectCanaryAgeSeconds')).toBe(120 * 60)
    expect(metric('OldestPendingSeconds')).toBe(115 * 60)
    const { value } = await readLagState(world.deps.state)
    expect(Object.values(value.objects).map(({ waiting }) => waiting.length)).toEqual([12])
    await world.settleCanaries('protected')
    const healed = await world.measure()
    expect(healed.metric('OldestPendingSeconds')).toBe(0)
    expect(healed.metric('ObjectCanaryAgeSeconds')).toBeLessThan(360)
  })

  it('that arrives stands for those before it', async () => {
    const world = createLagWorld({ canary: 'lifeboat-canary' })
    await waitFor(world, 6)
    await world.settleCanaries('protected', world.now())
    const { metric } = await world.measure()
    expect([metric('ObjectCanaryAgeSeconds'), metric('OldestPendingSeconds')]).toEqual([60, 0])
  })

  it('that was replaced before it was read is not waited for; the age goes on', async () => {
    const world = createLagWorld({ canary: 'lifeboat-canary' })
    await world.measure()
    await world.settleCanaries('protected')
    await waitFor(world, 5)
    await world.settleCanaries('superseded', world.now())
    const { metric } = await world.measure()
    expect([metric('ObjectCanaryAgeSeconds'), metric('OldestPendingSeconds')]).toEqual([360, 0])
  })

  it('is written by the tick that comes a little early', async () => {
    const world = createLagWorld({ canary: 'lifeboat-canary' })
    const place = { bucket: 'models', key: 'm/lifeboat-canary' }
    const { writtenAt } = await followObjectCanary(world.deps, place, undefined)
    world.tick(299_000)
    const canary = await followObjectCanary(world.deps, place, { waiting: [], writtenAt })
    expect(canary.writtenAt).toBe(writtenAt + 299_000)
  })

  it('that cannot be written makes the lag unknown, and is followed as before once it can', async () => {
    const world = createLagWorld({ canary: 'lifeboat-canary' })
    await world.measure()
    await waitFor(world, 4)
    const canaryObjects = { put: () => Promise.reject(new DeniedError('no')) }
    const { heartbeat } = await world.measure({ canaryObjects })
    expect(heartbeat.objects).toMatchObject({ lagSeconds: null, unknown: ['canary s3://models/m/lifeboat-canary: no'] })
    await world.settleCanaries('protected')
    expect((await world.measure()).metric('ObjectCanaryAgeSeconds')).toBe(360)
  })
})
