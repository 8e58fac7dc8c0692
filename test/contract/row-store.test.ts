import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { NotFoundError, UnavailableError } from '../../shared/errors.ts'
import type { HistoryEntry, RowStore } from '../../shared/features/row-store.ts'
import { bytes, emulatorFile } from '../support/bigtable.ts'
import {
  collect,
  embedded,
  emulator,
  keysOf,
  memory,
  type Opened,
  plain,
  plainEntry,
  plainOf,
  rowOf,
  versionOf,
} from '../support/row-stores.ts'

const file = emulatorFile()
const targets = [memory, embedded, ...(file === undefined ? [] : [emulator(file)])]

describe.each(targets)('a row store on $name', (target) => {
  let opened: Opened
  let store: RowStore
  beforeAll(async () => {
    opened = await target.open()
    store = opened.store
  })
  afterAll(() => opened?.close())
  const one = async (key: string, table = 'rows'): Promise<unknown> => plain((await store.read(table, [bytes(key)]))[0])

  it('reads what was applied, byte for byte', async () => {
    const cells = { name: 'x', '': '', '\0\xff': '\xff\0\n', ['q'.repeat(300)]: 'v'.repeat(100_000) }
    const row = rowOf('read', 1, cells)
    expect(await store.applyIfNewer('rows', row)).toBe('applied')
    expect(await one('read')).toEqual(plainOf(row))
    expect(await one('read', 'other')).toBeUndefined()
  })

  it('answers keys in the order they were asked for, also twice and missing', async () => {
    for (const key of ['order-a', 'order-b']) await store.applyIfNewer('rows', rowOf(key, 1, { key }))
    const asked = ['order-b', 'nothing', 'order-a', 'order-b'].map(bytes)
    const found = (await store.read('rows', asked)).map((row) => row?.cells.get('key')?.toString())
    expect(found).toEqual(['order-b', undefined, 'order-a', 'order-b'])
    expect(await store.read('rows', [])).toEqual([])
  })

  it('reads more keys than one request takes', async () => {
    const keys = Array.from({ length: 1100 }, (_, index) => bytes(`missing-${index}`))
    await store.applyIfNewer('rows', rowOf('missing-1099', 1))
    expect((await store.read('rows', keys)).map((row) => row !== undefined).indexOf(true)).toBe(1099)
  })

  it('keeps the newer version, whatever order they come in', async () => {
    const third = rowOf('newer', 3, { a: '3', b: '3' })
    expect(await store.applyIfNewer('rows', third)).toBe('applied')
    expect(await store.applyIfNewer('rows', rowOf('newer', 2, { c: '2' }))).toBe('stale')
    expect(await store.applyIfNewer('rows', third)).toBe('stale')
    expect(await one('newer')).toEqual(plainOf(third))
    const tenth = rowOf('newer', 10, { c: '10' })
    expect(await store.applyIfNewer('rows', tenth)).toBe('applied')
    expect(await one('newer')).toEqual(plainOf(tenth))
  })

  it('replaces a row whole even where its time goes back', async () => {
    await store.applyIfNewer('rows', { ...rowOf('back', 5, { a: '5', b: '5' }) })
    const later = rowOf('back', 6, { b: '6' })
    const back = { ...later, marker: { ...later.marker, time: 1_600_000_000 } }
    expect(await store.applyIfNewer('rows', back)).toBe('applied')
    expect(await one('back')).toEqual(plainOf(back))
  })

  it('a tombstone has no cells and is as new as its version', async () => {
    await store.applyIfNewer('rows', rowOf('gone', 1, { a: '1' }))
    const tombstone = rowOf('gone', 2, {}, true)
    expect(await store.applyIfNewer('rows', tombstone)).toBe('applied')
    expect(await one('gone')).toEqual(plainOf(tombstone))
    expect(await store.applyIfNewer('rows', rowOf('gone', 1, { a: '1' }))).toBe('stale')
    const again = rowOf('gone', 3, { a: '3' })
    expect(await store.applyIfNewer('rows', again)).toBe('applied')
    expect(await one('gone')).toEqual(plainOf(again))
  })

  it('replaces only exactly what was expected', async () => {
    const first = rowOf('replace', 7, { a: '7' })
    expect(await store.replaceIf('rows', first, versionOf(6))).toBe(false)
    expect(await one('replace')).toBeUndefined()
    expect(await store.replaceIf('rows', first, undefined)).toBe(true)
    expect(await store.replaceIf('rows', rowOf('replace', 8), undefined)).toBe(false)
    expect(await store.replaceIf('rows', rowOf('replace', 9), versionOf(8))).toBe(false)
    expect(await store.replaceIf('rows', rowOf('replace', 9), versionOf(7).slice(0, -1))).toBe(false)
    expect(await one('replace')).toEqual(plainOf(first))
    const older = rowOf('replace', 2, { b: '2' })
    expect(await store.replaceIf('rows', older, versionOf(7))).toBe(true)
    expect(await one('replace')).toEqual(plainOf(older))
  })

  it('scans a range in byte order, to its end or to its limit', async () => {
    const keys = ['s', 's\0', 's\x01', 's\x7f', 's\x80', 's\xff', 's\xff\xff']
    for (const key of keys.toReversed()) await store.applyIfNewer('other', rowOf(key, 1, { key }))
    const scan = (start: string, end?: string, limit?: number): Promise<string[]> =>
      keysOf(
        store.scan('other', {
          start: bytes(start),
          ...(end !== undefined && { end: bytes(end) }),
          ...(limit !== undefined && { limit }),
        }),
      )
    expect(await scan('')).toEqual(keys)
    expect(await scan('s\0', 's\x80')).toEqual(keys.slice(1, 4))
    expect(await scan('s\x80')).toEqual(keys.slice(4))
    expect(await scan('', 't', 3)).toEqual(keys.slice(0, 3))
    expect(await scan('', 't', 1)).toEqual(keys.slice(0, 1))
    expect(await scan('', 't', 0)).toEqual([])
    expect(await scan('x', 'y')).toEqual([])
    const [row] = await collect(store.scan('other', { start: bytes('s\xff\xff') }))
    expect(plain(row)).toEqual(plainOf(rowOf('s\xff\xff', 1, { key: 's\xff\xff' })))
  })

  it('scans every row for its marker alone, and those of a second and later for their keys', async () => {
    for (const version of [1, 2, 3])
      await store.applyIfNewer('other', rowOf(`w${version}`, version, { a: 'x', b: 'y' }))
    await store.applyIfNewer('other', rowOf('w4', 4, {}, true))
    const range = { start: bytes('w'), end: bytes('x') }
    const marked = await collect(store.scan('other', { ...range, markersOnly: true }))
    expect(marked.map(plain)).toEqual(
      [1, 2, 3, 4].map((version) => plainOf(rowOf(`w${version}`, version, {}, version === 4))),
    )
    const { time } = rowOf('w', 3).marker
    const late = await collect(store.scan('other', { ...range, changedSince: time }))
    expect(late.map(plain)).toEqual(['w3', 'w4'].map((key) => ({ key, cells: {}, marker: undefined })))
    expect(await keysOf(store.scan('other', { ...range, changedSince: time + 2 }))).toEqual([])
    expect(await keysOf(store.scan('other', { ...range, changedSince: time, limit: 1 }))).toEqual(['w3'])
  })

  it('one of many writers at once has the last word: the newest', async () => {
    const versions = Array.from({ length: 40 }, (_, index) => ((index * 17) % 40) + 1)
    const outcomes = await Promise.all(
      versions.map((version) => store.applyIfNewer('rows', rowOf('hot', version, { v: String(version) }))),
    )
    expect(outcomes[versions.indexOf(40)]).toBe('applied')
    expect(await one('hot')).toEqual(plainOf(rowOf('hot', 40, { v: '40' })))
    const swaps = await Promise.all(
      versions.map((version) => store.replaceIf('rows', rowOf('hot', 100 + version), versionOf(40))),
    )
    expect(swaps.filter(Boolean)).toHaveLength(1)
  })

  it('lists the history of a row in version order, each entry once', async () => {
    const key = bytes('hist\0a')
    const entries: HistoryEntry[] = [
      { key, version: versionOf(12), time: 12, before: bytes('\0\xffimage') },
      { key, version: versionOf(2), time: 2, before: 'absent' },
      { key, version: versionOf(1), time: 1, before: 'unknown' },
      { key, version: versionOf(3), time: 3, before: bytes('') },
    ]
    await store.history.append('rows', entries)
    await store.history.append('rows', [entries[0]!, { ...entries[1]!, before: 'unknown' }, entries[1]!])
    const neighbours = ['hist\0', 'hist\x01', 'hist', 'hisu'].map(bytes)
    await store.history.append(
      'rows',
      neighbours.map((other) => ({ key: other, version: versionOf(5), time: 5, before: 'absent' as const })),
    )
    const list = await collect(store.history.list('rows', key))
    const inOrder = [2, 1, 3, 0].map((index) => plainEntry(entries[index]!))
    expect(list.map(plainEntry)).toEqual(inOrder)
    const later = async (second: number): Promise<number[]> =>
      (await collect(store.history.list('rows', key, { laterThan: second }))).map(({ time }) => time)
    expect([await later(0), await later(2), await later(11), await later(12)]).toEqual([
      [1, 2, 3, 12],
      [3, 12],
      [12],
      [],
    ])
    const above = async (version: number): Promise<string[]> =>
      (await collect(store.history.list('rows', key, { above: versionOf(version) }))).map((entry) => entry.version)
    expect([await above(2), await above(12)]).toEqual([[versionOf(3), versionOf(12)], []])
    expect(await collect(store.history.list('rows', bytes('hist\0b')))).toEqual([])
    expect(await collect(store.history.list('other', key))).toEqual([])
    expect(await one('hist\0a')).toBeUndefined()
  })

  it('a later entry of the same version replaces the one before whole', async () => {
    const entry = { key: bytes('twice'), version: versionOf(1), time: 9 }
    await store.history.append('rows', [{ ...entry, before: 'unknown' }])
    await store.history.append('rows', [{ ...entry, time: 8, before: bytes('image') }])
    const [left, ...more] = await collect(store.history.list('rows', bytes('twice')))
    expect([left?.time, Buffer.from(left!.before).toString(), more]).toEqual([8, 'image', []])
  })

  it('appends more history than one request takes', async () => {
    const entries = Array.from({ length: 1234 }, (_, index) => ({
      key: bytes(`many-${index % 2}`),
      version: versionOf(index),
      time: index,
      before: bytes('x'.repeat(index)),
    }))
    await store.history.append('rows', entries)
    await store.history.append('rows', [])
    const listed = await collect(store.history.list('rows', bytes('many-1')))
    expect(listed.map(({ version, before }) => [version, before.length])).toEqual(
      entries.filter((_, index) => index % 2 === 1).map(({ version, before }) => [version, before.length]),
    )
  })

  it('a table that does not exist is an error, never an empty one', async () => {
    const calls = [
      store.read('nowhere', [bytes('a')]),
      collect(store.scan('nowhere', { start: bytes('') })),
      store.applyIfNewer('nowhere', rowOf('a', 1)),
      store.replaceIf('nowhere', rowOf('a', 1), undefined),
      store.history.append('nowhere', [{ key: bytes('a'), version: '1', time: 1, before: 'absent' }]),
      collect(store.history.list('nowhere', bytes('a'))),
    ]
    for (const outcome of await Promise.allSettled(calls))
      expect(outcome).toMatchObject({ status: 'rejected', reason: expect.any(NotFoundError) as unknown })
  })

  it('what a caller does to its bytes afterwards does not change the store', async () => {
    const row = rowOf('mine', 1, { a: 'kept' })
    await store.applyIfNewer('rows', row)
    row.cells.get('a')!.fill(0)
    const [read] = await store.read('rows', [bytes('mine')])
    read!.cells.get('a')!.fill(1)
    expect(await one('mine')).toEqual(plainOf(rowOf('mine', 1, { a: 'kept' })))
  })

  it('tells a call that never arrived from nothing: it is retryable, and the resend does it', async (context) => {
    context.skip(!opened.fault, 'no faults can be switched on here')
    await opened.fault!('applyIfNewer', 'before', 1)
    await expect(store.applyIfNewer('rows', rowOf('cut', 1))).rejects.toThrow(UnavailableError)
    expect(await one('cut')).toBeUndefined()
    expect(await store.applyIfNewer('rows', rowOf('cut', 1))).toBe('applied')
    await opened.fault!('replaceIf', 'before', 1)
    await expect(store.replaceIf('rows', rowOf('cut', 2), versionOf(1))).rejects.toThrow(UnavailableError)
    expect(await store.replaceIf('rows', rowOf('cut', 2), versionOf(1))).toBe(true)
  })

  it('a lost reply leaves the write made once, and a resend changes nothing', async (context) => {
    context.skip(!opened.fault, 'no faults can be switched on here')
    const row = rowOf('lost', 1, { a: '1' })
    await opened.fault!('applyIfNewer', 'after', 1)
    await expect(store.applyIfNewer('rows', row)).rejects.toThrow(UnavailableError)
    expect(await one('lost')).toEqual(plainOf(row))
    expect(await store.applyIfNewer('rows', row)).toBe('stale')
    const next = rowOf('lost', 2, { a: '2' })
    await opened.fault!('replaceIf', 'after', 1)
    await expect(store.replaceIf('rows', next, versionOf(1))).rejects.toThrow(UnavailableError)
    expect(await store.replaceIf('rows', next, versionOf(1))).toBe(false)
    expect(await one('lost')).toEqual(plainOf(next))
  })
})
