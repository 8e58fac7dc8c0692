import { array, assert, integer, nat, property, tuple } from 'fast-check'
import { describe, expect, it } from 'vitest'
import { boundsWithin, partRanges } from '../../shared/weights/check.ts'
import type { Check } from '../../shared/weights/ledger.ts'

const checkOf = (parts: [number, number][]): Check => ({ algorithm: 'SHA256', type: 'COMPOSITE', value: '', parts })

describe('boundsWithin', () => {
  it('answers the starts of parts strictly inside the range, for any run lengths', () => {
    const runs = array(tuple(integer({ min: 1, max: 9 }), integer({ min: 1, max: 5 })), { minLength: 1 })
    assert(
      property(runs, nat(60), nat(60), (parts, from, length) => {
        const check = checkOf(parts)
        const size = parts.reduce((sum, [bytes, count]) => sum + bytes * count, 0)
        const starts = [...partRanges(check, size)].map(({ start }) => start)
        const to = from + length
        expect(boundsWithin(check, size, from, to)).toEqual(starts.filter((start) => start > from && start < to))
      }),
    )
  })

  it('does not walk through every part for every segment', () => {
    const check = checkOf([[5, Number.MAX_SAFE_INTEGER / 10]])
    expect(boundsWithin(check, Number.MAX_SAFE_INTEGER / 2, 1_000_000_000_001, 1_000_000_000_011)).toEqual([
      1_000_000_000_005, 1_000_000_000_010,
    ])
  })

  it('has none for a check of the whole', () =>
    expect(boundsWithin({ algorithm: 'SHA1', type: 'FULL_OBJECT', value: '' }, 100, 0, 50)).toEqual([]))
})
