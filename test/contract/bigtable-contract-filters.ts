import { status } from '@grpc/grpc-js'
import { beforeAll, describe, expect, it } from 'vitest'
import { bytes, setCell } from '../support/bigtable.ts'
import { refusal, type World } from './bigtable-world.ts'

type Json = Record<string, unknown>

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

/** Every filter. */
export const itFilters = ({ api, newTable, mutate, rows }: World): void => {
  describe('filters', () => {
    let table: string
    beforeAll(async () => {
      table = await newTable()
      await mutate(
        table,
        'r1',
        setCell('f', 'a', 3000, 'v3'),
        setCell('f', 'a', 1000, 'v1'),
        setCell('f', 'b', 2000, ''),
      )
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
      [
        'strip',
        { stripValueTransformer: true },
        {
          r1: ['f:a@3000=', 'f:a@1000=', b, 'f:b\n@2000=', 'f:\xff@5000='],
          r2: ['g:a@2000=', 'g:c@4000='],
        },
      ],
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
      [
        'condition without a branch',
        { condition: { predicateFilter: qualifier('c'), trueFilter: qualifier('a') } },
        { r2: [ga] },
      ],
    ]
    it.each(cases)('%s', async (_, filter, expected) => {
      expect(await rows(table, { filter })).toEqual(expected)
    })

    it('a sink lets its cells out past what follows', async () => {
      const filter = {
        chain: {
          filters: [
            qualifier('a'),
            { interleave: { filters: [{ sink: true }, { passAllFilter: true }] } },
            { blockAllFilter: true },
          ],
        },
      }
      expect(await rows(table, { filter })).toEqual({ r1: [a3, a1], r2: [ga] })
    })

    it('a row sample takes some rows, whole', async () => {
      await Promise.all(
        Array.from({ length: 200 }, (_, index) =>
          mutate(table, `s${index}`, setCell('f', 'x', 1000, ''), setCell('f', 'y', 1000, '')),
        ),
      )
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
}
