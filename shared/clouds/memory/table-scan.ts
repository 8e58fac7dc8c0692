import { hash } from 'node:crypto'
import type { TableAbout, TableScan } from '../../backfill/deps.ts'
import { encodeItem, type Item } from '../../features/item.ts'
import type { MemoryItems } from './items.ts'

const readUnitBytes = 4096

/** The tables of `items`, in segments by a hash of the key; `about` is what may change in a test. */
export const createMemoryTableScan = (items: MemoryItems, about: Omit<TableAbout, 'items' | 'bytes'>): TableScan => ({
  about: async (table) => ({ items: items.count(table), bytes: 0, ...about }),
  page: async (table, { segment, segments, from, itemsMax }) => {
    const { partition, sort } = await items.keys(table)
    const keyOf = (item: Item): Item =>
      Object.fromEntries(Object.entries(item).filter(([name]) => name === partition || name === sort))
    const idOf = (item: Item): string => hash('sha256', encodeItem(keyOf(item)), 'hex')
    const all: { id: string; item: Item }[] = []
    for await (const item of items.scan(table)) {
      const id = idOf(item)
      if (Number.parseInt(id.slice(0, 8), 16) % segments === segment) all.push({ id, item })
    }
    const behind = from === undefined ? '' : idOf(from)
    const left = all.filter(({ id }) => id > behind).toSorted((a, b) => (a.id < b.id ? -1 : 1))
    const page = left.slice(0, itemsMax).map(({ item }) => item)
    const bytes = page.reduce((sum, item) => sum + encodeItem(item).length, 0)
    const last = left.length > itemsMax ? page.at(-1) : undefined
    return { items: page, bytes, readUnits: Math.ceil(bytes / readUnitBytes), ...(last ? { next: keyOf(last) } : {}) }
  },
})
