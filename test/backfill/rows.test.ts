import { beforeEach, describe, expect, it } from 'vitest'
import { NotConfiguredError, RefusedError } from '../../shared/errors.ts'
import { backfillRow } from '../../shared/features/backfill-row.ts'
import { ruleOfTable } from '../../shared/features/change.ts'
import { compareTable } from '../../shared/features/compare.ts'
import type { Item } from '../../shared/features/item.ts'
import { encodeRowKey, type ItemKey } from '../../shared/features/row-key.ts'
import { changeVersion } from '../../shared/features/version.ts'
import { rowWrite } from '../../shared/features/write.ts'
import { writeLagState, emptyLagState } from '../../shared/proof/lag-state.ts'
import { type BackfillWorld, createBackfillWorld, streamArn, table, tableSpec } from '../support/backfill-world.ts'

let world: BackfillWorld
beforeEach(async () => {
  world = await createBackfillWorld()
})

const itemOf = (index: number, value = index): Item => ({ pk: { S: `p${index}` }, n: { N: String(value) } })
const keyOf = (index: number): ItemKey => ({ partition: { S: `p${index}` } })
const fill = (count: number): void => {
  for (let index = 0; index < count; index += 1) world.put(itemOf(index))
}
const rule = () => ruleOfTable(world.deps.weights.config, table)
/** What apply-changes does for one change. */
const apply = async (index: number, sequence: number, item: Item | undefined): Promise<void> => {
  const version = changeVersion({ epoch: 1, sequenceNumber: String(sequence) })
  const time = Math.floor(world.world.now() / 1000)
  await world.rows.applyIfNewer(
    table,
    rowWrite(rule(), { rowKey: encodeRowKey(keyOf(index)), key: keyOf(index), version, time, item }),
  )
}
const differences = async (): Promise<number> =>
  (await compareTable({ source: world.items, rows: world.rows }, rule())).differences

const refused = async (): Promise<string> =>
  world.start(tableSpec).then(
    () => 'begun',
    (error: unknown) => {
      expect(error).toBeInstanceOf(RefusedError)
      return (error as Error).message
    },
  )

describe('a backfill of a table', () => {
  it('writes every item that no change brought, in segments', async () => {
    fill(2500)
    world.put(itemOf(1, 100))
    await apply(1, 5, itemOf(1, 100))
    world.items.delete(table, { pk: { S: 'p2' } })
    await apply(2, 6, undefined)
    const run = await world.start(tableSpec)
    await world.settle()
    expect(await differences()).toBe(0)
    const report = await world.report(run)
    expect(report).toMatchObject({ outcome: 'passed', counts: { read: 2499, done: 2498, newer: 1 } })
    expect(report.counts['readUnits']).toBeGreaterThan(0)
  })

  it('never overwrites what a change brings between the scan and the write', async () => {
    fill(50)
    const open = world.deps.openRows
    world.deps.openRows = async () => {
      const rows = await open()
      return {
        ...rows,
        scan: {
          ...rows.scan,
          page: async (...args) => {
            const page = await rows.scan.page(...args)
            for (const index of [3, 4]) world.put(itemOf(index, 1000 + index))
            await apply(3, 7, itemOf(3, 1003))
            await apply(4, 8, itemOf(4, 1004))
            world.items.delete(table, { pk: { S: 'p5' } })
            await apply(5, 9, undefined)
            return page
          },
        },
      }
    }
    await world.start(tableSpec)
    await world.settle()
    expect(await differences()).toBe(0)
  })

  it('lists items that Bigtable cannot hold, and writes the rest', async () => {
    fill(3)
    world.put({
      pk: { S: 'wide' },
      m: { L: Array.from({ length: 1 }, () => ({ S: 'x' })) },
      ...Object.fromEntries(Array.from({ length: 100_001 }, (_, index) => [`a${index}`, { BOOL: true as const }])),
    })
    const run = await world.start(tableSpec)
    await world.settle()
    const report = await world.report(run)
    expect(report).toMatchObject({ outcome: 'failed', counts: { done: 3, refused: 1 } })
    expect(report.findings[0]!.subject).toBe('{"pk":{"S":"wide"}}')
  })

  it('marks what was before as unknown, also of rows whose writer died before it did', async () => {
    fill(2)
    const before = { ...world.rows.history }
    world.rows.history.append = async () => {
      throw new Error('killed')
    }
    const run = await world.start({ ...tableSpec, segments: 1 })
    const message = world.messages[0]!
    await expect(world.step()).rejects.toThrow('killed')
    world.rows.history.append = (...args) => before.append(...args)
    world.messages.push(message)
    world.world.tick(5000)
    await world.settle()
    expect(await world.counts(run)).toMatchObject({ read: 2, alreadyThere: 2 })
    for (const index of [0, 1]) {
      const entries = []
      for await (const entry of world.rows.history.list(table, encodeRowKey(keyOf(index)))) entries.push(entry.before)
      expect(entries).toEqual(['unknown'])
    }
  })

  it('stays within its limits by waiting', async () => {
    fill(1000)
    const startedAt = world.world.now()
    await world.start({ ...tableSpec, segments: 1 }, { items: 100 })
    await world.settle()
    expect((world.world.now() - startedAt) / 1000).toBeGreaterThan(8)
    expect((world.world.now() - startedAt) / 1000).toBeLessThan(12)
  })

  it('stays within the read units of a second', async () => {
    for (let index = 0; index < 100; index += 1) world.put({ ...itemOf(index), b: { S: 'x'.repeat(4096) } })
    const startedAt = world.world.now()
    const run = await world.start({ ...tableSpec, segments: 2 }, { readUnits: 20 })
    await world.settle()
    const units = (await world.counts(run))['readUnits']!
    // Both parts have half of the limit, and here run one after the other.
    expect((world.world.now() - startedAt) / 1000).toBeGreaterThan((units / 10) * 0.5)
  })

  it('paused between pages goes on where it was', async () => {
    fill(300)
    const run = await world.start({ ...tableSpec, segments: 1 }, { items: 100 })
    const { wait } = world.deps
    world.deps.wait = async (ms) => {
      await wait(ms)
      await world.ask({ action: 'pause', run })
    }
    expect(await world.step()).toBe('stopped')
    expect(await world.counts(run)).toMatchObject({ read: 100 })
    expect((await world.ask({ action: 'show', run })) as object).toMatchObject({
      run: { status: 'paused', where: [/.*/] },
    })
    world.deps.wait = wait
    await world.ask({ action: 'resume', run })
    await world.settle()
    expect(await world.counts(run)).toMatchObject({ read: 300, done: 300 })
    expect(await differences()).toBe(0)
  })
})

