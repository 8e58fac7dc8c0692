import { beforeEach, describe, expect, it } from 'vitest'
import { forEachBounded, toArray } from '../../shared/bounded.ts'
import {
  objectRow,
  large,
  segmentRow,
  range,
  times,
  countOf,
  type Ledger,
  ledgerFixture,
} from '../support/ledger-fixture.ts'

const fixture = ledgerFixture()

const piece = (number: number) => ({ start: number * 10, length: 10, value: `d${number}` })

describe.each(fixture.targets)('a ledger: %s', (_name, openLedger) => {
  let ledger: Ledger
  beforeEach(async () => {
    ledger = await openLedger()
  })
  const left = async (): Promise<number | undefined> => (await ledger.objects.get('trace-1'))?.left

  describe('objects', () => {
    it('gives back what was begun, and undefined for what was not', async () => {
      expect(await ledger.objects.get('trace-1')).toBeUndefined()
      expect(await ledger.objects.begin(objectRow())).toBe(true)
      expect(await ledger.objects.get('trace-1')).toEqual(objectRow())
    })

    it('begins the same plan once, among many', async () => {
      const begun = await times(20, async () => ledger.objects.begin(objectRow()))
      expect(countOf(begun, true)).toBe(1)
      await ledger.segments.finish(segmentRow(0))
      expect(await ledger.objects.begin(objectRow())).toBe(false)
      expect(await left()).toBe(2)
    })

    it.each(['copying', 'superseded', 'refused'] as const)('replaces another plan that is %s', async (state) => {
      await ledger.objects.begin(objectRow())
      if (state !== 'copying') await ledger.objects.update('trace-1', 'plan-1', { state, reason: 'gone' })
      await ledger.objects.update('trace-1', 'plan-1', { cursor: 5, nudgedAt: 6 })
      const next = objectRow({ planId: 'plan-2', attempt: 1 })
      expect(await ledger.objects.begin(next)).toBe(true)
      expect(await ledger.objects.get('trace-1')).toEqual(next)
    })

    it.each(['protected', 'sealed'] as const)('does not replace what is %s', async (state) => {
      await ledger.objects.begin(objectRow())
      await ledger.objects.update('trace-1', 'plan-1', { state, manifestDigest: 'd' })
      expect(await ledger.objects.begin(objectRow({ planId: 'plan-2', attempt: 9 }))).toBe(false)
      expect(await ledger.objects.get('trace-1')).toEqual(objectRow({ state, manifestDigest: 'd' }))
    })

    it('replaces a sealed row by a repair of a later attempt, and by nothing else', async () => {
      const repair = { bodies: ['aa'] }
      await ledger.objects.begin(objectRow({ attempt: 1 }))
      await ledger.objects.update('trace-1', 'plan-1', { state: 'protected', manifestDigest: 'd' })
      expect(await ledger.objects.begin(objectRow({ planId: 'plan-2', attempt: 1, repair }))).toBe(false)
      expect(await ledger.objects.begin(objectRow({ planId: 'plan-1', attempt: 2, repair }))).toBe(false)
      expect(await ledger.objects.begin(objectRow({ planId: 'plan-2', attempt: 2 }))).toBe(false)
      expect(await ledger.objects.get('trace-1')).toMatchObject({ planId: 'plan-1', state: 'protected' })
      expect(await ledger.objects.begin(objectRow({ planId: 'plan-2', attempt: 2, repair }))).toBe(true)
      const row = await ledger.objects.get('trace-1')
      expect(row).toMatchObject({ planId: 'plan-2', state: 'copying', left: 3, repair })
      expect(row).not.toHaveProperty('manifestDigest')
      expect(await ledger.objects.begin(objectRow({ planId: 'plan-2', attempt: 2, repair }))).toBe(false)
    })

    it('does not go back to an earlier attempt, and takes another plan of the same one', async () => {
      await ledger.objects.begin(objectRow({ attempt: 2 }))
      expect(await ledger.objects.begin(objectRow({ planId: 'plan-0', attempt: 1 }))).toBe(false)
      expect(await ledger.objects.begin(objectRow({ planId: 'plan-3', attempt: 2 }))).toBe(true)
    })

    it('changes fields of this plan only', async () => {
      await ledger.objects.begin(objectRow())
      expect(await ledger.objects.update('trace-1', 'plan-2', { cursor: 7 })).toBe(false)
      expect(await ledger.objects.update('none', 'plan-1', { cursor: 7 })).toBe(false)
      const change = { cursor: 7, nudgedAt: 8, sha256: 'aa', manifestDigest: 'bb', reason: 'cc' }
      expect(await ledger.objects.update('trace-1', 'plan-1', change)).toBe(true)
      expect(await ledger.objects.get('trace-1')).toEqual(objectRow(change))
    })

    it.each([
      ['copying', 'protected', true],
      ['copying', 'superseded', true],
      ['copying', 'refused', true],
      ['superseded', 'protected', true],
      ['superseded', 'refused', false],
      ['refused', 'superseded', false],
      ['protected', 'superseded', false],
      ['sealed', 'refused', false],
      ['protected', 'protected', false],
    ] as const)('from %s to %s: %s', async (from, to, allowed) => {
      await ledger.objects.begin(objectRow())
      if (from !== 'copying') await ledger.objects.update('trace-1', 'plan-1', { state: from })
      expect(await ledger.objects.update('trace-1', 'plan-1', { state: to })).toBe(allowed)
      expect((await ledger.objects.get('trace-1'))!.state).toBe(allowed ? to : from)
    })

    it('lists what is being copied, oldest first, until it is not', async () => {
      for (const number of [3, 1, 2])
        await ledger.objects.begin(objectRow({ traceId: `trace-${number}`, since: number * 1000 }))
      const pending = async () => (await toArray(ledger.objects.pending())).map(({ traceId }) => traceId)
      expect(await pending()).toEqual(['trace-1', 'trace-2', 'trace-3'])
      await ledger.objects.update('trace-2', 'plan-1', { nudgedAt: 5 })
      await ledger.objects.update('trace-1', 'plan-1', { state: 'protected' })
      await ledger.objects.update('trace-3', 'plan-1', { state: 'refused' })
      expect(await pending()).toEqual(['trace-2'])
      expect((await toArray(ledger.objects.pending()))[0]).toMatchObject({ nudgedAt: 5, left: 3, state: 'copying' })
    })

    it('lists what backfills copy apart from what is late', async () => {
      await ledger.objects.begin(objectRow({ traceId: 'trace-1', since: 1000, backfill: 'run-1' }))
      await ledger.objects.begin(objectRow({ traceId: 'trace-2', since: 2000 }))
      const pending = async (of?: 'live' | 'backfill') =>
        (await toArray(ledger.objects.pending(of))).map(({ traceId, backfill }) => `${traceId} ${backfill ?? '-'}`)
      expect(await pending()).toEqual(['trace-2 -'])
      expect([await pending('live'), await pending('backfill')]).toEqual([['trace-2 -'], ['trace-1 run-1']])
      await ledger.objects.update('trace-1', 'plan-1', { state: 'protected' })
      expect(await pending('backfill')).toEqual([])
    })
  })

  describe('segments', () => {
    it('counts each once, among many duplicates at the same time', async () => {
      await ledger.objects.begin(objectRow())
      const results = await times(100, async (index) => ledger.segments.finish(segmentRow(index % 2)))
      expect(countOf(results, 'counted')).toBe(2)
      expect(countOf(results, 'already')).toBe(98)
      expect(await left()).toBe(1)
    })

    it('counts 100 different ones at the same time', { timeout: 60_000 }, async () => {
      await ledger.objects.begin(large(100))
      const results = await times(100, async (index) => ledger.segments.finish(segmentRow(index)))
      expect(countOf(results, 'counted')).toBe(100)
      expect(await left()).toBe(0)
      expect((await toArray(ledger.segments.list('trace-1', 'plan-1'))).map(({ index }) => index)).toEqual(range(100))
    })

    it.each([
      ['another plan', async () => ledger.objects.begin(objectRow({ planId: 'plan-2' }))],
      ['a closed plan', async () => ledger.objects.update('trace-1', 'plan-1', { state: 'superseded' })],
      ['another large plan', async () => ledger.objects.begin(large(25, { planId: 'plan-2' }))],
    ])('takes one for stale after %s', async (_what, change) => {
      await ledger.objects.begin(objectRow())
      await ledger.segments.finish(segmentRow(0))
      await change()
      const before = await left()
      expect(await ledger.segments.finish(segmentRow(0))).toBe('already')
      expect(await ledger.segments.finish(segmentRow(1))).toBe('stale')
      expect(await left()).toBe(before)
      expect(await ledger.segments.get('trace-1', 'plan-1', 10)).toBeUndefined()
    })

    it('takes one for stale where there is no object', async () => {
      expect(await ledger.segments.finish(segmentRow(0))).toBe('stale')
      expect(await ledger.segments.get('trace-1', 'plan-1', 0)).toBeUndefined()
    })

    it('lists what overlaps a range, in order of offset', async () => {
      await ledger.objects.begin(large(12))
      await forEachBounded(
        [11, 3, 0, 7, 10, 2, 9],
        4,
        async (index) => void (await ledger.segments.finish(segmentRow(index))),
      )
      const offsets = async (from?: number, to?: number) =>
        (await toArray(ledger.segments.list('trace-1', 'plan-1', from, to))).map(({ offset }) => offset)
      expect(await offsets()).toEqual([0, 20, 30, 70, 90, 100, 110])
      expect(await offsets(25)).toEqual([20, 30, 70, 90, 100, 110])
      expect(await offsets(30, 100)).toEqual([30, 70, 90])
      expect(await offsets(35, 36)).toEqual([30])
      expect(await toArray(ledger.segments.list('trace-1', 'plan-2'))).toEqual([])
      expect(await ledger.segments.get('trace-1', 'plan-1', 20)).toEqual(segmentRow(2))
    })

    it.each([
      ['a small plan', 3],
      ['a plan with sharded counters', 25],
    ])('reopens a segment of %s once, and finishes it again', async (_what, count) => {
      await ledger.objects.begin(large(count))
      for (const index of range(count)) await ledger.segments.finish(segmentRow(index))
      await ledger.objects.update('trace-1', 'plan-1', { cursor: 10 })
      expect(await left()).toBe(0)
      await times(5, async () => ledger.segments.reopen(segmentRow(1)))
      expect(await ledger.objects.get('trace-1')).toMatchObject({ left: 1 })
      expect((await ledger.objects.get('trace-1'))!.cursor).toBeUndefined()
      expect(await ledger.segments.get('trace-1', 'plan-1', 10)).toBeUndefined()
      expect(await ledger.segments.finish(segmentRow(1))).toBe('counted')
      expect(await left()).toBe(0)
    })

    it('reopens segments of one counter at the same time', async () => {
      await ledger.objects.begin(large(25))
      for (const index of range(25)) await ledger.segments.finish(segmentRow(index))
      for (let round = 0; round < 5; round += 1) {
        const some = range(25).filter((index) => index % 3 === round % 3)
        await Promise.all(some.map(async (index) => ledger.segments.reopen(segmentRow(index))))
        expect(await left()).toBeGreaterThan(0)
        await Promise.all(some.map(async (index) => ledger.segments.finish(segmentRow(index))))
        expect(await left()).toBe(0)
      }
    })

    it('reopens where other segments of the counter are not done', async () => {
      await ledger.objects.begin(large(25))
      await ledger.segments.finish(segmentRow(0))
      await ledger.segments.reopen(segmentRow(0))
      for (const index of range(25)) expect(await ledger.segments.finish(segmentRow(index))).toBe('counted')
      expect(await left()).toBe(0)
    })

    it('does not reopen a plan that was replaced or closed', async () => {
      await ledger.objects.begin(objectRow())
      for (const index of range(3)) await ledger.segments.finish(segmentRow(index))
      await ledger.objects.update('trace-1', 'plan-1', { state: 'protected' })
      await ledger.segments.reopen(segmentRow(1))
      expect(await left()).toBe(0)
      expect(await ledger.segments.get('trace-1', 'plan-1', 10)).toEqual(segmentRow(1))
    })
  })

  describe('digests', () => {
    it('begin once, when all is copied, and are counted once each', async () => {
      await ledger.objects.begin(objectRow({ segments: 1, left: 1 }))
      expect(await ledger.digests.begin('trace-1', 'plan-1', 2)).toBe(false)
      await ledger.segments.finish(segmentRow(0))
      const begun = await times(5, async () => ledger.digests.begin('trace-1', 'plan-1', 2))
      expect(countOf(begun, true)).toBe(1)
      expect(await ledger.objects.get('trace-1')).toMatchObject({ phase: 'digest', left: 2 })
      const results = await times(20, async (index) => ledger.digests.finish('trace-1', 'plan-1', piece(index % 2)))
      expect(countOf(results, 'counted')).toBe(2)
      expect(await left()).toBe(0)
      expect(await ledger.digests.begin('trace-1', 'plan-1', 2)).toBe(false)
      expect(await toArray(ledger.digests.list('trace-1', 'plan-1'))).toEqual([piece(0), piece(1)])
      expect(await toArray(ledger.segments.list('trace-1', 'plan-1'))).toHaveLength(1)
    })

    it('are stale for another plan', async () => {
      await ledger.objects.begin(objectRow({ segments: 0, left: 0 }))
      expect(await ledger.digests.begin('trace-1', 'plan-2', 2)).toBe(false)
      expect(await ledger.digests.begin('trace-1', 'plan-1', 2)).toBe(true)
      expect(await ledger.digests.finish('trace-1', 'plan-2', piece(0))).toBe('stale')
      expect(await left()).toBe(2)
    })

    it('and a reopened segment are both waited for', async () => {
      await ledger.objects.begin(large(25))
      for (const index of range(25)) await ledger.segments.finish(segmentRow(index))
      await ledger.digests.begin('trace-1', 'plan-1', 1)
      await ledger.segments.reopen(segmentRow(3))
      await ledger.digests.finish('trace-1', 'plan-1', piece(0))
      expect(await left()).toBe(1)
      await ledger.segments.finish(segmentRow(3))
      expect(await left()).toBe(0)
    })
  })
})
