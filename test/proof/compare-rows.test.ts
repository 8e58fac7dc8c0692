import { describe, expect, it } from 'vitest'
import type { Item } from '../../shared/features/item.ts'
import type { StoredRow } from '../../shared/features/row-store.ts'
import { markStart } from '../../shared/features/start.ts'
import { checkRows, type RowsChecked } from '../../shared/proof/check-rows.ts'
import { newestReport, type Report } from '../../shared/proof/report.ts'
import { createProofWorld, keyItem, rowKeyOf } from '../support/rows-proof-world.ts'

type World = ReturnType<typeof createProofWorld>

const rowOf = (world: World, item: Item): StoredRow =>
  world.rows.rows(world.table).find(({ key }) => Buffer.compare(key, rowKeyOf(item)) === 0)!
const tamper = (world: World, item: Item, change: (row: StoredRow) => StoredRow | undefined): void =>
  world.rows.tamper(world.table, rowKeyOf(item), change(rowOf(world, item)))
const withCell = (row: StoredRow, name: string, value: string): StoredRow => ({
  ...row,
  cells: new Map([...row.cells, [name, Buffer.from(value)]]),
})
const full = async (world: World, repair = false): Promise<Report> => {
  const { report } = await world.check({ mode: 'full', repair })
  return report!
}
const recent = async (world: World, repair = false): Promise<Report> => {
  const { report } = await world.check({ mode: 'recent', repair })
  return report!
}
const kinds = ({ findings }: Report): string[] => findings.map(({ kind }) => kind).toSorted()
const filled = async (count = 300, options: Parameters<typeof createProofWorld>[0] = {}): Promise<World> => {
  const world = createProofWorld(options)
  await world.fill(count)
  await markStart({ rows: world.rows }, world.table, 1, 1)
  return world
}

/** A row that no item has: of the same bucket as `item`, by its first two bytes. */
const alienKey = (item: Item): Buffer => Buffer.concat([rowKeyOf(item).subarray(0, 2), Buffer.from('alien')])
const alien = (key: Buffer): StoredRow => ({ key, cells: new Map([['x', Buffer.from('y')]]) })
const marker = { version: `0000000001.${'9'.repeat(40)}.${'0'.repeat(16)}`, time: 1, tombstone: false }

type Plant = { name: string; kind: string; plant(world: World): void }
const plants: Plant[] = [
  { name: 'a row removed', kind: 'row-missing', plant: (world) => tamper(world, keyItem(17), () => undefined) },
  {
    name: 'a row made a tombstone',
    kind: 'row-missing',
    plant: (world) =>
      tamper(world, keyItem(17), (row) => ({ ...row, cells: new Map(), marker: { ...row.marker!, tombstone: true } })),
  },
  {
    name: 'a value changed',
    kind: 'row-changed',
    plant: (world) => tamper(world, keyItem(17), (row) => withCell(row, 'n', '?')),
  },
  {
    name: 'a column added',
    kind: 'row-changed',
    plant: (world) => tamper(world, keyItem(17), (row) => withCell(row, 'm', '?')),
  },
  {
    name: 'a column removed',
    kind: 'row-changed',
    plant: (world) =>
      tamper(world, keyItem(17), (row) => ({
        ...row,
        cells: new Map([...row.cells].filter(([name]) => name !== 'n')),
      })),
  },
  {
    name: 'a marker removed',
    kind: 'row-changed',
    plant: (world) => tamper(world, keyItem(17), ({ key, cells }) => ({ key, cells })),
  },
  {
    name: 'a version that is none',
    kind: 'row-changed',
    plant: (world) => tamper(world, keyItem(17), (row) => ({ ...row, marker: { ...row.marker!, version: 'zz' } })),
  },
  {
    name: 'a row added for a key that the source has not',
    kind: 'row-extra',
    plant: (world) =>
      world.rows.tamper(world.table, rowKeyOf(keyItem(9001)), {
        ...rowOf(world, keyItem(17)),
        key: rowKeyOf(keyItem(9001)),
      }),
  },
  {
    name: 'a row added that no item can have',
    kind: 'row-extra',
    plant: (world) => world.rows.tamper(world.table, alienKey(keyItem(17)), alien(alienKey(keyItem(17)))),
  },
  {
    name: 'a row added before the first and behind the last bucket',
    kind: 'row-extra',
    plant: (world) => {
      world.rows.tamper(world.table, Buffer.of(0), { ...alien(Buffer.of(0)), marker })
      world.rows.tamper(world.table, Buffer.of(0xff, 0xff, 0xff), { ...alien(Buffer.of(0xff, 0xff, 0xff)), marker })
    },
  },
  {
    name: 'an item that was deleted and whose row stayed',
    kind: 'row-extra',
    plant: (world) => void world.items.delete(world.table, keyItem(17)),
  },
  {
    name: 'an item that was put and whose row never came',
    kind: 'row-missing',
    plant: (world) => void world.items.put(world.table, keyItem(9002)),
  },
]

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
    const { wait, source } = world.deps
    let turn = 0
    const busy = (): void => world.change({ ...keyItem(5), n: { N: String((turn += 1) % 2) } })
    world.deps.wait = async (ms) => {
      for (let passed = 0; passed < ms; passed += 500) {
        busy()
        await wait(500)
      }
      busy()
    }
    world.deps.source = { ...source, get: async (...args) => (busy(), source.get(...args)) }
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

describe('a comparison over many calls', () => {
  it('goes on where its time ran out, in every phase, and comes to the same', async () => {
    const plantAll = (world: World): void => {
      for (const { plant } of plants.slice(6, 10)) plant(world)
      tamper(world, keyItem(200), (row) => withCell(row, 'n', '?'))
    }
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
    const { pages } = world.deps.source
    let seen = 0
    world.deps.source.pages = async function* (...args) {
      for await (const page of pages(...args)) {
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
    const { read } = world.deps.state
    world.deps.state.read = async (name) => {
      const before = await read(name)
      world.deps.state.read = read
      await checkRows(world.deps, world.table, { remainingMs: () => 1000 }, { mode: 'full' })
      return before
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
    const { get } = world.deps.source
    let turn = 0
    world.deps.source.get = async (...args) => {
      world.items.put(world.table, { ...keyItem(7), n: { N: String((turn += 1)) } })
      return get(...args)
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
