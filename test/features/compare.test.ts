import { hash } from 'node:crypto'
import { sample } from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createMemoryItems } from '../../shared/clouds/memory/items.ts'
import { createMemoryRowStore } from '../../shared/clouds/memory/row-store.ts'
import { parseItem } from '../../shared/features/attribute-json.ts'
import { itemKeyOf, type TableRule } from '../../shared/features/change.ts'
import { compareTable } from '../../shared/features/compare.ts'
import type { Item } from '../../shared/features/item.ts'
import { encodeRowKey } from '../../shared/features/row-key.ts'
import { markStart } from '../../shared/features/start.ts'
import { changeVersion } from '../../shared/features/version.ts'
import { rowWrite } from '../../shared/features/write.ts'
import { item as anyItem } from '../support/dynamo-values.ts'

const names = { partition: 'pk', sort: 'sk' }
const rule: TableRule = { name: 'features', target: 'rows', epoch: 1, omit: new Set(['secret']) }

const createWorld = (keys: { partition: string; sort?: string } = names) => {
  const source = createMemoryItems({ features: keys })
  const rows = createMemoryRowStore()
  let sequence = 0
  const write = (item: Item, isDeleted = false) => {
    sequence += 1
    const key = itemKeyOf(item, keys)
    const version = changeVersion({ epoch: 1, sequenceNumber: String(sequence) })
    const state = { rowKey: encodeRowKey(key), key, version, time: 1_700_000_000, item: isDeleted ? undefined : item }
    return rows.applyIfNewer(rule.target, rowWrite(rule, state))
  }
  const both = async (item: Item): Promise<void> => {
    source.put('features', item)
    await write(item)
  }
  return {
    source,
    rows,
    write,
    both,
    compare: (examplesMax?: number) => compareTable({ source, rows }, rule, examplesMax),
  }
}

const keyOf = (pk: string, sk: number): Item => ({ pk: { S: pk }, sk: { N: String(sk) } })
const filled = async (count = 40) => {
  const world = createWorld()
  const items = sample(anyItem, { seed: 11, numRuns: count }).map((item, index): Item => ({
    ...parseItem({ ...item }),
    ...keyOf(`p${index % 5}`, index),
  }))
  for (const item of items) await world.both(item)
  return { ...world, items }
}

