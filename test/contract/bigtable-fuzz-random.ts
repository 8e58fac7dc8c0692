import { bytes, setCell } from '../support/bigtable.ts'

type Json = Record<string, unknown>
export type Choose = <T>(choices: readonly T[]) => T
/** Notes that a kind of operation or filter was used. */
export type Note = (kind: string) => void

/** mulberry32. */
export const randomOf = (seed: number): Choose => {
  let state = seed
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  return (choices) => choices[Math.floor(next() * choices.length)]!
}

const prefixes = ['a', 'b', 'ab', 'a\0', '\xff', 'z']
export const families = ['f', 'g', 'h']
const qualifiers = ['', 'x', 'z\0', '\xfe']
const values = ['', '\0\xff\n', 'v0', 'v1', 'v2', 'v3', 'v4', '0005']
const times = [0, 1000, 2000, 3000, 1_000_000]
const patterns = [
  'a',
  'a.*',
  '[ab].*',
  '.*',
  '\\C*',
  'x|y',
  'v[0-2]+',
  '',
  '[^a]+',
  'a?b+.',
  '\\x00.*',
  '.{2,3}',
  '\xff\\C*',
]

export const keyOf = (choose: Choose): string => choose(prefixes) + choose(['', '1'])

const edges = (choose: Choose, names: { start: string; end: string }, from: readonly string[]): Json => {
  const edge = (name: string, choice: string): Json => ({ [name + choose(['Closed', 'Open'])]: bytes(choice) })
  return {
    ...(choose([true, true, false]) && edge(names.start, choose(from))),
    ...(choose([true, true, false]) && edge(names.end, choose(from))),
  }
}

const timeRange = (choose: Choose): Json => ({
  ...(choose([true, false]) && { startTimestampMicros: String(choose([0, 1000, 2000])) }),
  ...(choose([true, false]) && { endTimestampMicros: String(choose([3000, 4000, 2_000_000])) }),
})

// ------------------------------------------------------------------- mutations

export const mutationOf = (choose: Choose, note: Note): Json => {
  const kind = choose([
    ...Array.from({ length: 14 }, () => 'setCell'),
    'column',
    'range',
    'range',
    'family',
    'row',
    'now',
  ])
  note(`mutation:${kind}`)
  const familyName = choose(families)
  const columnQualifier = bytes(choose(qualifiers))
  if (kind === 'column') return { deleteFromColumn: { familyName, columnQualifier } }
  if (kind === 'range') return { deleteFromColumn: { familyName, columnQualifier, timeRange: timeRange(choose) } }
  if (kind === 'family') return { deleteFromFamily: { familyName } }
  if (kind === 'row') return choose([{ deleteFromRow: {} }, { deleteFromFamily: { familyName } }])
  // A column that gets one cell, since two of the same millisecond on one side may be of two on the other.
  if (kind === 'now') return setCell(familyName, `now${choose([1, 2, 3, 4, 5, 6, 7, 8])}`, -1, choose(values))
  return setCell(familyName, columnQualifier.toString('latin1'), choose(times), choose(values))
}

/** A list whose first is refused: the reference applies those before the refused one. */
const refusedOf = (choose: Choose): Json =>
  choose([setCell('nope', 'x', 1000, ''), setCell('f', 'x', 1001, ''), setCell('f', 'x', -5, '')])

export const mutationsOf = (choose: Choose, note: Note): Json[] => {
  const count = choose([1, 1, 2, 3])
  const mutations = Array.from({ length: count }, () => mutationOf(choose, note))
  if (choose([true, ...Array.from({ length: 24 }, () => false)])) {
    note('mutation:refused')
    return [refusedOf(choose), ...mutations]
  }
  return mutations
}

// --------------------------------------------------------------------- filters

type Make = (choose: Choose, note: Note, depth: number) => Json

const onlyFamily = (choose: Choose): Json => ({ familyNameRegexFilter: choose(families) })

