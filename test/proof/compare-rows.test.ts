import { describe, expect, it } from 'vitest'
import type { Item } from '../../shared/features/item.ts'
import { newestReport } from '../../shared/proof/report.ts'
import { tamper, withCell, full, recent, kinds, filled, alienKey, alien, plants } from '../support/rows-plants.ts'
import { createProofWorld, keyItem, rowKeyOf } from '../support/rows-proof-world.ts'

describe('a comparison of all rows', () => {
  it('of equal tables passes, says what it compared, and reads no row twice', async () => {
    const world = await filled()
    world.change(keyItem(3), true)
    await world.tick(10_000)
    const report = await full(world)
    expect(report).toMatchObject({
      kind: 'rows',
      scope: 'features',
      outcome: 'passed',
      counts: { items: 299, rows: 299, tombstones: 1, suspects: 0, bucketsDiffering: 0, rowsReadAgain: 0 },
    })
    expect(world.read).toMatchObject({ rows: 299, scanned: 0, gets: 0 })
    expect((await newestReport(world.deps.store, 'rows'))?.report).toEqual(report)
    expect(world.telemetry.total('RowsCompared')).toBe(299)
  })

  it.each(plants)('finds $name, and makes it good', async ({ kind, plant }) => {
    const world = await filled()
    plant(world)
    const found = await full(world)
    expect(found.outcome).toBe('failed')
    expect(new Set(kinds(found))).toEqual(new Set([kind]))
    expect(found.findings.map(({ repaired }) => repaired)).not.toContain('yes')
    const again = await full(world, true)
    expect(kinds(again)).toEqual(kinds(found))
    expect(new Set(again.findings.map(({ repaired }) => repaired))).toEqual(new Set(['yes']))
    expect(world.telemetry.total('RowsDifferent')).toBe(2 * found.findingsTotal)
    expect(await full(world, true)).toMatchObject({ outcome: 'passed', findingsTotal: 0 })
  })

  it.each(plants)('finds $name without a feature time, after a minute', async ({ kind, plant }) => {
    const world = await filled(300, { hasCanary: false })
    plant(world)
    const began = world.now()
    const found = await full(world)
    expect(new Set(kinds(found))).toEqual(new Set([kind]))
    expect(world.now() - began).toBeGreaterThanOrEqual(60_000)
  })

  it('looks up in the source only the rows of buckets whose keys differ', async () => {
    const world = await filled(2000)
    const at = Buffer.concat([rowKeyOf(keyItem(17)).subarray(0, 2), Buffer.from('alien')])
    world.rows.tamper(world.table, at, alien(at))
    const bucket = world.rows
      .rows(world.table)
      .filter(({ key }) => Buffer.compare(key.subarray(0, 2), at.subarray(0, 2)) === 0)
    const report = await full(world)
    expect(report.counts).toMatchObject({ bucketsDiffering: 1, rowsReadAgain: bucket.length, extra: 1 })
    expect(world.read.scanned).toBe(bucket.length)
  })

  it('tells a key from another where the counts agree', async () => {
    const world = await filled()
    const gone = rowKeyOf(keyItem(17))
    const other = alienKey(keyItem(17))
    world.rows.tamper(world.table, gone, undefined)
    world.rows.tamper(world.table, other, alien(other))
    expect(kinds(await full(world))).toEqual(['row-extra', 'row-missing'])
  })

  it('names what differs, and no value of it', async () => {
    const world = await filled()
    await world.both({ secret: { S: 'not for reports' }, n: { N: '1' } })
    tamper(world, keyItem(301), (row) => withCell(row, 'secret', 'Sother'))
    const [finding] = (await full(world)).findings
    expect(finding).toEqual({
      kind: 'row-changed',
      subject: 'features [{"S":"user#301"}]',
      detail: 'attributes that differ: secret',
      repaired: 'no',
    })
  })

  it('of nothing with nothing is a failure', async () => {
    const world = createProofWorld()
    for (const report of [await full(world), await recent(world)])
      expect(report).toMatchObject({ outcome: 'failed', findings: [{ kind: 'nothing-compared' }] })
  })

  it('fails, and does not pass, where one side is empty', async () => {
    const world = await filled(30)
    for (const { key } of world.rows.rows(world.table)) world.rows.tamper(world.table, key, undefined)
    expect(await full(world)).toMatchObject({ outcome: 'failed', findingsTotal: 30 })
    const other = await filled(30)
    for (let index = 1; index <= 30; index += 1) other.items.delete(other.table, keyItem(index))
    expect(await full(other)).toMatchObject({ outcome: 'failed', findingsTotal: 30, counts: { items: 0, extra: 30 } })
  })

  it('says of an item that Bigtable cannot hold that nobody can repair it', async () => {
    const world = await filled()
    let deep: Item[string] = { S: 'x' }
    for (let depth = 0; depth < 80; depth += 1) deep = { L: [deep] }
    world.items.put(world.table, { ...keyItem(9003), deep })
    expect((await full(world, true)).findings).toMatchObject([{ kind: 'row-missing', repaired: 'no' }])
  })
})
