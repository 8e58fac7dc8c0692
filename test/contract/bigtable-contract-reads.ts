import { status } from '@grpc/grpc-js'
import { expect, it } from 'vitest'
import { bytes, setCell, tableNameOf } from '../support/bigtable.ts'
import { refusal, type World } from './bigtable-world.ts'

type Json = Record<string, unknown>

const range = (edges: Record<string, string>): Json =>
  Object.fromEntries(Object.entries(edges).map(([name, key]) => [name, bytes(key)]))

/** Rows by keys and ranges, large ones and samples. */
export const itReads = ({ api, newTable, mutate }: World): void => {
  it('rows come in byte order, each once, by keys, ranges, limit and in reverse', async () => {
    const table = await newTable()
    const keys = ['a', 'a\0', 'a\xff', 'b', 'b1', '\x7f', '\x80', '\xff', '\xff\xff']
    for (const key of keys.toReversed()) await mutate(table, key, setCell('f', '', 1000, ''))
    const read = async (request: Json): Promise<string[]> => (await api.read(table, request)).map(({ key }) => key)
    const within = (...ranges: Record<string, string>[]): Promise<string[]> =>
      read({ rows: { rowRanges: ranges.map(range) } })
    expect(await read({})).toEqual(keys)
    expect(await read({ rows: { rowKeys: ['b', 'a', 'b', 'nothing'].map(bytes) } })).toEqual(['a', 'b'])
    expect(await within({ startKeyClosed: 'a', endKeyOpen: 'b' })).toEqual(['a', 'a\0', 'a\xff'])
    expect(await within({ startKeyOpen: 'a', endKeyClosed: 'b' })).toEqual(['a\0', 'a\xff', 'b'])
    expect(await within({ startKeyOpen: '\x80' })).toEqual(['\xff', '\xff\xff'])
    expect(await within({ endKeyOpen: 'a\0' })).toEqual(['a'])
    expect(
      await within({ startKeyClosed: 'a', endKeyClosed: 'b' }, { startKeyOpen: 'a\0', endKeyOpen: '\x7f' }),
    ).toEqual(keys.slice(0, 5))
    expect(await within({ startKeyOpen: 'b', endKeyOpen: 'b' })).toEqual([])
    await expect(within({ startKeyClosed: 'b', endKeyClosed: 'a' })).rejects.toEqual(refusal(status.INVALID_ARGUMENT))
    expect(await read({ rowsLimit: '2' })).toEqual(['a', 'a\0'])
    const both = { rowKeys: [bytes('\xff')], rowRanges: [range({ startKeyClosed: 'a', endKeyClosed: 'a\xff' })] }
    expect(await read({ rows: both, rowsLimit: '4' })).toEqual(['a', 'a\0', 'a\xff', '\xff'])
    expect(await read({ reversed: true })).toEqual(keys.toReversed())
    expect(await read({ rows: both, reversed: true, rowsLimit: '3' })).toEqual(['\xff', 'a\xff', 'a\0'])
  })

  it('thousands of rows and large values come back whole', async () => {
    const table = await newTable()
    const big = 'v'.repeat(3 * 2 ** 20)
    await mutate(
      table,
      'z-big',
      setCell('f', 'x', 1000, big),
      setCell('f', 'y', 1000, big),
      setCell('g', 'z', 1000, 'end'),
    )
    const keys = Array.from({ length: 3000 }, (_, index) => `k${String(index).padStart(5, '0')}`)
    const entries = keys.map((key) => ({ rowKey: bytes(key), mutations: [setCell('f', 'x', 1000, key.repeat(50))] }))
    await api.stream('MutateRows', { tableName: tableNameOf(table), entries })
    const read = await api.read(table)
    expect(read.map(({ key }) => key)).toEqual([...keys, 'z-big'])
    expect(read.slice(0, -1).every(({ key, cells }) => cells[0]?.value === key.repeat(50))).toBe(true)
    expect(read.at(-1)!.cells.map(({ value }) => value === big || value)).toEqual([true, true, 'end'])
    const samples = await api.stream('SampleRowKeys', { tableName: tableNameOf(table) })
    const sampled = samples.map(({ rowKey }) => ((rowKey as Buffer | undefined) ?? Buffer.of()).toString('latin1'))
    expect(sampled.at(-1)).toBe('')
    expect(sampled.slice(0, -1)).toEqual(sampled.slice(0, -1).toSorted())
  })

  it('the splits that a table is made with are among its samples', async () => {
    await api.createTable('split', { f: {} }, { initialSplits: [{ key: bytes('p') }, { key: bytes('h\xff') }] })
    await mutate('split', 'm', setCell('f', 'x', 1000, 'value'))
    const samples = await api.stream('SampleRowKeys', { tableName: tableNameOf('split') })
    const keys = samples.map(({ rowKey }) => ((rowKey as Buffer | undefined) ?? Buffer.of()).toString('latin1'))
    expect(keys).toEqual(['h\xff', 'p', ''])
  })
}
