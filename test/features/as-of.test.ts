import { beforeEach, describe, expect, it } from 'vitest'
import { InvalidInputError } from '../../shared/errors.ts'
import { type AsOf, historyDays, itemAt } from '../../shared/features/as-of.ts'
import { backfillRow } from '../../shared/features/backfill-row.ts'
import { ruleOfTable } from '../../shared/features/change.ts'
import type { Item } from '../../shared/features/item.ts'
import { redrive } from '../../shared/features/redrive.ts'
import type { RowStore } from '../../shared/features/row-store.ts'
import { fenceVersion } from '../../shared/features/version.ts'
import { rereadRow } from '../../shared/features/reread.ts'
import { encodeRowKey } from '../../shared/features/row-key.ts'
import { applyBatch } from '../../shared/features/apply-batch.ts'
import { apply, createRowsTest, recordOf, rowsConfig, type RowsTest } from '../support/rows-deps.ts'

const t0 = 1_790_000_000
let now: number
let deps: RowsTest
beforeEach(() => {
  now = t0 + 1000
  deps = createRowsTest({ nowSecond: () => now })
})

const key = (pk: string) => ({ partition: { S: pk } })
const v = (text: string): Item => ({ v: { S: text } })
const ask = (pk: string, second?: number): Promise<AsOf> =>
  itemAt(deps, 'features', encodeRowKey(key(pk)), second === undefined ? undefined : { second, nowSecond: now })
/** The value of `v`, or the state. */
const at = async (pk: string, second?: number): Promise<string> => {
  const answer = await ask(pk, second)
  if (answer.state !== 'present') return answer.state
  const value = answer.item['v']
  return value && 'S' in value ? value.S : '?'
}
const isTooLarge = (before: Uint8Array | string): boolean =>
  typeof before !== 'string' && Buffer.from(before).includes('too large')
const rule = () => ruleOfTable(deps.config, 'features')

/** Answers around a change that was kept before its stream was configured; `nonce` is that of every reread. */
const askRedriven = async (nonce?: string): Promise<string[]> => {
  now = t0 + 1000
  deps = createRowsTest({ nowSecond: () => now })
  if (nonce !== undefined) deps.random = { ...deps.random, hex: () => nonce }
  await apply(deps, [{ pk: 'a', second: t0, sequence: 1, after: v('1') }])
  // The second stream is not configured yet: its change is kept whole.
  const change = { pk: 'a', second: t0 + 20, sequence: 5, before: v('1'), after: v('2') }
  await apply(deps, [{ ...change, epoch: 2 }])
  deps.config = rowsConfig([1, 2])
  await apply(deps, [{ pk: 'b', second: t0 + 10, sequence: 4, epoch: 2, after: v('x') }])
  deps.source.put('features', { pk: { S: 'a' }, ...v('2') })
  expect(await redrive(deps)).toMatchObject({ redriven: 1, failures: 0 })
  return Promise.all([10, 19, 20, 1000].map((second) => at('a', t0 + second)))
}

