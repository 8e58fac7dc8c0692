import { beforeEach, describe, expect, it } from 'vitest'
import { DeniedError, UnavailableError } from '../../shared/errors.ts'
import type { WorkMessage } from '../../shared/weights/messages.ts'
import { quietMs } from '../../shared/weights/sweep.ts'
import { age, type BackfillWorld, createBackfillWorld, objectsSpec, putOld } from '../support/backfill-world.ts'

let it_: BackfillWorld
beforeEach(async () => {
  it_ = await createBackfillWorld()
})
const old = (count: number): void => putOld(it_, count)
const aged = (fill: () => void): Promise<void> => age(it_, fill)

async function* allBut(key: string, messages: Iterable<WorkMessage> | AsyncIterable<WorkMessage>) {
  for await (const message of messages) if (message.source.key !== key) yield message
}

describe('a backfill of objects to which something answers an error', () => {
  it.each(['head', 'read'] as const)('lists an object that answers 400 to %s, and brings in the rest', async (what) => {
    await aged(() => old(3))
    const { source } = it_.deps.weights
    it_.deps.weights.source = {
      ...source,
      head: async (ref) => {
        if (what === 'head' && ref.key === 'old/1') throw new Error('head s3://models/old/1: InvalidArgument')
        const object = await source.head(ref)
        return object && ref.key === 'old/1' ? { ...object, etagIsOpaque: true } : object
      },
      read: (object, start, end) => {
        if (object.key === 'old/1') throw new Error('read s3://models/old/1: InvalidArgument')
        return source.read(object, start, end)
      },
    }
    const run = await it_.start(objectsSpec)
    await it_.settle()
    const { counts, findings } = await it_.report(run)
    expect(counts).toMatchObject({ done: 2, refused: 1 })
    expect(findings[0]!.detail).toBe(`${what} s3://models/old/1: InvalidArgument`)
  })

  it('is estimated where the key of a sampled object is denied', async () => {
    await aged(() => old(3))
    const { source } = it_.deps.weights
    it_.deps.weights.source = {
      ...source,
      read: (object, start, end) => {
        if (object.key === 'old/1') throw new DeniedError('kms:Decrypt')
        return source.read(object, start, end)
      },
    }
    expect(await it_.ask({ action: 'estimate', spec: objectsSpec })).toMatchObject({
      kind: 'estimated',
      estimate: { read: 3, done: 2, bytesRead: 6000, unreplicable: 1, sampleObjects: 2 },
      notes: [expect.stringContaining('1 of the sample cannot be read') as string],
    })
  })

  it('waits for what a retry may cure', async () => {
    await aged(() => old(3))
    const { source } = it_.deps.weights
    it_.deps.weights.source = {
      ...source,
      head: async () => {
        throw new UnavailableError('503')
      },
    }
    const run = await it_.start(objectsSpec)
    await expect(it_.step(true)).rejects.toThrow(UnavailableError)
    expect(await it_.run(run)).toMatchObject({ status: 'running' })
    expect(await it_.counts(run)).toEqual({})
  })

  it('fails with the reason where its message fails for the last time', async () => {
    await aged(() => old(3))
    const { source } = it_.deps.weights
    const run = await it_.start(objectsSpec)
    it_.deps.weights.source = {
      ...source,
      versionPages: () => {
        throw new Error('list s3://models: InvalidArgument')
      },
    }
    const [message] = it_.messages
    await expect(it_.step()).rejects.toThrow('InvalidArgument')
    expect((await it_.run(run)).status).toBe('running')
    it_.messages.push(message!)
    expect(await it_.step(true)).toBe('stopped')
    expect(await it_.run(run)).toMatchObject({ status: 'failed', why: 'list s3://models: InvalidArgument' })
    expect((await it_.report(run)).outcome).toBe('failed')
  })

  it('refuses what answers 400 when it is sent again, and goes on', async () => {
    await aged(() => old(2))
    const run = await it_.start(objectsSpec)
    const { workQueue, source } = it_.deps.weights
    it_.deps.weights.workQueue = {
      send: (messages) => workQueue.send(allBut('old/1', messages)),
    }
    const heads: string[] = []
    it_.deps.weights.source = {
      ...source,
      head: async (ref) => {
        heads.push(ref.key)
        if (heads.filter((key) => key === 'old/1').length === 2 && ref.key === 'old/1') throw new Error('400')
        return source.head(ref)
      },
    }
    await it_.settle()
    const { counts, findings } = await it_.report(run)
    expect(counts).toMatchObject({ done: 1, refused: 1 })
    expect(findings[0]!.detail).toBe('400')
  })

  it('is sent again by the one that joins it, where its own message was lost', async () => {
    await aged(() => old(2))
    const { queue } = it_.deps
    it_.deps.queue = {
      send: async () => {
        throw new UnavailableError('SQS is away')
      },
    }
    await expect(it_.start(objectsSpec)).rejects.toThrow(UnavailableError)
    it_.deps.queue = queue
    const run = await it_.start(objectsSpec)
    await it_.settle()
    expect((await it_.report(run)).counts['done']).toBe(2)
  })

  it('does not give up a large object of which units get done', async () => {
    await aged(() => old(1))
    const run = await it_.start(objectsSpec)
    const { objects, config } = it_.deps.weights
    const quiet = quietMs({ config })
    let left = 12
    it_.deps.weights.objects = {
      ...objects,
      get: async (traceId) => {
        const row = await objects.get(traceId)
        return row?.state === 'copying' ? { ...row, left } : row
      },
    }
    const { wait } = it_.deps
    it_.deps.wait = async (ms) => {
      if (left <= 1) {
        it_.deps.weights.objects = objects
        return wait(ms)
      }
      left -= 1
      it_.world.tick(quiet * 0.8)
    }
    await it_.settle()
    expect((await it_.report(run)).counts).toMatchObject({ done: 1 })
    expect((await it_.report(run)).findingsTotal).toBe(0)
  })
})
