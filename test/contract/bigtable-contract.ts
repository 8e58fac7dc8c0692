import { status } from '@grpc/grpc-js'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { expectBugs } from '../support/contract-target.ts'
import { type BigtableApi, connectBigtable, parent, type RowRead, tableNameOf } from '../support/bigtable.ts'

export type BigtableTarget = {
  name: string
  start(): Promise<{ host: string; close(): Promise<void> }>
  bugs?: readonly string[]
}
type Json = Record<string, unknown>

export const bytes = (text: string): Buffer => Buffer.from(text, 'latin1')
export const setCell = (familyName: string, qualifier: string, micros: number | string, value: string): Json => ({
  setCell: { familyName, columnQualifier: bytes(qualifier), timestampMicros: String(micros), value: bytes(value) },
})

/** A row's cells as `family:qualifier@timestamp=value`, and its labels. */
export const brief = (rows: RowRead[]): Record<string, string[]> =>
  Object.fromEntries(
    rows.map(({ key, cells }) => [
      key,
      cells.map(
        ({ family, qualifier, timestamp, value, labels }) =>
          `${family}:${qualifier}@${timestamp}=${value}${labels ? `[${labels.join()}]` : ''}`,
      ),
    ]),
  )

const refusal = (code: status): unknown => expect.objectContaining({ code })