const leaves: Record<string, Make> = {
  passAllFilter: () => ({ passAllFilter: true }),
  blockAllFilter: () => ({ blockAllFilter: true }),
  rowKeyRegexFilter: (choose) => ({ rowKeyRegexFilter: bytes(choose(patterns.filter((pattern) => pattern !== ''))) }),
  // As good as certain: what is by chance cannot be compared.
  rowSampleFilter: (choose) => ({ rowSampleFilter: choose([1e-15, 1 - 1e-15]) }),
  familyNameRegexFilter: (choose) => ({ familyNameRegexFilter: choose(['f', 'g|h', '[fg]', '.*', 'x']) }),
  columnQualifierRegexFilter: (choose) => ({ columnQualifierRegexFilter: bytes(choose(patterns)) }),
  columnRangeFilter: (choose) => ({
    columnRangeFilter: {
      familyName: choose(families),
      ...edges(choose, { start: 'startQualifier', end: 'endQualifier' }, qualifiers),
    },
  }),
  timestampRangeFilter: (choose) => ({ timestampRangeFilter: timeRange(choose) }),
  valueRegexFilter: (choose) => ({ valueRegexFilter: bytes(choose(patterns)) }),
  valueRangeFilter: (choose) => ({
    valueRangeFilter: edges(choose, { start: 'startValue', end: 'endValue' }, values),
  }),
  cellsPerColumnLimitFilter: (choose) => ({ cellsPerColumnLimitFilter: choose([1, 2, 3]) }),
  stripValueTransformer: () => ({ stripValueTransformer: true }),
  // Across families the reference counts in no certain order.
  cellsPerRowLimitFilter: (choose) => ({
    chain: { filters: [onlyFamily(choose), { cellsPerRowLimitFilter: choose([1, 2, 4]) }] },
  }),
  cellsPerRowOffsetFilter: (choose) => ({
    chain: { filters: [onlyFamily(choose), { cellsPerRowOffsetFilter: choose([1, 2, 3]) }] },
  }),
}

const several = (choose: Choose, note: Note, depth: number, kinds?: readonly string[]): Json[] =>
  Array.from({ length: choose([2, 2, 3]) }, () => filterOf(choose, note, depth + 1, kinds))

const leafKinds = Object.keys(leaves)
const noInterleave = [...leafKinds, 'chain', 'condition']

const branches: Record<string, Make> = {
  chain: (choose, note, depth) => ({ chain: { filters: several(choose, note, depth) } }),
  // None in another: with more than a dozen equal cells the reference's sort keeps no order among them.
  interleave: (choose, note, depth) => ({
    interleave: { filters: several(choose, note, depth, depth > 1 ? leafKinds : noInterleave).slice(0, 2) },
  }),
  condition: (choose, note, depth) => ({
    condition: {
      predicateFilter: filterOf(choose, note, depth + 1, noInterleave),
      ...(choose([true, true, false]) && { trueFilter: filterOf(choose, note, depth + 1, noInterleave) }),
      ...(choose([true, true, false]) && { falseFilter: filterOf(choose, note, depth + 1, noInterleave) }),
    },
  }),
}

const depthMax = 3

/** A filter of the kinds given, or of any. */
const filterOf = (choose: Choose, note: Note, depth = 1, kinds?: readonly string[]): Json => {
  const wanted = kinds ?? [...leafKinds, ...Object.keys(branches), ...Object.keys(branches)]
  const kind = choose(depth >= depthMax ? leafKinds : wanted)
  note(`filter:${kind}`)
  const make = leaves[kind] ?? branches[kind]
  return make!(choose, note, depth)
}

/** Any filter; a label or a sink only outermost, where the reference does them right. */
export const anyFilterOf = (choose: Choose, note: Note): Json => {
  const kind = choose(['label', 'label', 'sink', ...Array.from({ length: 20 }, () => 'other')])
  if (kind === 'sink') {
    note('filter:sink')
    return { sink: true }
  }
  const filter = filterOf(choose, note)
  if (kind === 'other') return filter
  note('filter:applyLabelTransformer')
  return { chain: { filters: [filter, { applyLabelTransformer: choose(['one', 'two-2']) }] } }
}

export const filterKinds = [...leafKinds, ...Object.keys(branches), 'applyLabelTransformer', 'sink']

// ----------------------------------------------------------------------- reads

const rowRangeOf = (choose: Choose): Json =>
  edges(choose, { start: 'startKey', end: 'endKey' }, [...prefixes, 'a1', 'b2'])

export const readOf = (choose: Choose, note: Note): Json => {
  const part = (kind: string, make: () => Json, odds: number): Json => {
    if (!choose([true, ...Array.from({ length: odds }, () => false)])) return {}
    note(`read:${kind}`)
    return make()
  }
  const rows = {
    ...part('keys', () => ({ rowKeys: [keyOf(choose), keyOf(choose), keyOf(choose)].map(bytes) }), 2),
    ...part('ranges', () => ({ rowRanges: [rowRangeOf(choose), rowRangeOf(choose)] }), 2),
  }
  return {
    ...(Object.keys(rows).length > 0 && { rows }),
    ...part('limit', () => ({ rowsLimit: String(choose([1, 2, 3, 5])) }), 3),
    ...part('reversed', () => ({ reversed: true }), 4),
    ...(choose([true, true, true, false]) && { filter: anyFilterOf(choose, note) }),
  }
}