describe('a comparison', () => {
  it('of equal tables finds equal counts and digests, and nothing else', async () => {
    const { compare, rows } = await filled()
    await markStart({ rows }, rule.target, 1, 1)
    const { source, replica, differences, examples } = await compare()
    expect(source.items).toBe(40)
    expect(replica).toEqual({ ...source, tombstones: 0 })
    expect([differences, examples]).toEqual([0, []])
  })

  it('of two empty sides says 0 on both', async () => {
    const nothing = { items: 0, digest: hash('sha256', '', 'hex') }
    expect(await createWorld().compare()).toEqual({
      source: nothing,
      replica: { ...nothing, tombstones: 0 },
      differences: 0,
      examples: [],
    })
  })

  it('finds a row that is missing', async () => {
    const { compare, source } = await filled()
    source.put('features', { ...keyOf('p1', 900), value: { S: 'new' } })
    const found = await compare()
    expect([found.source.items, found.replica.items, found.differences]).toEqual([41, 40, 1])
    expect(found.source.digest).not.toBe(found.replica.digest)
    expect(found.examples).toMatchObject([{ kind: 'missing', key: { partition: { S: 'p1' }, sort: { N: '900' } } }])
  })

  it('finds a row that is not in the source, in the last bucket too', async () => {
    const { compare, write, rows } = await filled()
    await write({ ...keyOf('p1', 901) })
    const marker = { version: '1', time: 1, tombstone: false }
    await rows.applyIfNewer(rule.target, { key: Buffer.of(0xff, 0xff, 1), cells: new Map(), marker })
    const found = await compare()
    expect([found.source.items, found.replica.items, found.differences]).toEqual([40, 42, 2])
    expect(found.examples).toMatchObject([
      { kind: 'extra', key: { partition: { S: 'p1' }, sort: { N: '901' } } },
      { kind: 'extra', rowKey: Buffer.of(0xff, 0xff, 1), key: undefined },
    ])
  })

  it.each<[string, Item]>([
    ['an attribute of another value', { value: { N: '1.0000000000000000000000000000000000001' } }],
    ['an attribute of another type', { value: { S: '1' } }],
    ['an attribute more', { value: { N: '1' }, more: { NULL: true } }],
    ['an attribute less', {}],
  ])('finds a row with %s', async (_what, attributes) => {
    const { compare, both, write } = await filled()
    await both({ ...keyOf('p1', 902), value: { N: '1' } })
    await write({ ...keyOf('p1', 902), ...attributes })
    const found = await compare()
    expect([found.source.items, found.replica.items, found.differences]).toEqual([41, 41, 1])
    expect(found.examples).toMatchObject([{ kind: 'changed', key: { sort: { N: '902' } } }])
  })

  it('counts a tombstone apart, and finds it where the source has the item', async () => {
    const { compare, write, items, source } = await filled()
    source.delete('features', items[3]!)
    await write(items[3]!, true)
    expect(await compare()).toMatchObject({
      source: { items: 39 },
      replica: { items: 39, tombstones: 1 },
      differences: 0,
    })
    await write(items[4]!, true)
    const found = await compare()
    expect(found).toMatchObject({ replica: { items: 38, tombstones: 2 }, differences: 1 })
    expect(found.examples).toMatchObject([{ kind: 'missing', key: { sort: { N: '4' } } }])
  })

  it('finds a row without a marker, which Lifeboat did not write', async () => {
    const { compare, both, rows } = await filled()
    await both({ ...keyOf('p1', 903) })
    const scan: typeof rows.scan = async function* (table, range) {
      for await (const { key, cells } of rows.scan(table, range)) yield { key, cells }
    }
    expect((await compare()).differences).toBe(0)
    const read: typeof rows.read = async (table, keys) =>
      (await rows.read(table, keys)).map((row) => row && { key: row.key, cells: row.cells })
    const { source } = await filled()
    const found = await compareTable({ source, rows: { ...rows, scan, read } }, rule)
    expect(found.examples.filter(({ kind }) => kind === 'changed')).toHaveLength(10)
    expect(found.differences).toBe(41)
  })

  it('goes on over an item that Bigtable cannot hold', async () => {
    const { compare, source } = await filled()
    const many = Array.from({ length: 100_000 }, (_, at) => [at.toString(36), { NULL: true }])
    source.put('features', { ...Object.fromEntries(many), ...keyOf('p1', 906) })
    const found = await compare()
    expect([found.source.items, found.differences]).toEqual([41, 1])
    expect(found.examples).toMatchObject([{ kind: 'missing', key: { sort: { N: '906' } } }])
  })

  it('does not look at what the configuration omits', async () => {
    const { compare, source, both } = await filled()
    await both({ ...keyOf('p1', 904), secret: { S: 'a' }, value: { S: 'same' } })
    source.put('features', { ...keyOf('p1', 904), secret: { S: 'b' }, value: { S: 'same' } })
    expect((await compare()).differences).toBe(0)
    source.put('features', { ...keyOf('p1', 904), secrets: { S: 'b' }, value: { S: 'same' } })
    expect((await compare()).differences).toBe(1)
  })

  it('does not depend on how items are spelled or on the order in which they come', async () => {
    const { source, write, compare } = createWorld()
    source.put('features', {
      ...keyOf('a', 1),
      set: { NS: ['1', '2.50'] },
      map: { M: { x: { N: '1' }, y: { N: '2' } } },
    })
    source.put('features', keyOf('b', 1))
    await write(keyOf('b', 1))
    await write({ map: { M: { y: { N: '2.0' }, x: { N: '1' } } }, set: { NS: ['2.5', '1'] }, ...keyOf('a', 1) })
    const found = await compare()
    expect([found.source.digest, found.differences]).toEqual([found.replica.digest, 0])
  })

  it('counts every difference and names the first; keys too long for Bigtable are told', async () => {
    const { source, write, compare } = createWorld({ partition: 'pk' })
    for (let index = 0; index < 1200; index += 1) source.put('features', { pk: { S: `p${index}` } })
    for (let index = 1000; index < 2000; index += 1) await write({ pk: { S: `p${index}` } })
    const long = { B: Buffer.alloc(2048) }
    await write({ pk: long })
    const found = await compare(2000)
    expect([found.source.items, found.replica.items, found.differences]).toEqual([1200, 1001, 1801])
    expect(new Set(found.examples.map(({ rowKey }) => Buffer.from(rowKey).toString('hex'))).size).toBe(1801)
    const hashed = found.examples.filter(({ key }) => key && 'B' in key.partition)
    expect(hashed.map(({ key }) => key)).toEqual([{ partition: { B: new Uint8Array(2048) } }])
    expect((await compare(0)).examples).toEqual([])
  })

  it('tells of what changes in between by the digests alone', async () => {
    const { source, rows, write } = await filled()
    const late = { ...keyOf('p1', 905), value: { S: 'late' } }
    source.put('features', late)
    let scans = 0
    const racing: typeof rows.scan = async function* (table, range) {
      yield* rows.scan(table, range)
      if ((scans += 1) === 1) await write(late)
    }
    const found = await compareTable({ source, rows: { ...rows, scan: racing } }, rule)
    expect(found.source.digest).not.toBe(found.replica.digest)
    expect([found.differences, found.examples]).toEqual([0, []])
  })
})