/** What every Bigtable must do; titles name the tests that a target's own bugs fail. */
export const describeBigtable = (target: BigtableTarget): unknown =>
  describe(`Bigtable: ${target.name}`, () => {
    expectBugs({ ...target, start: async () => ({ url: '', close: async () => undefined }) })
    let running: { host: string; close(): Promise<void> }
    let api: BigtableApi
    let last = 0
    beforeAll(async () => {
      running = await target.start()
      api = connectBigtable(running.host)
    })
    afterAll(async () => {
      api.close()
      await running.close()
    })
    const newTable = async (): Promise<string> => {
      last += 1
      await api.createTable(`t${last}`, {})
      for (const id of ['f', 'g']) await api.modify(`t${last}`, [{ id, create: {} }])
      return `t${last}`
    }
    const mutate = (table: string, key: string, ...mutations: Json[]): Promise<Json> =>
      api.call('data', 'MutateRow', { tableName: tableNameOf(table), rowKey: bytes(key), mutations })
    const check = async (table: string, key: string, request: Json): Promise<unknown> =>
      (await api.call('data', 'CheckAndMutateRow', { tableName: tableNameOf(table), rowKey: bytes(key), ...request }))[
        'predicateMatched'
      ] ?? false
    const rows = async (table: string, request?: Json): Promise<Record<string, string[]>> =>
      brief(await api.read(table, request))

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
      await expect(mutate(table, 'k', { deleteFromRow: {} }, setCell('nope', 'x', 1000, ''))).rejects.toThrow()
      await expect(mutate(table, 'new', setCell('f', 'x', 1000, ''), setCell('f', 'x', 1001, ''))).rejects.toThrow()
      expect(await rows(table)).toEqual({ k: ['f:x@1000=kept'] })
    })

    it('an unknown family is not found', async () => {
      const table = await newTable()
      await expect(mutate(table, 'k', setCell('nope', 'x', 1000, ''))).rejects.toEqual(refusal(status.NOT_FOUND))
    })

    it('a delete from an unknown family is refused', async () => {
      const table = await newTable()
      await expect(mutate(table, 'k', { deleteFromFamily: { familyName: 'nope' } })).rejects.toThrow()
    })

    it('timestamps are whole milliseconds; the newest cell is first and the same one is replaced', async () => {
      const table = await newTable()
      await expect(mutate(table, 'k', setCell('f', 'x', 1001, ''))).rejects.toThrow()
      await expect(mutate(table, 'k', setCell('f', 'x', -2, ''))).rejects.toThrow()
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
      const timeRange = (start?: string, end?: string): Json => ({
        deleteFromColumn: {
          familyName: 'f',
          columnQualifier: bytes('x'),
          timeRange: { ...(start && { startTimestampMicros: start }), ...(end && { endTimestampMicros: end }) },
        },
      })
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
      await expect(mutate(table, 'k', timeRange('3000', '2000'))).rejects.toThrow()
    })

    it('rows come in byte order, each once, by keys, ranges, limit and in reverse', async () => {
      const table = await newTable()
      const keys = ['a', 'a\0', 'a\xff', 'b', 'b1', '\x7f', '\x80', '\xff', '\xff\xff']
      for (const key of keys.toReversed()) await mutate(table, key, setCell('f', '', 1000, ''))
      const read = async (request: Json): Promise<string[]> => (await api.read(table, request)).map(({ key }) => key)
      const range = (edges: Record<string, string>): Json =>
        Object.fromEntries(Object.entries(edges).map(([name, key]) => [name, bytes(key)]))
      const within = (...ranges: Record<string, string>[]): Promise<string[]> =>
        read({ rows: { rowRanges: ranges.map(range) } })
      expect(await read({})).toEqual(keys)
      expect(await read({ rows: { rowKeys: ['b', 'a', 'b', 'nothing'].map(bytes) } })).toEqual(['a', 'b'])
      expect(await within({ startKeyClosed: 'a', endKeyOpen: 'b' })).toEqual(['a', 'a\0', 'a\xff'])
      expect(await within({ startKeyOpen: 'a', endKeyClosed: 'b' })).toEqual(['a\0', 'a\xff', 'b'])
      expect(await within({ startKeyOpen: '\x80' })).toEqual(['\xff', '\xff\xff'])
      expect(await within({ endKeyOpen: 'a\0' })).toEqual(['a'])
      expect(await within({ startKeyClosed: 'a', endKeyClosed: 'b' }, { startKeyOpen: 'a\0', endKeyOpen: '\x7f' })).toEqual(
        keys.slice(0, 5),
      )
      expect(await within({ startKeyOpen: 'b', endKeyOpen: 'b' })).toEqual([])
      await expect(within({ startKeyClosed: 'b', endKeyClosed: 'a' })).rejects.toEqual(refusal(status.INVALID_ARGUMENT))
      expect(await read({ rowsLimit: '2' })).toEqual(['a', 'a\0'])
      const both = { rowKeys: [bytes('\xff')], rowRanges: [range({ startKeyClosed: 'a', endKeyClosed: 'a\xff' })] }
      expect(await read({ rows: both, rowsLimit: '4' })).toEqual(['a', 'a\0', 'a\xff', '\xff'])
      expect(await read({ reversed: true })).toEqual(keys.toReversed())
      expect(await read({ rows: both, reversed: true, rowsLimit: '3' })).toEqual(['\xff', 'a\xff', 'a\0'])
    })

    describe('filters', () => {
      let table: string
      beforeAll(async () => {
        table = await newTable()
        await mutate(table, 'r1', setCell('f', 'a', 3000, 'v3'), setCell('f', 'a', 1000, 'v1'), setCell('f', 'b', 2000, ''))
        await mutate(table, 'r1', setCell('f', 'b\n', 2000, 'x\ny'), setCell('f', '\xff', 5000, '\0\xff'))
        await mutate(table, 'r2', setCell('g', 'a', 2000, 'v2'), setCell('g', 'c', 4000, 'v4'))
      })
      const a3 = 'f:a@3000=v3'
      const a1 = 'f:a@1000=v1'
      const b = 'f:b@2000='
      const bn = 'f:b\n@2000=x\ny'
      const ff = 'f:\xff@5000=\0\xff'
      const ga = 'g:a@2000=v2'
      const gc = 'g:c@4000=v4'
      const r1 = [a3, a1, b, bn, ff]
      const r2 = [ga, gc]
      const columns = (edges: Record<string, string>, familyName = 'f'): Json => ({
        columnRangeFilter: {
          familyName,
          ...Object.fromEntries(Object.entries(edges).map(([name, value]) => [name, bytes(value)])),
        },
      })
      const values = (edges: Record<string, string>): Json => ({
        valueRangeFilter: Object.fromEntries(Object.entries(edges).map(([name, value]) => [name, bytes(value)])),
      })
      const qualifier = (pattern: string): Json => ({ columnQualifierRegexFilter: bytes(pattern) })
      const cases: [string, Json, Record<string, string[]>][] = [
        ['pass all', { passAllFilter: true }, { r1, r2 }],
        ['block all', { blockAllFilter: true }, {}],
        ['row key regex', { rowKeyRegexFilter: bytes('.2') }, { r2 }],
        ['row key regex, whole keys only', { rowKeyRegexFilter: bytes('r') }, {}],
        ['family regex', { familyNameRegexFilter: 'f|x' }, { r1 }],
        ['qualifier regex', qualifier('[ac]'), { r1: [a3, a1], r2 }],
        ['qualifier regex whose dot is no newline', qualifier('b.?'), { r1: [b] }],
        ['qualifier regex for any byte', qualifier('b\\C?'), { r1: [b, bn] }],
        ['qualifier regex over a high byte', qualifier('\xff'), { r1: [ff] }],
        ['qualifier regex with an escape', qualifier('\\xff|\\C\\x0a'), { r1: [bn, ff] }],
        ['qualifier regex with a class', qualifier('[[:alpha:]]'), { r1: [a3, a1, b], r2 }],
        ['value regex', { valueRegexFilter: bytes('v[1-3]') }, { r1: [a3, a1], r2: [ga] }],
        ['value regex of nothing', { valueRegexFilter: bytes('') }, { r1: [b] }],
        ['column range, closed', columns({ startQualifierClosed: 'a', endQualifierClosed: 'b' }), { r1: [a3, a1, b] }],
        ['column range, open', columns({ startQualifierOpen: 'a', endQualifierOpen: '\xff' }), { r1: [b, bn] }],
        ['column range, unbounded', columns({}, 'g'), { r2 }],
        ['value range, closed', values({ startValueClosed: 'v1', endValueClosed: 'v3' }), { r1: [a3, a1], r2: [ga] }],
        ['value range, open', values({ startValueOpen: 'v1', endValueOpen: 'v4' }), { r1: [a3], r2: [ga] }],
        ['value range, to the end', values({ startValueOpen: 'v3' }), { r1: [bn], r2: [gc] }],
        ['value range, from the start', values({ endValueClosed: '\0\xff' }), { r1: [b, ff] }],
        [
          'time range',
          { timestampRangeFilter: { startTimestampMicros: '2000', endTimestampMicros: '4000' } },
          { r1: [a3, b, bn], r2: [ga] },
        ],
        ['time range without an end', { timestampRangeFilter: { startTimestampMicros: '4000' } }, { r1: [ff], r2: [gc] }],
        ['cells per row', { cellsPerRowLimitFilter: 3 }, { r1: r1.slice(0, 3), r2 }],
        ['cells per row, offset', { cellsPerRowOffsetFilter: 2 }, { r1: r1.slice(2) }],
        ['cells per column', { cellsPerColumnLimitFilter: 1 }, { r1: [a3, b, bn, ff], r2 }],
        ['strip', { stripValueTransformer: true }, {
          r1: ['f:a@3000=', 'f:a@1000=', b, 'f:b\n@2000=', 'f:\xff@5000='],
          r2: ['g:a@2000=', 'g:c@4000='],
        }],
        [
          'label',
          { chain: { filters: [qualifier('a'), { applyLabelTransformer: 'in-a' }] } },
          { r1: [`${a3}[in-a]`, `${a1}[in-a]`], r2: [`${ga}[in-a]`] },
        ],
        [
          'chain',
          { chain: { filters: [{ cellsPerColumnLimitFilter: 1 }, values({ endValueClosed: 'v2' })] } },
          { r1: [b, ff], r2: [ga] },
        ],
        [
          'interleave, with its duplicates',
          { interleave: { filters: [qualifier('a'), values({ startValueClosed: 'v3' })] } },
          { r1: [a3, a3, a1, bn], r2: [ga, gc] },
        ],
        [
          'condition',
          {
            condition: {
              predicateFilter: { familyNameRegexFilter: 'g' },
              trueFilter: qualifier('c'),
              falseFilter: { cellsPerRowLimitFilter: 1 },
            },
          },
          { r1: [a3], r2: [gc] },
        ],
        ['condition without a branch', { condition: { predicateFilter: qualifier('c'), trueFilter: qualifier('a') } }, { r2: [ga] }],
      ]
      it.each(cases)('%s', async (_, filter, expected) => {
        expect(await rows(table, { filter })).toEqual(expected)
      })

      it('a sink lets its cells out past what follows', async () => {
        const filter = {
          chain: {
            filters: [qualifier('a'), { interleave: { filters: [{ sink: true }, { passAllFilter: true }] } }, { blockAllFilter: true }],
          },
        }
        expect(await rows(table, { filter })).toEqual({ r1: [a3, a1], r2: [ga] })
      })

      it('a row sample takes some rows, whole', async () => {
        await Promise.all(Array.from({ length: 200 }, (_, index) => mutate(table, `s${index}`, setCell('f', 'x', 1000, ''), setCell('f', 'y', 1000, ''))))
        const rowRanges = [{ startKeyClosed: bytes('s'), endKeyOpen: bytes('t') }]
        const sampled = await api.read(table, { rows: { rowRanges }, filter: { rowSampleFilter: 0.5 } })
        expect(sampled.length).toBeGreaterThan(50)
        expect(sampled.length).toBeLessThan(150)
        expect(new Set(sampled.map(({ cells }) => cells.length))).toEqual(new Set([2]))
      })

      const wrong: [string, Json][] = [
        ['a pattern that is none', { valueRegexFilter: bytes('(') }],
        ['an empty pattern of row keys', { rowKeyRegexFilter: bytes('') }],
        ['a lookahead', { valueRegexFilter: bytes('(?=a)') }],
        ['a chain of one', { chain: { filters: [{ passAllFilter: true }] } }],
        ['an interleave of one', { interleave: { filters: [{ passAllFilter: true }] } }],
        ['a limit of no cells', { cellsPerRowLimitFilter: 0 }],
        ['a column limit of no cells', { cellsPerColumnLimitFilter: 0 }],
        ['a probability of 1', { rowSampleFilter: 1 }],
        ['a time in microseconds', { timestampRangeFilter: { startTimestampMicros: '1' } }],
        ['a false pass', { passAllFilter: false }],
        ['a label in capitals', { applyLabelTransformer: 'LABEL' }],
      ]
      it.each(wrong)('%s is refused', async (_, filter) => {
        await expect(api.read(table, { filter })).rejects.toEqual(refusal(status.INVALID_ARGUMENT))
      })
    })

    it('checks and mutates on either outcome, and without a predicate on whether there is a row', async () => {
      const table = await newTable()
      const mark = (value: string): Json[] => [setCell('f', 'mark', 1000, value)]
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
          Array.from({ length: 50 }, (_, index) => check(table, key, { falseMutations: [setCell('f', 'x', 1000, String(index))] })),
        )
        expect(outcomes.filter((matched) => matched === false)).toHaveLength(1)
        expect(await rows(table, { rows: { rowKeys: [bytes(key)] } })).toEqual({ [key]: [`f:x@1000=${outcomes.indexOf(false)}`] })
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
      const entry = (key: string, ...mutations: Json[]): Json => ({ rowKey: bytes(key), mutations })
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

    it('thousands of rows and large values come back whole', async () => {
      const table = await newTable()
      const big = 'v'.repeat(3 * 2 ** 20)
      await mutate(table, 'z-big', setCell('f', 'x', 1000, big), setCell('f', 'y', 1000, big), setCell('g', 'z', 1000, 'end'))
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

    describe('garbage collection', () => {
      const hourAgo = (hours: number): number => (Math.floor(Date.now() / 1000) - hours * 3600) * 1_000_000
      const versions = { maxNumVersions: 2 }
      const age = { maxAge: { seconds: '5400' } }
      const fill = async (table: string): Promise<void> => {
        const cells = [0, 1, 2, 3].flatMap((hours) => [setCell('f', 'x', hourAgo(hours), String(hours))])
        await mutate(table, 'k', ...cells, setCell('f', 'y', hourAgo(9), '9'), setCell('g', 'z', 1000, 'kept'))
      }
      const left = async (table: string): Promise<string[]> =>
        (await api.read(table)).flatMap(({ cells }) => cells.map(({ qualifier, value }) => qualifier + value))
      const whenSet = async (gcRule: Json): Promise<string> => {
        const table = await newTable()
        await fill(table)
        await api.modify(table, [{ id: 'f', update: { gcRule } }])
        return table
      }
      const soon = { timeout: 5000, interval: 100 }

      it('keeps the newest versions', async () => {
        const table = await whenSet(versions)
        await expect.poll(() => left(table), soon).toEqual(['x0', 'x1', 'y9', 'zkept'])
      })
      it('keeps what is young', async () => {
        const table = await whenSet(age)
        await expect.poll(() => left(table), soon).toEqual(['x0', 'x1', 'zkept'])
      })
      it('takes with a union what any rule takes', async () => {
        const table = await whenSet({ union: { rules: [{ maxNumVersions: 1 }, age] } })
        await expect.poll(() => left(table), soon).toEqual(['x0', 'zkept'])
      })
      it('takes with an intersection only what every rule takes', async () => {
        const table = await whenSet({ intersection: { rules: [{ maxNumVersions: 1 }, age] } })
        await expect.poll(() => left(table), soon).toEqual(['x0', 'x1', 'y9', 'zkept'])
      })
    })
  })
