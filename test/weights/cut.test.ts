import { describe, expect, it } from 'vitest'
import { cutsWithin, cutTensors, fixedSegments, planSegments, tensorsWithin } from '../../shared/weights/cut.ts'
import { parseSafetensors } from '../../shared/weights/safetensors.ts'
import vectors from '../vectors/weights.json' with { type: 'json' }

const mib = 2 ** 20
const tensor = (name: string, start: number, size: number, dtype = 'BF16') => ({
  name,
  dtype,
  shape: [],
  start,
  end: start + size,
})
const rows = (cuts: Iterable<{ offset: number; length: number; dtype?: string; tensor?: string }>) =>
  [...cuts].map((cut) => [cut.offset, cut.length, cut.dtype ?? null, cut.tensor ?? null])

const plan = (tensors: ReturnType<typeof tensor>[], max: number) =>
  [...planSegments(cutTensors(8, tensors, tensors.at(-1)?.end ?? 8), max)].map(({ offset, size, cuts }) => [
    offset,
    size,
    cuts,
  ])

describe('cutTensors', () => {
  it('cuts as the other implementation does', () => {
    const { header, fileSize, cuts, hugeHeaderCuts } = vectors.safetensors
    const parsed = parseSafetensors(Buffer.from(header, 'base64'), fileSize)
    if (!parsed.ok) throw new Error(parsed.reason)
    expect(rows(cutTensors(parsed.dataStart, parsed.tensors, fileSize))).toEqual(cuts)
    expect(rows(cutTensors(9 * mib + 3, [tensor('t', 9 * mib + 3, mib - 3, 'U8')], 10 * mib))).toEqual(hugeHeaderCuts)
  })

  it('groups small tensors to 1 MiB exactly and no further', () => {
    const tensors = [
      tensor('a', 8, mib - 5),
      tensor('b', mib + 3, 5),
      tensor('c', mib + 8, 1),
      tensor('d', mib + 9, mib),
    ]
    expect(rows(cutTensors(8, tensors, 2 * mib + 9))).toEqual([
      [0, 8, null, null],
      [8, mib, 'BF16', null],
      [mib + 8, 1, 'BF16', 'c'],
      [mib + 9, mib, 'BF16', 'd'],
    ])
  })

  it('refuses tensors that do not end with the file', () => {
    expect(() => [...cutTensors(8, [tensor('a', 8, 10)], 19)]).toThrow(RangeError)
  })
})

describe('planSegments', () => {
  it('ends before a tensor that would be split, where it is half full', () => {
    const a = tensor('a', 8, 10 * mib)
    expect(plan([a, tensor('b', a.end, 12 * mib)], 20 * mib)).toEqual([
      [0, a.end, 4],
      [a.end, 12 * mib, 3],
    ])
  })

  it('takes exactly half for half full', () => {
    const cuts = [10, 6, 6].map((length, index) => ({ offset: 0, length, tensor: index === 0 ? 'a' : 'b' }))
    expect([...planSegments(cuts, 20)].map((segment) => segment.size)).toEqual([10, 12])
    expect([...planSegments(cuts, 21)].map((segment) => segment.size)).toEqual([16, 6])
  })

  it('splits that tensor where the segment is less than half full', () => {
    const a = tensor('a', 8, 4 * mib)
    expect(plan([a, tensor('b', a.end, 18 * mib)], 20 * mib)).toEqual([
      [0, 16 * mib + 8, 5],
      [16 * mib + 8, 6 * mib, 2],
    ])
  })

  it('fills up with a tensor that no segment holds', () => {
    const a = tensor('a', 8, 12 * mib)
    expect(plan([a, tensor('b', a.end, 40 * mib)], 20 * mib)).toEqual([
      [0, 16 * mib + 8, 5],
      [16 * mib + 8, 20 * mib, 5],
      [36 * mib + 8, 16 * mib, 4],
    ])
  })

  it('makes a cut that is larger than the limit a segment of its own', () => {
    expect([
      ...planSegments(
        [
          { offset: 0, length: 30 },
          { offset: 30, length: 5 },
        ],
        10,
      ),
    ]).toEqual([
      { offset: 0, size: 30, cuts: 1 },
      { offset: 30, size: 5, cuts: 1 },
    ])
  })

  it('makes none of an empty file', () => {
    expect([...planSegments([])]).toEqual([])
    expect([...fixedSegments(0)]).toEqual([])
  })
})

describe('cutsWithin', () => {
  const tensors = [tensor('a', 100, 6 * mib), tensor('zero', 100 + 6 * mib, 0), tensor('b', 100 + 6 * mib, 10)]

  it('refuses a range that does not begin and end at cuts, and tensors that do not cover it', () => {
    const cuts =
      (start: number, end: number, known = tensors) =>
      () => [...cutsWithin(100, known, start, end)]
    expect(cuts(100, 100 + 4 * mib)()).toHaveLength(1)
    expect(cuts(101, 100 + 4 * mib)).toThrow(RangeError)
    expect(cuts(100, 99 + 4 * mib)).toThrow(RangeError)
    expect(cuts(100, 110 + 6 * mib, tensors.slice(0, 1))).toThrow(RangeError)
  })

  it('needs the tensors that have a byte in the range', () => {
    expect(tensorsWithin(tensors, 0, 100)).toEqual([])
    expect(tensorsWithin(tensors, 100 + 4 * mib, 100 + 6 * mib).map(({ name }) => name)).toEqual(['a'])
    expect(tensorsWithin(tensors, 0, 1000 * mib).map(({ name }) => name)).toEqual(['a', 'b'])
  })
})

describe('fixedSegments', () => {
  it('ends with what is left', () => {
    expect([...fixedSegments(25, 10)]).toEqual([
      { offset: 0, size: 10 },
      { offset: 10, size: 10 },
      { offset: 20, size: 5 },
    ])
  })
})