describe('itemAt', () => {
  it('answers each second of a life: written, changed within one second, deleted, written again', async () => {
    await apply(deps, [
      { pk: 'start', second: t0, sequence: 1, after: v('x') },
      { pk: 'a', second: t0 + 10, sequence: 2, after: v('1') },
      { pk: 'a', second: t0 + 20, sequence: 3, before: v('1'), after: v('2') },
      { pk: 'a', second: t0 + 20, sequence: 4, before: v('2'), after: v('3') },
      { pk: 'a', second: t0 + 30, sequence: 5, before: v('3') },
      { pk: 'a', second: t0 + 40, sequence: 6, after: v('4') },
    ])
    const seconds = [-1, 0, 9, 10, 19, 20, 29, 30, 39, 40, 1000]
    expect(await Promise.all(seconds.map((second) => at('a', t0 + second)))).toEqual([
      'unknown',
      'absent',
      'absent',
      '1',
      '1',
      '3',
      '3',
      'absent',
      'absent',
      '4',
      '4',
    ])
    expect(await at('a')).toBe('4')
  })

  it('answers an item that was last changed before the history ends, and nothing before that', async () => {
    await apply(deps, [{ pk: 'old', second: t0, sequence: 1, after: v('1') }])
    now = t0 + (historyDays + 10) * 86_400
    const oldest = now - historyDays * 86_400
    expect(await at('old', oldest)).toBe('1')
    expect(await at('old', now)).toBe('1')
    expect(await ask('old', oldest - 1)).toEqual({ state: 'unknown', reason: 'before the history', knownFrom: oldest })
  })

  it('does not know what was before a scan or a reread saw the item', async () => {
    await apply(deps, [{ pk: 'start', second: t0, sequence: 1, after: v('x') }])
    expect(await ask('scanned')).toEqual({ state: 'unknown', reason: 'never seen' })
    await backfillRow(deps, rule(), key('scanned'), { pk: { S: 'scanned' }, ...v('s') }, (t0 + 50) * 1000)
    expect(await ask('scanned', t0 + 49)).toEqual({
      state: 'unknown',
      reason: 'before first sight',
      knownFrom: t0 + 50,
    })
    expect(await at('scanned', t0 + 50)).toBe('s')
    now = t0 + 60
    deps.source.put('features', { pk: { S: 'reread' }, ...v('r') })
    expect(await rereadRow(deps, rule(), key('reread'))).toBe('written')
    expect([await at('reread', t0 + 59), await at('reread', t0 + 60)]).toEqual(['unknown', 'r'])
  })

  it('does not guess while a scan has written the row and not yet its history', async () => {
    await apply(deps, [{ pk: 'start', second: t0, sequence: 1, after: v('x') }])
    const rows = { ...deps.rows, history: { ...deps.rows.history, append: async () => undefined } }
    await backfillRow({ ...deps, rows }, rule(), key('a'), { pk: { S: 'a' }, ...v('s') }, (t0 + 50) * 1000)
    expect([await at('a', t0 + 49), await at('a', t0 + 50)]).toEqual(['unknown', 's'])
  })

  it('a reread of a row that is at its fence takes nothing from the history: this is what the nonce is for', async () => {
    await apply(deps, [
      { pk: 'start', second: t0, sequence: 1, after: v('x') },
      { pk: 'a', second: t0 + 10, sequence: 2, after: v('1') },
    ])
    const repair = async (nonce?: string): Promise<void> => {
      const random = nonce === undefined ? deps.random : { ...deps.random, hex: () => nonce }
      expect(await rereadRow({ ...deps, random }, rule(), key('a'))).toBe('written')
    }
    // The row was damaged behind our back, as far as its source says.
    deps.source.put('features', { pk: { S: 'a' }, ...v('2') })
    await repair()
    expect([await at('a', t0 + 9), await at('a', t0 + 999), await at('a', t0 + 1000)]).toEqual([
      'absent',
      'unknown',
      '2',
    ])
    // Without a nonce of its own the mark replaces the entry of the change, and what was known is lost.
    deps.source.put('features', { pk: { S: 'b' }, ...v('2') })
    await apply(deps, [{ pk: 'b', second: t0 + 10, sequence: 3, after: v('1') }])
    expect(await at('b', t0 + 9)).toBe('absent')
    const random = { ...deps.random, hex: () => '0'.repeat(16) }
    expect(await rereadRow({ ...deps, random }, rule(), key('b'))).toBe('written')
    expect(await at('b', t0 + 9)).toBe('unknown')
  })

  it('does not answer with a row that a quarantined change has left behind', async () => {
    await apply(deps, [{ pk: 'a', second: t0, sequence: 1, after: v('1') }])
    const poison = recordOf({ pk: 'a', second: t0 + 20, sequence: 2, before: v('1'), after: v('2') })
    const broken = { ...poison, dynamodb: { ...poison.dynamodb, NewImage: { pk: { S: 'a' }, v: { X: '2' } } } }
    await applyBatch(deps, [broken], { remainingMs: () => 60_000 })
    expect(await ask('a', t0 + 25)).toEqual({ state: 'unknown', reason: 'not applied' })
    deps.source.put('features', { pk: { S: 'a' }, ...v('2') })
    const [kept] = deps.quarantine.waiting.values()
    await deps.quarantine.put({ ...kept!, record: poison })
    expect(await redrive(deps)).toMatchObject({ redriven: 1 })
    expect([await at('a', t0 + 19), await at('a', t0 + 1000)]).toEqual(['1', '2'])
  })

  it('does not guess where a row was read again after its stream was off, by a clock that is behind', async () => {
    await apply(deps, [
      { pk: 'start', second: t0, sequence: 1, after: v('x') },
      { pk: 'a', second: t0 + 10, sequence: 2, after: v('1') },
    ])
    // Off from t0 + 20. A change at t0 + 42 was never seen; whoever heals the row has a clock that says t0 + 41.
    deps.source.put('features', { pk: { S: 'a' }, ...v('2') })
    now = t0 + 41
    await rereadRow(deps, rule(), key('a'), fenceVersion({ epoch: 2 }))
    now = t0 + 1000
    expect([await at('a', t0 + 41), await at('a', t0 + 43)]).toEqual(['unknown', 'unknown'])
    deps.config = rowsConfig([1, 2])
    await apply(deps, [{ pk: 'start', second: t0 + 50, sequence: 1, epoch: 2, before: v('x'), after: v('y') }])
    expect([await at('a', t0 + 41), await at('a', t0 + 50)]).toEqual(['unknown', '2'])
  })

  it('does not guess across a change that lies in quarantine, and knows it once it is redriven', async () => {
    await apply(deps, [{ pk: 'a', second: t0, sequence: 1, after: v('1') }])
    const poison = recordOf({ pk: 'a', second: t0 + 20, sequence: 2, before: v('1'), after: v('2') })
    const broken = { ...poison, dynamodb: { ...poison.dynamodb, NewImage: { pk: { S: 'a' }, v: { X: '2' } } } }
    await applyBatch(deps, [broken], { remainingMs: () => 60_000 })
    await apply(deps, [{ pk: 'a', second: t0 + 30, sequence: 3, before: v('2'), after: v('3') }])
    const seconds = [0, 19, 20, 29, 30]
    const answers = (): Promise<string[]> => Promise.all(seconds.map((second) => at('a', t0 + second)))
    expect(await answers()).toEqual(['unknown', 'unknown', '2', '2', '3'])
    expect(deps.telemetry.total('ChangesQuarantined')).toBe(1)
    const [kept] = deps.quarantine.waiting.values()
    await deps.quarantine.put({ ...kept!, record: poison })
    deps.source.put('features', { pk: { S: 'a' }, ...v('3') })
    expect(await redrive(deps)).toMatchObject({ redriven: 1, failures: 0 })
    expect(await answers()).toEqual(['1', '1', '2', '2', '3'])
  })

  it('knows what a redriven change found: the mark of its reread has a nonce, and leaves that in place', async () => {
    expect(await askRedriven()).toEqual(['1', '1', 'unknown', '2'])
    expect(await askRedriven('0'.repeat(16))).toEqual(['unknown', 'unknown', 'unknown', '2'])
  })

  it('does not guess across a change whose history Bigtable refuses, before and after it is redriven', async () => {
    const { history } = deps.rows
    const append: RowStore['history']['append'] = async (table, entries) => {
      if (entries.some(({ before }) => isTooLarge(before))) throw new InvalidInputError('the entry is too large')
      await history.append(table, entries)
    }
    deps.rows = { ...deps.rows, history: { ...history, append } }
    await apply(deps, [
      { pk: 'a', second: t0, sequence: 1, after: v('too large') },
      { pk: 'a', second: t0 + 20, sequence: 2, before: v('too large'), after: v('2') },
      { pk: 'a', second: t0 + 30, sequence: 3, before: v('2'), after: v('3') },
    ])
    const answers = (): Promise<string[]> => Promise.all([0, 19, 20, 30].map((second) => at('a', t0 + second)))
    expect(await answers()).toEqual(['unknown', 'unknown', '2', '3'])
    deps.source.put('features', { pk: { S: 'a' }, ...v('3') })
    expect(await redrive(deps)).toMatchObject({ redriven: 1, failures: 0 })
    expect(await answers()).toEqual(['unknown', 'unknown', '2', '3'])
  })

  it('does not guess across a change that was kept before its stream was configured, and that nobody can read', async () => {
    await apply(deps, [{ pk: 'a', second: t0, sequence: 1, after: v('1') }])
    const change = { pk: 'a', second: t0 + 20, sequence: 2, before: v('1'), after: v('2'), epoch: 2 }
    const record = recordOf(change)
    const broken = { ...record, dynamodb: { ...record.dynamodb, NewImage: { pk: { S: 'a' }, v: { X: '2' } } } }
    await applyBatch(deps, [broken], { remainingMs: () => 60_000 })
    deps.config = rowsConfig([1, 2])
    // Another shard is behind, and begins before the change that is kept.
    await apply(deps, [{ pk: 'b', second: t0 + 10, sequence: 1, after: v('x'), epoch: 2 }])
    await apply(deps, [{ pk: 'a', second: t0 + 30, sequence: 3, before: v('2'), after: v('3'), epoch: 2 }])
    deps.source.put('features', { pk: { S: 'a' }, ...v('3') })
    expect(await redrive(deps)).toMatchObject({ redriven: 1, failures: 0 })
    const seconds = [10, 19, 20, 30]
    expect(await Promise.all(seconds.map((second) => at('a', t0 + second)))).toEqual(['unknown', 'unknown', '2', '3'])
  })

  it('does not guess across a stream that was off: each epoch is known from its own first change', async () => {
    await apply(deps, [
      { pk: 'start', second: t0, sequence: 1, after: v('x') },
      { pk: 'a', second: t0 + 10, sequence: 2, after: v('1') },
    ])
    // Off until t0 + 100: a change to 2 was never seen.
    deps.config = rowsConfig([1, 2])
    await apply(deps, [{ pk: 'start', second: t0 + 100, sequence: 1, epoch: 2, before: v('x'), after: v('y') }])
    await apply(deps, [{ pk: 'a', second: t0 + 120, sequence: 2, epoch: 2, before: v('2'), after: v('3') }])
    const seconds = [9, 10, 99, 100, 119, 120]
    expect(await Promise.all(seconds.map((second) => at('a', t0 + second)))).toEqual([
      'absent',
      'unknown',
      'unknown',
      '2',
      '2',
      '3',
    ])
    expect(await ask('a', t0 + 50)).toEqual({ state: 'unknown', reason: 'before first sight', knownFrom: t0 + 100 })
  })
})
