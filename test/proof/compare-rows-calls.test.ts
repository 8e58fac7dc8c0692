import { describe, expect, it } from 'vitest'
import { checkRows, type RowsChecked } from '../../shared/proof/check-rows.ts'
import { checkTables } from '../../shared/proof/check-tables.ts'
import { type World, tamper, withCell, full, kinds, filled, plants } from '../support/rows-plants.ts'
import { keyItem } from '../support/rows-proof-world.ts'
import { provenAtOf } from '../support/proven-at.ts'

const plantAll = (world: World): void => {
  for (const { plant } of plants.slice(6, 10)) plant(world)
  tamper(world, keyItem(200), (row) => withCell(row, 'n', '?'))
}

describe('a comparison over many calls', () => {
  it('goes on where its time ran out, in every phase, and comes to the same', async () => {
    const [once, often] = [await filled(12_000, { pageItems: 1000 }), await filled(12_000, { pageItems: 1000 })]
    for (const world of [once, often]) plantAll(world)
    const expected = await full(once)
    const { report } = await often.check({ mode: 'full', repair: false }, { remainingMs: () => 1000 })
    expect(kinds(expected)).toHaveLength(6)
    const { looks: _looks, ...counts } = report!.counts
    expect(expected).toMatchObject({ counts, findingsTotal: report!.findingsTotal })
    expect(kinds(report!)).toEqual(kinds(expected))
  }, 60_000)

  it('goes on inside of a bucket that takes many calls', async () => {
    const world = await filled(12_000, { pageItems: 1000, onePartition: true })
    const { report } = await world.check({ mode: 'full' }, { remainingMs: () => 1000 })
    expect(report).toMatchObject({ outcome: 'passed', counts: { items: 12_000, rows: 12_000, bucketsDiffering: 0 } })
  })

  it('goes on after a call that died, and keeps what it had found', async () => {
    const world = await filled(3000)
    tamper(world, keyItem(2000), () => undefined)
    const source = { ...world.deps.source }
    let seen = 0
    world.deps.source.pages = async function* (...args) {
      for await (const page of source.pages(...args)) {
        if ((seen += 1) === 28) throw new Error('killed')
        await world.tick(10_000)
        yield page
      }
    }
    await expect(world.check()).rejects.toThrow('killed')
    world.read.pages = 0
    // The row was there again when its bucket was listed.
    expect(await full(world)).toMatchObject({ findingsTotal: 1, counts: { items: 3000, rows: 3000, repaired: 1 } })
    expect(world.read.pages).toBeLessThan(20)
  })

  it('begins with the table that was compared longest ago', async () => {
    const world = await filled(300)
    const { config, state, clock } = world.deps
    const [features] = config.tables.filter(({ name }) => name === 'features')
    const deps = { ...world.deps, config: { ...config, tables: [{ ...features!, name: 'others' }, features!] } }
    const last = { at: new Date(clock.now()).toISOString(), outcome: 'passed', report: null, findings: 0 }
    await state.write('rows/others', { last }, undefined)
    // There is time to begin with one.
    let asked = 0
    const deadline = { remainingMs: () => ((asked += 1) === 1 ? 900_000 : 0) }
    expect(await checkTables(deps, deadline, { asked: { mode: 'full' } })).toEqual({ features: { outcome: 'goes on' } })
  })

  it('leaves when everything was last right, which a look at what changed lately is not', async () => {
    const world = await filled(300)
    const provenAt = () => provenAtOf(world.deps.state, 'rows/features')
    await world.check({ mode: 'recent' })
    expect(await provenAt()).toBeUndefined()
    const { report } = await world.check({ mode: 'full' })
    expect(await provenAt()).toBe(Date.parse(report!.endedAt))
    tamper(world, keyItem(200), () => undefined)
    const found = await world.check({ mode: 'full', repair: false })
    expect(found.report).toMatchObject({ outcome: 'failed' })
    expect(await provenAt()).toBe(Date.parse(report!.endedAt))
    const repaired = await world.check({ mode: 'full' })
    expect(repaired.report).toMatchObject({ outcome: 'failed', counts: { repaired: 1 } })
    expect(await provenAt()).toBe(Date.parse(repaired.report!.endedAt))
  })

  it('begins anew where its parts are gone, or of another call', async () => {
    const world = await filled(3000)
    const stopped = { remainingMs: () => 1000 }
    expect(await checkRows(world.deps, world.table, stopped, { mode: 'full' })).toEqual({ outcome: 'goes on' })
    const part = 'rows/features/0/0'
    const { value, version } = (await world.deps.state.read(part))!
    await world.deps.state.write(part, { ...(value as object), stamp: 'another' }, version)
    expect(await full(world)).toMatchObject({ outcome: 'passed', counts: { items: 3000, rows: 3000 } })
    expect(world.telemetry.lines.map(({ message }) => message)).toContain(
      `record ${part} is not the part that was written`,
    )
  })

  it('is due every hour for what changed lately, every day for all, and gives way to another call', async () => {
    const world = await filled(50)
    const modes: (string | null)[] = []
    for (let hour = 0; hour < 27; hour += 1) {
      const { report } = await world.check({})
      if (report) modes.push(report.scope)
      expect((await world.check({})).outcome).toBe('not due')
      await world.tick(3_600_000)
    }
    expect(modes.filter((scope) => scope === 'features')).toHaveLength(2)
    expect(modes.filter((scope) => scope === 'features, changes of 3 hours')).toHaveLength(25)
    const { state } = world.deps
    world.deps.state = {
      ...state,
      read: async (name) => {
        const before = await state.read(name)
        world.deps.state = state
        await checkRows(world.deps, world.table, { remainingMs: () => 1000 }, { mode: 'full' })
        return before
      },
    }
    expect(await checkRows(world.deps, world.table, { remainingMs: () => 1000 }, { mode: 'full' })).toEqual({
      outcome: 'taken',
    })
  })

  it('waits for the feature time over calls, and ends where it stands still', async () => {
    const world = await filled(200)
    tamper(world, keyItem(20), () => undefined)
    const stood = world.now()
    world.deps.featureTime = async () => stood
    let calls = 0
    let checked: RowsChecked
    do {
      calls += 1
      checked = await checkRows(world.deps, world.table, { remainingMs: () => 900_000 }, { mode: 'full' })
      await world.tick(600_000)
    } while (checked.outcome === 'goes on')
    expect(calls).toBeGreaterThan(3)
    expect(checked.report).toMatchObject({ findingsTotal: 1, counts: { missing: 1, repaired: 1 } })
  })

  it('says that it is incomplete where an item moves faster than it can be looked at', async () => {
    const world = await filled(200, { hasCanary: false })
    const source = { ...world.deps.source }
    let turn = 0
    world.deps.source.get = async (...args) => {
      world.items.put(world.table, { ...keyItem(7), n: { N: String((turn += 1)) } })
      return source.get(...args)
    }
    world.items.put(world.table, { ...keyItem(7), n: { N: '-1' } })
    expect(await full(world)).toMatchObject({ outcome: 'incomplete', findingsTotal: 0, counts: { unsettled: 1 } })
  })

  it('ends early where very much differs and nothing is repaired, and repairs all of it where asked', async () => {
    const world = await filled(12_000, { pageItems: 1000 })
    for (const { key } of world.rows.rows(world.table)) world.rows.tamper(world.table, key, undefined)
    const report = await full(world)
    expect(report).toMatchObject({ outcome: 'failed', findingsTotal: 10_000 })
    expect(report.findings[0]).toMatchObject({ kind: 'too-many' })
    expect(await full(world, true)).toMatchObject({ findingsTotal: 12_000, counts: { repaired: 12_000 } })
    expect(await full(world)).toMatchObject({ outcome: 'passed' })
  }, 60_000)
})
