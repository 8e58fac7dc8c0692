import { readFile } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { createMemoryProofState } from '../../shared/clouds/memory/proof-state.ts'
import { createMemoryQueue } from '../../shared/clouds/memory/queue.ts'
import { InvalidInputError } from '../../shared/errors.ts'
import { createBrake } from '../../shared/backfill/brake.ts'
import { requestSchema } from '../../shared/backfill/control.ts'
import { parseWork, receivesMax } from '../../shared/backfill/message.ts'
import { defaultPrices, pricesOf } from '../../shared/backfill/prices.ts'
import { dollarsOf, quantitiesOf } from '../../shared/backfill/quantities.ts'
import { addRun, changeRun } from '../../shared/backfill/records.ts'
import { newPart, overlaps, refuse, type Run } from '../../shared/backfill/run.ts'
import { createRoutedQueue } from '../../shared/weights/routed-queue.ts'
import { objectsSpec, tableSpec } from '../support/backfill-world.ts'

const run: Run = {
  id: 'run-1',
  spec: objectsSpec,
  limits: {},
  status: 'running',
  startedAt: 0,
  resumedAt: 0,
  parts: 1,
  since: 0,
  estimate: null,
}

describe('units of backfills', () => {
  it('go to a queue of their own, many in order', async () => {
    const [live, backfill] = [createMemoryQueue<Unit>(), createMemoryQueue<Unit>()]
    type Unit = { index: number; backfill?: string }
    const units = Array.from({ length: 1203 }, (_, index): Unit => ({
      index,
      ...(index % 3 === 0 ? { backfill: 'a' } : {}),
    }))
    expect(await createRoutedQueue(live, backfill).send(units)).toBe(1203)
    const indexes = ({ messages }: typeof live): number[] => messages.map((text) => (JSON.parse(text) as Unit).index)
    expect(indexes(backfill)).toEqual(units.filter(({ index }) => index % 3 === 0).map(({ index }) => index))
    expect(indexes(live)).toEqual(units.filter(({ index }) => index % 3 !== 0).map(({ index }) => index))
  })

  it('stop within two seconds of a pause, and go on where the state cannot be read', async () => {
    let now = 0
    const state = createMemoryProofState()
    await addRun(state, run, newPart(0), [])
    const brake = createBrake({ state, clock: { now: () => now } })
    const deadline = brake.deadline('run-1', { remainingMs: () => 5000 })
    expect(await brake.moves('run-1')).toBe(true)
    await changeRun(state, 'run-1', (one) => ({ ...one, status: 'paused' }))
    expect(deadline.remainingMs()).toBe(5000)
    now = 2000
    deadline.remainingMs()
    await new Promise((resolve) => setImmediate(resolve))
    expect(deadline.remainingMs()).toBe(0)
    expect(await brake.moves('run-1')).toBe(false)
    state.read = async () => {
      throw new Error('away')
    }
    const other = brake.deadline('run-2', { remainingMs: () => 7000 })
    other.remainingMs()
    await new Promise((resolve) => setImmediate(resolve))
    expect(other.remainingMs()).toBe(7000)
  })
})

describe('runs', () => {
  it.each([
    [{ prefix: 'old/' }, true],
    [{ prefix: '' }, true],
    [{ prefix: 'old/a/' }, true],
    [{ prefix: 'new/' }, false],
    [{ bucket: 'others' }, false],
  ])('of old/ and %o overlap: %s', (other, expected) => {
    expect(overlaps(objectsSpec, { ...objectsSpec, ...other })).toBe(expected)
  })

  it('of a table overlap whatever they read it from', () => {
    expect(overlaps(tableSpec, { ...tableSpec, exports: ['s3://b/k'] })).toBe(true)
    expect(overlaps(tableSpec, { ...tableSpec, table: 'others' })).toBe(false)
    expect(overlaps(tableSpec, objectsSpec)).toBe(false)
  })

  it('two that are begun on one sight of the list are one', async () => {
    const state = createMemoryProofState()
    const begun = [
      await addRun(state, run, newPart(0), []),
      await addRun(state, { ...run, id: 'run-2' }, newPart(0), []),
    ]
    expect(begun).toEqual([true, false])
  })

  it.each([['run-1/0'], ['../reconcile'], ['']])('of the id "%s" are not asked for', (id) => {
    expect(requestSchema.safeParse({ lifeboat: 'backfill', action: 'show', run: id }).success).toBe(false)
  })

  it('messages that are not of their making are refused', () => {
    for (const text of ['{', '{"lifeboat":"backfill","action":"work","run":"a"}', 'null'])
      expect(() => parseWork(text)).toThrow(InvalidInputError)
  })
})

describe('what was refused', () => {
  it('has room in an item of 400 KB, and names its version', () => {
    const part = newPart(0)
    const version = 'v'.repeat(32)
    for (let index = 0; index < 300; index += 1)
      refuse(part, `s3://models/${'k'.repeat(1024)}#${version}`, `an error of ${'x'.repeat(5000)}`)
    expect(Buffer.byteLength(JSON.stringify(part))).toBeLessThan(200_000)
    expect(part.refused[0]!.subject).toMatch(/^s3:\/\/models\/k+…k+#v{32}$/)
    expect(part.refused[0]!.subject).toHaveLength(300)
    expect(part.refusedTotal).toBe(300)
  })

  it('is final at the receive at which the queue gives a message up', async () => {
    const template = await readFile(new URL('../../infra/aws/backfill.yml', import.meta.url), 'utf8')
    const [, own] = /QueueName: lifeboat-\S+-backfill\n(?:.*\n)*?.*maxReceiveCount: (\d+)/.exec(template) ?? []
    expect(Number(own)).toBe(receivesMax)
  })
})

describe('money', () => {
  it('is what quantities cost at the prices that are given', () => {
    const work = { read: 1e6, done: 1e6, bytesRead: 2e12, bytesSent: 1e12, readUnits: 0, chunks: 2e6, segments: 1e6 }
    const quantities = quantitiesOf(objectsSpec, work)
    const dollars = dollarsOf(quantities, defaultPrices)
    expect(dollars.egress).toBeCloseTo(90, 6)
    expect(dollars.total).toBeCloseTo(dollars.egress + dollars.requests + dollars.lambda + dollars.reads, 9)
    expect(dollarsOf(quantities, pricesOf({ egressGb: 0.02 })).egress).toBeCloseTo(20, 6)
  })

  it('of a table is that of its read units and egress', () => {
    const work = { read: 1e9, done: 1e9, bytesRead: 1e12, bytesSent: 1.2e12, readUnits: 3e8 }
    const dollars = dollarsOf(quantitiesOf(tableSpec, work), defaultPrices)
    expect([dollars.egress, dollars.reads]).toEqual([expect.closeTo(108, 6), expect.closeTo(37.5, 6)])
  })

  it.each([[{ egress: 1 }], [{ egressGb: -1 }], [{ egressGb: 'free' }], [[1]]])('refuses prices %o', (given) => {
    expect(() => pricesOf(given)).toThrow(/allowed: dollars of egressGb/)
  })
})
