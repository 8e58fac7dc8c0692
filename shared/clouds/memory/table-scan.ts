import type { TableAbout, TableScan } from '../../backfill/deps.ts'
import { encodeItem, type Item } from '../../features/item.ts'
import { keyOf, type MemoryItems } from './items.ts'

const readUnitBytes = 4096

/** The tables of `items`, in segments by a hash of the key; `about` is what may change in a test. */
export const createMemoryTableScan = (items: MemoryItems, about: Omit<TableAbout, 'items' | 'bytes'>): TableScan => ({
  about: async (table) => ({ items: items.count(table), bytes: 0, ...about }),
  page: async (table, { segment, segments, from, itemsMax }) => {
    const keys = await items.keys(table)
    const page: Item[] = []
    let last: Item | undefined
    for (const { hash, item } of items.hashed(table, from)) {
      if (hash % segments !== segment) continue
      if (page.length === itemsMax) {
        last = page.at(-1)
        break
      }
      page.push(item)
    }
    const bytes = page.reduce((sum, item) => sum + encodeItem(item).length, 0)
    return {
      items: page,
      bytes,
      readUnits: Math.ceil(bytes / readUnitBytes),
      ...(last ? { next: keyOf(keys, last) } : {}),
    }
  },
})
