import { status } from '@grpc/grpc-js'
import { expect, it } from 'vitest'
import { bytes, parent, setCell, tableNameOf } from '../support/bigtable.ts'
import { refusal, type World } from './bigtable-world.ts'

type Json = Record<string, unknown>

/** Tables, families and their ends. */
export const itHasTables = ({ api, newTable, mutate, check, rows }: World): void => {
  it('tables are made once, listed, described and deleted', async () => {
    await api.createTable('made', { f: { gcRule: { maxNumVersions: 2 } } })
    await expect(api.createTable('made', {})).rejects.toEqual(refusal(status.ALREADY_EXISTS))
    const { tables } = (await api.call('tableAdmin', 'ListTables', { parent })) as { tables: { name: string }[] }
    expect(tables.map(({ name }) => name)).toContain(tableNameOf('made'))
    const got = await api.call('tableAdmin', 'GetTable', { name: tableNameOf('made') })
    expect(got).toMatchObject({ columnFamilies: { f: { gcRule: { maxNumVersions: 2 } } } })
    await api.call('tableAdmin', 'DeleteTable', { name: tableNameOf('made') })
    const calls = [
      api.call('tableAdmin', 'GetTable', { name: tableNameOf('made') }),
      api.call('tableAdmin', 'DeleteTable', { name: tableNameOf('made') }),
      api.modify('made', []),
      api.read('made'),
      mutate('made', 'k', { deleteFromRow: {} }),
      check('made', 'k', { trueMutations: [{ deleteFromRow: {} }] }),
      api.stream('MutateRows', {
        tableName: tableNameOf('made'),
        entries: [{ rowKey: bytes('k'), mutations: [{ deleteFromRow: {} }] }],
      }),
      api.stream('SampleRowKeys', { tableName: tableNameOf('made') }),
    ]
    for (const outcome of await Promise.allSettled(calls))
      expect(outcome).toMatchObject({ status: 'rejected', reason: { code: status.NOT_FOUND } })
    await api.createTable('made', { f: {} })
    expect(await api.read('made')).toEqual([])
  })

  it('a dropped family takes its cells with it, for good', async () => {
    const table = await newTable()
    await mutate(table, 'both', setCell('f', 'x', 1000, '1'), setCell('g', 'x', 1000, '2'))
    await mutate(table, 'only', setCell('f', 'x', 1000, '3'))
    await api.modify(table, [{ id: 'f', drop: true }])
    expect(await rows(table)).toEqual({ both: ['g:x@1000=2'] })
    await api.modify(table, [{ id: 'f', create: {} }])
    expect(await rows(table)).toEqual({ both: ['g:x@1000=2'] })
    await expect(api.modify(table, [{ id: 'f', create: {} }])).rejects.toEqual(refusal(status.ALREADY_EXISTS))
  })

  it('ranges of rows are dropped by prefix and whole', async () => {
    const table = await newTable()
    for (const key of ['a', 'ab', 'b', '\xff', '\xff\xff']) await mutate(table, key, setCell('f', 'x', 1000, ''))
    const drop = (request: Json): Promise<Json> =>
      api.call('tableAdmin', 'DropRowRange', { name: tableNameOf(table), ...request })
    await drop({ rowKeyPrefix: bytes('a') })
    expect(Object.keys(await rows(table))).toEqual(['b', '\xff', '\xff\xff'])
    await drop({ rowKeyPrefix: bytes('\xff') })
    expect(Object.keys(await rows(table))).toEqual(['b'])
    await drop({ deleteAllDataFromTable: true })
    expect(await rows(table)).toEqual({})
  })
}
