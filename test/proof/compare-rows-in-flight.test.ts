import { describe, expect, it } from 'vitest'
import { tamper, withCell, full, recent, kinds, filled, alien, marker } from '../support/rows-plants.ts'
import { keyItem, rowKeyOf } from '../support/rows-proof-world.ts'

describe('a comparison while changes are in flight', () => {
  it.each([
    [true, 1000],
    [false, 100],
  ])('is silent, with a feature time: %s', async (hasCanary, changesPerSecond) => {
    const world = await filled(5000, { changesPerSecond, hasCanary })
    await world.tick(5000)
    const report = await full(world)
    expect(report).toMatchObject({ outcome: 'passed', findingsTotal: 0 })
    expect(report.counts['suspects']).toBeGreaterThan(50)
    expect(world.made()).toBeGreaterThan(1000)
  })

  it('is silent over a lag that is longer than any look, as long as the feature time says so', async () => {
    const world = await filled(1000, { changesPerSecond: 0.2, lagMs: 600_000 })
    await world.tick(300_000)
    const report = await full(world)
    expect(report).toMatchObject({ outcome: 'passed', findingsTotal: 0 })
    expect(report.counts['suspects']).toBeGreaterThan(1)
  })

  it.each([true, false])('is silent over an item that is never at rest, with a feature time: %s', async (hasCanary) => {
    const world = await filled(1000, { hasCanary })
    const before = { ...world.deps }
    let turn = 0
    const busy = (): void => world.change({ ...keyItem(5), n: { N: String((turn += 1) % 2) } })
    world.deps.wait = async (ms) => {
      for (let passed = 0; passed < ms; passed += 500) {
        busy()
        await before.wait(500)
      }
      busy()
    }
    world.deps.source = { ...before.source, get: async (...args) => (busy(), before.source.get(...args)) }
    busy()
    world.items.put(world.table, { ...keyItem(9004), n: { N: '1' } })
    const report = await full(world)
    expect(kinds(report)).toEqual(['row-missing'])
    expect(report.counts).toMatchObject({ unsettled: 0, suspects: 2 })
  })

  it('with 50,000 rows finds 3 planted differences and nothing else, and repairs them', async () => {
    const world = await filled(50_000, { changesPerSecond: 1000, pageItems: 1000 })
    world.items.put(world.table, { pk: { S: 'planted#missing' } })
    const extra = { pk: { S: 'planted#extra' } }
    world.rows.tamper(world.table, rowKeyOf(extra), { ...alien(rowKeyOf(extra)), marker })
    await world.both()
    const damaged = { pk: { S: 'planted#changed' }, n: { N: '1' } }
    world.change(damaged)
    await world.tick(5000)
    tamper(world, damaged, (row) => withCell(row, 'n', '?'))
    const report = await full(world, true)
    expect(kinds(report)).toEqual(['row-changed', 'row-extra', 'row-missing'])
    expect(report.findings.map(({ repaired }) => repaired)).toEqual(['yes', 'yes', 'yes'])
    expect(world.made()).toBeGreaterThan(10_000)
    // What was inserted or deleted during the run makes buckets differ, and those alone are read again.
    expect(report.counts['rowsReadAgain']).toBeLessThan(50_000 / 4)
    expect(await full(world)).toMatchObject({ outcome: 'passed' })
  }, 60_000)
})

describe('a comparison of what changed lately', () => {
  it('finds what was damaged lately, and reads nothing else', async () => {
    const world = await filled(500)
    await world.tick(24 * 3_600_000)
    for (const index of [3, 4, 5]) world.change({ ...keyItem(index), n: { N: '7' } })
    await world.tick(10_000)
    tamper(world, keyItem(4), (row) => withCell(row, 'n', '?'))
    world.read.rows = 0
    const report = await recent(world, true)
    expect(report).toMatchObject({ outcome: 'failed', counts: { changedLately: 3, changed: 1, repaired: 1, items: 0 } })
    expect(world.read.rows).toBeLessThan(10)
    expect(await recent(world)).toMatchObject({ outcome: 'passed' })
  })

  it('compares a page where nothing changed lately', async () => {
    const world = await filled(500)
    await world.tick(24 * 3_600_000)
    expect(await recent(world)).toMatchObject({ outcome: 'passed', counts: { changedLately: 0, items: 100 } })
  })

  it('is silent while changes are in flight', async () => {
    const world = await filled(2000, { changesPerSecond: 500 })
    await world.tick(5000)
    const report = await recent(world)
    expect(report).toMatchObject({ outcome: 'passed', findingsTotal: 0 })
    expect(report.counts['changedLately']).toBeGreaterThan(1000)
  })
})
