import { sample } from 'fast-check'
import { mapInOrder } from '../../shared/bounded.ts'
import { itemToJson } from '../../shared/features/attribute-json.ts'
import { decodeCells } from '../../shared/features/cells.ts'
import type { Item } from '../../shared/features/item.ts'
import { keyOf, type RowsStack, startRowsStack, storable, table } from '../support/rows-stack.ts'

/** Items of every shape through DynamoDB, its stream, the packaged function and Bigtable, and back as DynamoDB JSON. */

const putsInFlight = 8

export type RoundTrip = { items: number; types: Record<string, number>; problems: string[] }

const compareText = (left: string, right: string): number => (left < right ? -1 : Number(left > right))

/** JSON with the members of maps and sets in one order; all else, numbers too, is left as it came. */
const jsonOf = (item: Item): string =>
  JSON.stringify(itemToJson(item), (name, value: unknown) => {
    if (/^[SNB]S$/.test(name) && Array.isArray(value)) return (value as string[]).toSorted(compareText)
    return value !== null && typeof value === 'object' && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : value
  })

const countTypes = (value: unknown, types: Record<string, number>): void => {
  if (value === null || typeof value !== 'object' || value instanceof Uint8Array) return
  for (const [type, inner] of Object.entries(value)) {
    if (/^(S|N|B|BOOL|NULL|M|L|SS|NS|BS)$/.test(type)) types[type] = (types[type] ?? 0) + 1
    if (typeof inner === 'object') countTypes(inner, types)
  }
}

const compare = async (it: RowsStack): Promise<string[]> => {
  const bySource = new Map<string, string>()
  for await (const item of it.source.scan(table)) bySource.set(JSON.stringify([item['pk'], item['sk']]), jsonOf(item))
  const problems: string[] = []
  for await (const row of it.rows.scan(table, { start: Buffer.alloc(0) })) {
    if (row.marker?.tombstone !== false) continue
    const item = decodeCells(row.cells)
    const id = JSON.stringify([item['pk'], item['sk']])
    const [found, expected] = [jsonOf(item), bySource.get(id)]
    if (found !== expected) problems.push(`${id}: ${found.slice(0, 300)} is not ${expected?.slice(0, 300)}`)
    bySource.delete(id)
  }
  return [...problems, ...Array.from(bySource.keys(), (id) => `${id} did not arrive`)]
}

/** Writes `count` items of a seed and compares both sides as JSON text, once equal by digest. */
export const roundTrip = async (dir: string, { seed, count }: { seed: number; count: number }): Promise<RoundTrip> => {
  const it = await startRowsStack(dir)
  try {
    const items = sample(storable, { seed, numRuns: count })
    const types: Record<string, number> = {}
    for (const item of items) countTypes(item, types)
    const put = (item: Item, index: number): Promise<void> => it.put({ ...item, ...keyOf(`p${index % 50}`, index) })
    let index = 0
    for await (const _ of mapInOrder(items, putsInFlight, (item) => put(item, index++)));
    await it.untilEqual(300_000)
    const problems = await compare(it)
    return { items: (await it.sourceItems()).size, types, problems: problems.slice(0, 20) }
  } finally {
    await it.stop()
  }
}