describe('a backfill of a table is refused', () => {
  it('where it is not configured', async () => {
    await expect(world.start({ ...tableSpec, table: 'others' })).rejects.toThrow(NotConfiguredError)
  })

  it('without a stream', async () => {
    delete world.about.streamArn
    expect(await refused()).toContain('has no stream that is enabled')
  })

  it('with a stream that is not the configured one', async () => {
    world.about.streamArn = `${streamArn}-later`
    expect(await refused()).toContain('add it with a higher epoch')
  })

  it('before a change has come through the stream', async () => {
    world = await createBackfillWorld({ proven: false })
    expect(await refused()).toContain('no change of table features has come through its stream yet')
  })

  it('before a canary has come through every shard', async () => {
    world = await createBackfillWorld({ canary: true })
    fill(1)
    expect(await refused()).toContain('no canary has come through every shard')
    const placement = { streamArn, shards: {}, next: 0, featureTime: world.world.now() }
    await writeLagState(world.deps.state, { ...emptyLagState, tables: { [table]: placement } }, undefined)
    expect(await refused()).toBe('begun')
  })

  it('in the middle, where the stream is disabled: what was done stays, and the report says why', async () => {
    fill(500)
    const run = await world.start({ ...tableSpec, segments: 1 }, { items: 100 })
    const { wait } = world.deps
    world.deps.wait = async (ms) => {
      delete world.about.streamArn
      world.world.tick(61_000)
      await wait(ms)
    }
    await world.settle()
    const report = await world.report(run)
    expect(report).toMatchObject({ outcome: 'failed', backfill: { status: 'failed' }, counts: { read: 100 } })
    expect(report.findings[0]).toMatchObject({ kind: 'backfill-failed' })
    expect(report.findings[0]!.detail).toContain('has no stream that is enabled')
  })

  it('a single item is written by the same rules', async () => {
    const now = world.world.now()
    const deps = { rows: world.rows }
    expect(await backfillRow(deps, rule(), keyOf(1), itemOf(1), now)).toBe('written')
    expect(await backfillRow(deps, rule(), keyOf(1), itemOf(1), now)).toBe('newer')
  })
})
