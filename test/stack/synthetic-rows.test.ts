import { expect, test } from 'vitest'
import { syntheticRows } from '../../local/start/synthetic-rows.ts'
import type { RowChange } from '../../local/start/write-rows.ts'
import type { AttributeValue } from '../../shared/features/attribute-value.ts'
import { encodeItem, type Item, itemDigest } from '../../shared/features/item.ts'

/** The changes that `npm start` writes. */

const idOf = ({ pk, sk }: Item): string => encodeItem({ pk: pk!, sk: sk! }).toString('hex')
const keyOf = (change: RowChange): string => idOf('put' in change ? change.put : change.delete)

const hasExpired = ({ expiresAt }: Item, nowSeconds: number): boolean =>
  expiresAt !== undefined && 'N' in expiresAt && Number(expiresAt.N) < nowSeconds

/** What is there in the end; what expires goes. */
const finalTable = (changes: readonly RowChange[], nowSeconds: number): string[] => {
  const table = new Map<string, Item>()
  for (const change of changes) {
    if ('put' in change) table.set(keyOf(change), change.put)
    else table.delete(keyOf(change))
  }
  return [...table.values()].filter((item) => !hasExpired(item, nowSeconds)).map(itemDigest)
}

const left = (seed: number, nowSeconds: number): string[] =>
  finalTable([...syntheticRows(seed, 100, nowSeconds)], nowSeconds)

const typesOf = (value: AttributeValue): string[] => {
  const inner = 'M' in value ? Object.values(value.M) : 'L' in value ? value.L : []
  return [...Object.keys(value), ...inner.flatMap(typesOf)]
}

test('every type and every kind of change is among them', () => {
  const now = 1_800_000_000
  const changes = [...syntheticRows(1, 200, now)]
  const puts = changes.flatMap((change) => ('put' in change ? [change.put] : []))
  const types = new Set(puts.flatMap((item) => Object.values(item).flatMap(typesOf)))
  expect([...types].sort()).toEqual(['B', 'BOOL', 'BS', 'L', 'M', 'N', 'NS', 'NULL', 'S', 'SS'])
  expect(puts.every(({ balance }) => /^[1-9]\d{37}$/.test(balance && 'N' in balance ? balance.N : ''))).toBe(true)

  const kinds = { insert: 0, update: 0, delete: 0, recreate: 0 }
  const there = new Map<string, boolean>()
  for (const change of changes) {
    const before = there.get(keyOf(change))
    if ('delete' in change) kinds.delete += before === true ? 1 : 0
    else if (before === undefined) kinds.insert += 1
    else kinds[before ? 'update' : 'recreate'] += 1
    there.set(keyOf(change), 'put' in change)
  }
  expect(Object.values(kinds).every((count) => count >= 15)).toBe(true)
  const writesOfKeys = [...Map.groupBy(changes, keyOf).values()].map(({ length }) => length)
  expect(Math.max(...writesOfKeys)).toBe(50)
  expect(puts.filter((item) => hasExpired(item, now))).toHaveLength(4)
})

test('what is left follows from the seed, whatever the time', () => {
  expect(left(1, 1_800_000_000)).toEqual(left(1, 1_900_000_000))
  expect(left(1, 1_800_000_000)).not.toEqual(left(2, 1_800_000_000))
})
