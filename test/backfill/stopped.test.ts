import { beforeEach, describe, expect, it } from 'vitest'
import { toArray } from '../../shared/bounded.ts'
import { DeniedError } from '../../shared/errors.ts'
import type { ObjectLedger, ObjectRow } from '../../shared/weights/ledger.ts'
import { planObject, ruleFor } from '../../shared/weights/plan.ts'
import { age, type BackfillWorld, createBackfillWorld, objectsSpec, putOld } from '../support/backfill-world.ts'
import { bucketName } from '../support/weights-world.ts'

let it_: BackfillWorld
beforeEach(async () => {
  it_ = await createBackfillWorld()
})
const old = (count: number): void => putOld(it_, count)
const aged = (fill: () => void): Promise<void> => age(it_, fill)

async function* none(): AsyncGenerator<ObjectRow> {}
/** The index of what is pending is late. Answers the ledger as it was. */
const forgetPending = (): ObjectLedger => {
  const { weights } = it_.deps
  const known = weights.objects
  weights.objects = { ...known, pending: none }
  return known
}

describe('a backfill of objects that is stopped', () => {
  it('ends what a call planned while another ended its part, which was cancelled', async () => {
    await aged(() => old(2))
    const run = await it_.start(objectsSpec)
    const [message] = it_.messages
    const before = { ...it_.deps.state }
    it_.deps.state.write = async (...args) => {
      it_.deps.state.write = (...others) => before.write(...others)
      await it_.ask({ action: 'cancel', run })
      it_.messages.splice(0, it_.messages.length, message!)
      // The other one sees none of what was planned: its index is late.
      const known = forgetPending()
      expect(await it_.step()).toBe('stopped')
      it_.deps.weights.objects = known
      return before.write(...args)
    }
    expect(await it_.step()).toBe('taken')
    expect(await toArray(it_.deps.weights.objects.pending('backfill'))).toEqual([])
    it_.world.tick(60_000)
    const again = await it_.start(objectsSpec)
    await it_.settle()
    expect(await it_.counts(again)).toMatchObject({ planned: 2, done: 2 })
  })

  it.each(['cancelled', 'failed'] as const)('%s ends what is on its way, whatever the index says', async (status) => {
    await aged(() => old(8))
    const run = await it_.start(objectsSpec)
    const known = forgetPending()
    const { source } = it_.deps.weights
    let pages = 0
    it_.deps.weights.source = {
      ...source,
      versionPages: (...args) => {
        pages += 1
        if (pages === 2 && status === 'failed') throw new DeniedError('the bucket is denied')
        return source.versionPages(...args)
      },
      head: async (ref) => {
        if (ref.key === 'old/5' && status === 'cancelled') await it_.ask({ action: 'cancel', run })
        return source.head(ref)
      },
    }
    it_.deps.wait = async () => undefined
    expect(await it_.step()).toBe('stopped')
    expect((await it_.run(run)).status).toBe(status)
    expect((await it_.counts(run))['planned']).toBeGreaterThan(0)
    expect(await toArray(known.pending('backfill'))).toEqual([])
  })

  it('brings in what a call that was killed had planned for a backfill that was cancelled', async () => {
    await aged(() => old(2))
    const run = await it_.start(objectsSpec)
    const before = { ...it_.deps.state }
    it_.deps.state.write = async () => {
      it_.deps.state.write = (...args) => before.write(...args)
      throw new Error('killed')
    }
    await expect(it_.step()).rejects.toThrow('killed')
    const known = forgetPending()
    await it_.ask({ action: 'cancel', run })
    await it_.settle()
    it_.deps.weights.objects = known
    expect(await toArray(known.pending('backfill'))).toHaveLength(2)
    it_.world.tick(60_000)
    const again = await it_.start(objectsSpec)
    await it_.settle()
    expect((await it_.report(again)).counts).toMatchObject({ planned: 2, done: 2 })
    expect((await it_.report(again)).counts['underWay']).toBeUndefined()
    expect(await it_.world.manifests()).toHaveLength(2)
  })

  it('does not pass where an event has something of it under way', async () => {
    await aged(() => old(2))
    const { weights } = it_.deps
    const object = await weights.source.head({ bucket: bucketName, key: 'old/1' })
    await planObject(weights, weights.config.buckets[0]!, object!)
    it_.world.workQueue.messages.length = 0
    const run = await it_.start(objectsSpec)
    await it_.step()
    expect(await it_.report(run)).toMatchObject({ outcome: 'incomplete', counts: { done: 1, underWay: 1 } })
  })
})

describe('a call that died after it planned', () => {
  it('has its objects counted as done, also where they are sealed while the next call looks at them', async () => {
    await aged(() => old(1))
    const run = await it_.start(objectsSpec)
    const { weights } = it_.deps
    const { source } = weights
    let isFirst = true
    it_.deps.weights.source = {
      ...source,
      head: async (ref) => {
        const object = await source.head(ref)
        if (object && isFirst) {
          isFirst = false
          // What the call before planned gets whole between the look at the ledger and the plan.
          const earlier = { ...weights, source }
          await planObject(
            earlier,
            ruleFor(weights.config, bucketName, object.key)!,
            object,
            0,
            'asked',
            undefined,
            run,
          )
          await it_.drain()
        }
        return object
      },
    }
    await it_.settle()
    expect(await it_.counts(run)).toMatchObject({ read: 1, done: 1 })
    expect(await it_.counts(run)).not.toHaveProperty('alreadyThere')
  })
})
