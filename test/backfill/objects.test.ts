import { beforeEach, describe, expect, it } from 'vitest'
import { toArray } from '../../shared/bounded.ts'
import { ConflictError, DeniedError, NotConfiguredError, RefusedError } from '../../shared/errors.ts'
import { age, type BackfillWorld, createBackfillWorld, objectsSpec, putOld } from '../support/backfill-world.ts'
import { bucketName, noise } from '../support/weights-world.ts'

let it_: BackfillWorld
beforeEach(async () => {
  it_ = await createBackfillWorld()
})
const old = (count: number): void => putOld(it_, count)
const aged = (fill: () => void): Promise<void> => age(it_, fill)

describe('a backfill of objects', () => {
  it('brings in every version under the prefix, and keeps an account', async () => {
    await aged(() => {
      old(7)
      it_.world.source.put(bucketName, 'old/0', noise(500, 99))
      it_.world.source.put(bucketName, 'other/1', noise(500, 98))
    })
    const run = await it_.start(objectsSpec)
    await it_.settle()
    const manifests = await it_.world.manifests()
    expect(manifests.map(({ source }) => source.key).toSorted()).toEqual(
      ['old/0', 'old/0', 'old/1', 'old/2', 'old/3', 'old/4', 'old/5', 'old/6'].toSorted(),
    )
    expect(manifests.every(({ state }) => state === 'protected')).toBe(true)
    const report = await it_.report(run)
    expect(report).toMatchObject({ kind: 'backfill', outcome: 'passed', findingsTotal: 0 })
    expect(report.counts).toMatchObject({ read: 8, planned: 8, done: 8, bytesRead: 21_500 })
    expect(report.backfill).toMatchObject({ run, status: 'done', where: [], estimate: null })
    expect(report.backfill!.spent['dollars']).toBeGreaterThan(0)
  })

  it('takes only what is there now where it is asked to', async () => {
    await aged(() => {
      old(2)
      it_.world.source.put(bucketName, 'old/0', noise(500, 99))
      it_.world.source.delete(bucketName, 'old/1')
    })
    await it_.start({ ...objectsSpec, versions: 'current' } as typeof objectsSpec)
    await it_.settle()
    expect((await it_.world.manifests()).map(({ size }) => size)).toEqual([500])
  })

  it('does nothing of what is there, and a second one finds all of it', async () => {
    await aged(() => old(4))
    await it_.start(objectsSpec)
    await it_.settle()
    const sent = it_.world.names('objects/').length
    const again = await it_.start(objectsSpec)
    await it_.settle()
    expect(await it_.counts(again)).toMatchObject({ read: 4, alreadyThere: 4 })
    expect(it_.world.names('objects/')).toHaveLength(sent)
    expect((await it_.report(again)).outcome).toBe('passed')
  })

  it('is not late: its objects are pending apart from those that are', async () => {
    await aged(() => old(3))
    it_.world.source.put(bucketName, 'old/unannounced', noise(100, 50))
    it_.world.tick(1000)
    await it_.start(objectsSpec)
    const { objects } = it_.deps.weights
    const seen: Record<string, string[]> = {}
    const wait = it_.deps.wait
    it_.deps.wait = async (ms) => {
      for (const of of ['live', 'backfill'] as const)
        seen[of] ??= (await toArray(objects.pending(of))).map(({ source }) => source.key).toSorted()
      return wait(ms)
    }
    await it_.settle()
    // What was written since Lifeboat began should have been announced: it is late, whoever brings it in.
    expect(seen).toEqual({ live: ['old/unannounced'], backfill: ['old/0', 'old/1', 'old/2'] })
  })

  it('leaves to events what is younger than itself', async () => {
    await aged(() => old(1))
    const run = await it_.start(objectsSpec)
    it_.world.tick(2000)
    it_.world.publish('old/young', noise(100, 51))
    await it_.settle()
    expect(await it_.counts(run)).toMatchObject({ done: 1, leftToEvents: 1 })
    expect(await it_.world.manifests()).toHaveLength(2)
  })

  it('lists what cannot be read with its reason, and brings in the rest', async () => {
    await aged(() => {
      old(3)
      it_.world.source.put(bucketName, 'old/cold', noise(10, 60), { storageClass: 'GLACIER' })
    })
    const { source } = it_.deps.weights
    it_.deps.weights.source = {
      ...source,
      head: async (ref) => {
        if (ref.key === 'old/1') throw new DeniedError('the key is denied')
        return source.head(ref)
      },
    }
    const run = await it_.start(objectsSpec)
    await it_.settle()
    const report = await it_.report(run)
    expect(report).toMatchObject({ outcome: 'failed', findingsTotal: 2, counts: { done: 2, refused: 2, read: 4 } })
    expect(report.findings.map(({ subject, detail }) => `${subject.replace(/#.*/, '')}: ${detail}`).toSorted()).toEqual(
      [
        's3://models/old/1: the key is denied',
        's3://models/old/cold: archived: restore it in S3, then backfill it again',
      ],
    )
  })

  it('finds by a read that the key of an encrypted object is denied', async () => {
    await aged(() => old(2))
    const { source } = it_.deps.weights
    it_.deps.weights.source = {
      ...source,
      head: async (ref) => {
        const object = await source.head(ref)
        return object && ref.key === 'old/0' ? { ...object, etagIsOpaque: true } : object
      },
      read: (object, start, end) => {
        if (object.key === 'old/0') throw new DeniedError('kms:Decrypt')
        return source.read(object, start, end)
      },
    }
    const run = await it_.start(objectsSpec)
    await it_.settle()
    expect(await it_.counts(run)).toMatchObject({ done: 1, refused: 1 })
  })

  it('repeats at most one page where a call dies, and counts nothing twice', async () => {
    await aged(() => old(10))
    let pages = 0
    const { source } = it_.deps.weights
    it_.deps.weights.source = {
      ...source,
      versionPages: (...args) => {
        pages += 1
        return source.versionPages(...args)
      },
    }
    const run = await it_.start(objectsSpec)
    pages = 0
    const before = { ...it_.deps.state }
    let writes = 0
    it_.deps.state.write = async (name, value, expected) => {
      writes += 1
      if (writes === 2 || writes === 4) throw new Error('killed')
      return before.write(name, value, expected)
    }
    const message = it_.messages[0]!
    for (let kills = 0; kills < 2; kills += 1) {
      await expect(it_.step()).rejects.toThrow('killed')
      // What it planned goes on without it.
      await it_.drain()
      it_.messages.push(message)
    }
    await it_.settle()
    // Ten versions are four pages of three.
    expect(pages).toBe(4 + 2)
    expect((await it_.report(run)).counts).toMatchObject({ read: 10, planned: 10, done: 10 })
    expect(await it_.world.manifests()).toHaveLength(10)
  })

  it('of two calls for the same part one ends', async () => {
    await aged(() => old(5))
    const run = await it_.start(objectsSpec)
    it_.messages.push(it_.messages[0]!)
    const [first, second] = await Promise.all([it_.step(), it_.step()])
    expect(new Set([first, second])).toEqual(new Set(['ended', 'taken']))
    expect((await it_.report(run)).counts['done']).toBe(5)
  })

  it('paused sends nothing, resumed goes on', async () => {
    await aged(() => old(6))
    const run = await it_.start(objectsSpec, { items: 1 })
    const wait = it_.deps.wait
    let waits = 0
    it_.deps.wait = async (ms) => {
      waits += 1
      if (waits === 2) await it_.ask({ action: 'pause', run })
      return waits < 2 ? undefined : wait(ms)
    }
    expect(await it_.step()).toBe('stopped')
    const planned = (await it_.counts(run))['planned']!
    expect(planned).toBeGreaterThan(0)
    await it_.drain()
    // What was planned before was in the queue.
    expect(it_.world.names('chunks/')).toEqual([])
    expect(await it_.world.manifests()).toEqual([])
    expect(it_.world.workQueue.messages).toEqual([])
    it_.deps.wait = wait
    it_.world.tick(5000)
    await it_.ask({ action: 'resume', run })
    await it_.settle()
    expect((await it_.report(run)).counts).toMatchObject({ done: 6 })
    expect(await it_.world.manifests()).toHaveLength(6)
  })

  it('cancelled says where, ends what is on its way, and leaves the rest to another', async () => {
    await aged(() => old(8))
    const run = await it_.start(objectsSpec)
    const wait = it_.deps.wait
    it_.deps.wait = async () => undefined
    const before = { ...it_.deps.state }
    let writes = 0
    it_.deps.state.write = async (name, value, expected) => {
      const isWritten = await before.write(name, value, expected)
      writes += 1
      if (writes === 2) {
        it_.deps.state.write = (...args) => before.write(...args)
        await it_.ask({ action: 'cancel', run })
      }
      return isWritten
    }
    await it_.step()
    it_.deps.wait = wait
    await it_.settle()
    const report = await it_.report(run)
    expect(report).toMatchObject({ outcome: 'incomplete', backfill: { status: 'cancelled' } })
    expect(report.backfill!.where[0]).toMatch(/the listing was left behind .*"key":"old\/5"/)
    expect(await toArray(it_.deps.weights.objects.pending('backfill'))).toEqual([])
    await expect(it_.ask({ action: 'resume', run })).rejects.toThrow(ConflictError)
    it_.world.tick(60_000)
    const again = await it_.start(objectsSpec)
    await it_.settle()
    expect((await it_.counts(again))['done']).toBe(8)
    expect(await it_.world.manifests()).toHaveLength(8)
  })

  it('gives up what does not get on however often it is sent, and ends', async () => {
    await aged(() => old(2))
    const run = await it_.start(objectsSpec)
    const { workQueue } = it_.deps.weights
    it_.deps.weights.workQueue = {
      send: async (messages) =>
        workQueue.send((await toArray(wrap(messages))).filter(({ source }) => source.key !== 'old/1')),
    }
    await it_.settle()
    const report = await it_.report(run)
    expect(report.counts).toMatchObject({ done: 1, refused: 1 })
    expect(report.findings[0]!.detail).toContain('does not get on')
    // Nothing but another backfill brings it in.
    it_.deps.weights.workQueue = workQueue
    it_.world.tick(60_000)
    const again = await it_.start(objectsSpec)
    await it_.settle()
    expect(await it_.counts(again)).toMatchObject({ alreadyThere: 1, done: 1 })
    expect(await it_.world.manifests()).toHaveLength(2)
  })

  it('refuses a bucket that is not configured, a prefix with nothing under it, and one that overlaps', async () => {
    await aged(() => old(1))
    await expect(it_.start({ ...objectsSpec, bucket: 'foreign' } as typeof objectsSpec)).rejects.toThrow(
      NotConfiguredError,
    )
    await expect(it_.start({ ...objectsSpec, prefix: 'none/' } as typeof objectsSpec)).rejects.toThrow(
      new RefusedError('there is nothing under s3://models/none/'),
    )
    const run = await it_.start(objectsSpec)
    expect(await it_.ask({ action: 'start', spec: objectsSpec, limits: {}, estimate: null })).toMatchObject({
      joined: true,
      run: { id: run },
    })
    // That of the one that joined, too.
    expect(it_.messages).toHaveLength(2)
    await expect(it_.start({ ...objectsSpec, prefix: '' } as typeof objectsSpec)).rejects.toThrow(ConflictError)
  })

  it('is estimated within 15% of what it then reads and sends', async () => {
    await aged(() => {
      for (let index = 0; index < 40; index += 1) {
        const body = index % 4 === 3 ? noise(20_000, 1) : Buffer.concat([noise(8000, index + 1), Buffer.alloc(4000)])
        it_.world.source.put(bucketName, `old/${index}`, body)
      }
    })
    const answer = await it_.ask({ action: 'estimate', spec: objectsSpec })
    if (!('kind' in answer) || answer.kind !== 'estimated') throw new Error('not estimated')
    const run = await it_.start(objectsSpec)
    await it_.settle()
    const { counts } = await it_.report(run)
    expect(answer.estimate).toMatchObject({ read: 40, done: 40, bytesRead: counts['bytesRead'] })
    expect(answer.estimate['bytesSent']! / counts['bytesSent']!).toBeGreaterThan(0.85)
    expect(answer.estimate['bytesSent']! / counts['bytesSent']!).toBeLessThan(1.15)
    expect(counts['bytesSent']!).toBeLessThan(counts['bytesRead']! * 0.8)
  })
})

async function* wrap<T>(messages: Iterable<T> | AsyncIterable<T>): AsyncGenerator<T> {
  yield* messages
}
