import { status } from '@grpc/grpc-js'
import { expect, it } from 'vitest'
import { bytes, setCell, tableNameOf } from '../support/bigtable.ts'
import { refusal, type World } from './bigtable-world.ts'

type Json = Record<string, unknown>

const timeRange = (start?: string, end?: string): Json => ({
  deleteFromColumn: {
    familyName: 'f',
    columnQualifier: bytes('x'),
    timeRange: { ...(start && { startTimestampMicros: start }), ...(end && { endTimestampMicros: end }) },
  },
})
const mark = (value: string): Json[] => [setCell('f', 'mark', 1000, value)]
const entry = (key: string, ...mutations: Json[]): Json => ({ rowKey: bytes(key), mutations })

/** Mutations, checks and batches. */
export const itWrites = ({ api, newTable, mutate, check, rows }: World): void => {
  it('mutations of a list take effect in its order', async () => {
    const table = await newTable()
    await mutate(table, 'k', setCell('f', 'x', 5000, 'old'), setCell('f', 'y', 5000, 'old'))
    await mutate(table, 'k', { deleteFromFamily: { familyName: 'f' } }, setCell('f', 'x', 1000, 'new'))
    expect(await rows(table)).toEqual({ k: ['f:x@1000=new'] })
    await mutate(table, 'k', setCell('g', 'z', 1000, 'z'), { deleteFromRow: {} }, setCell('f', 'x', 2000, 'last'))
    expect(await rows(table)).toEqual({ k: ['f:x@2000=last'] })
    await mutate(table, 'k', { deleteFromRow: {} })
    expect(await rows(table)).toEqual({})
  })

  it('a list of mutations of which one is refused leaves the row as it was', async () => {
    const table = await newTable()
    await mutate(table, 'k', setCell('f', 'x', 1000, 'kept'))
    await expect(mutate(table, 'k', { deleteFromRow: {} }, setCell('nope', 'x', 1000, ''))).rejects.toMatchObject({
      code: expect.any(Number) as number,
    })
    await expect(mutate(table, 'new', setCell('f', 'x', 1000, ''), setCell('f', 'x', 1001, ''))).rejects.toMatchObject({
      code: expect.any(Number) as number,
    })
    expect(await rows(table)).toEqual({ k: ['f:x@1000=kept'] })
  })

  it('an unknown family is not found', async () => {
    const table = await newTable()
    await expect(mutate(table, 'k', setCell('nope', 'x', 1000, ''))).rejects.toEqual(refusal(status.NOT_FOUND))
  })

  it('a delete from an unknown family is refused', async () => {
    const table = await newTable()
    await expect(mutate(table, 'k', { deleteFromFamily: { familyName: 'nope' } })).rejects.toMatchObject({
      code: expect.any(Number) as number,
    })
  })

  it('timestamps are whole milliseconds; the newest cell is first and the same one is replaced', async () => {
    const table = await newTable()
    await expect(mutate(table, 'k', setCell('f', 'x', 1001, ''))).rejects.toMatchObject({
      code: expect.any(Number) as number,
    })
    await expect(mutate(table, 'k', setCell('f', 'x', -2, ''))).rejects.toMatchObject({
      code: expect.any(Number) as number,
    })
    for (const [micros, value] of [
      [2000, 'b'],
      [9_007_199_254_740_993_000n, 'big'],
      [1000, 'a'],
      [2000, 'B'],
      [0, 'zero'],
    ] as const)
      await mutate(table, 'k', setCell('f', 'x', String(micros), value))
    const cells = ['f:x@9007199254740993000=big', 'f:x@2000=B', 'f:x@1000=a', 'f:x@0=zero']
    expect(await rows(table)).toEqual({ k: cells })
    const before = Date.now()
    await mutate(table, 'now', setCell('f', 'x', -1, ''))
    const [row] = await api.read(table, { rows: { rowKeys: [bytes('now')] } })
    const millis = Number(row!.cells[0]!.timestamp) / 1000
    expect(Number.isInteger(millis)).toBe(true)
    expect(Math.abs(millis - before)).toBeLessThan(10_000)
  })

  it('a column is deleted whole or from its start up to but not including its end', async () => {
    const table = await newTable()
    const all = [1000, 2000, 3000, 4000]
    const whole: Json = { deleteFromColumn: { familyName: 'f', columnQualifier: bytes('x') } }
    const left = async (mutation: Json): Promise<string[]> => {
      await mutate(table, 'k', { deleteFromRow: {} }, ...all.map((micros) => setCell('f', 'x', micros, '')))
      await mutate(table, 'k', setCell('f', 'y', 1000, ''), mutation)
      return ((await rows(table))['k'] ?? []).map((cell) => cell.replace(/=$/, ''))
    }
    expect(await left(timeRange('2000', '4000'))).toEqual(['f:x@4000', 'f:x@1000', 'f:y@1000'])
    expect(await left(timeRange('2000'))).toEqual(['f:x@1000', 'f:y@1000'])
    expect(await left(timeRange(undefined, '2000'))).toEqual(['f:x@4000', 'f:x@3000', 'f:x@2000', 'f:y@1000'])
    expect(await left(whole)).toEqual(['f:y@1000'])
    await expect(mutate(table, 'k', timeRange('3000', '2000'))).rejects.toMatchObject({
      code: expect.any(Number) as number,
    })
  })

  it('checks and mutates on either outcome, and without a predicate on whether there is a row', async () => {
    const table = await newTable()
    const either = { trueMutations: mark('yes'), falseMutations: mark('no') }
    const isYes = { predicateFilter: { valueRegexFilter: bytes('yes') } }
    expect(await check(table, 'k', either)).toBe(false)
    expect(await rows(table)).toEqual({ k: ['f:mark@1000=no'] })
    expect(await check(table, 'k', either)).toBe(true)
    expect(await rows(table)).toEqual({ k: ['f:mark@1000=yes'] })
    expect(await check(table, 'k', { ...isYes, falseMutations: mark('no') })).toBe(true)
    expect(await check(table, 'k', { ...isYes, trueMutations: [{ deleteFromRow: {} }] })).toBe(true)
    expect(await check(table, 'k', { ...isYes, trueMutations: mark('yes') })).toBe(false)
    expect(await rows(table)).toEqual({})
  })

  it('of many that check for the same, one mutates', async () => {
    const table = await newTable()
    for (const key of ['a', 'b', 'c']) {
      const outcomes = await Promise.all(
        Array.from({ length: 50 }, (_, index) =>
          check(table, key, { falseMutations: [setCell('f', 'x', 1000, String(index))] }),
        ),
      )
      expect(outcomes.filter((matched) => matched === false)).toHaveLength(1)
      expect(await rows(table, { rows: { rowKeys: [bytes(key)] } })).toEqual({
        [key]: [`f:x@1000=${outcomes.indexOf(false)}`],
      })
    }
  })

  it('a request without mutations is refused', async () => {
    const table = await newTable()
    await expect(mutate(table, 'k')).rejects.toEqual(refusal(status.INVALID_ARGUMENT))
    const nothing = { tableName: tableNameOf(table), entries: [] }
    await expect(api.stream('MutateRows', nothing)).rejects.toEqual(refusal(status.INVALID_ARGUMENT))
  })

  it('a check without mutations is refused', async () => {
    const table = await newTable()
    await expect(check(table, 'k', {})).rejects.toEqual(refusal(status.INVALID_ARGUMENT))
  })

  it('a batch answers every entry by itself', async () => {
    const table = await newTable()
    const answers = await api.stream('MutateRows', {
      tableName: tableNameOf(table),
      entries: [
        entry('a', setCell('f', 'x', 1000, 'a')),
        entry('b', setCell('nope', 'x', 1000, 'b')),
        entry('a', setCell('f', 'x', 2000, 'a2')),
        entry('c', setCell('f', 'x', 1001, 'c')),
      ],
    })
    type Answer = { index?: string; status?: { code?: number } }
    const entries = answers.flatMap((answer) => answer['entries'] as Answer[])
    const refused = entries.filter((each) => each.status?.code).map((each) => Number(each.index))
    expect([entries.length, refused]).toEqual([4, [1, 3]])
    expect(await rows(table)).toEqual({ a: ['f:x@2000=a2', 'f:x@1000=a'] })
  })

  it('keys are 1 to 4096 bytes', async () => {
    const table = await newTable()
    await mutate(table, 'k'.repeat(4096), setCell('f', 'x', 1000, ''))
    await expect(mutate(table, '', setCell('f', 'x', 1000, ''))).rejects.toEqual(refusal(status.INVALID_ARGUMENT))
  })

  it('a key of more than 4096 bytes is refused', async () => {
    const table = await newTable()
    const long = mutate(table, 'k'.repeat(4097), setCell('f', 'x', 1000, ''))
    await expect(long).rejects.toEqual(refusal(status.INVALID_ARGUMENT))
  })
}
