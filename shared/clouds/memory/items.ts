import { hash } from 'node:crypto'
import { InvalidInputError, NotFoundError } from '../../errors.ts'
import type { ItemPage, ItemSource } from '../../features/deps.ts'
import type { Item } from '../../features/item.ts'
import { createSortedKeys, type SortedKeys } from './sorted-keys.ts'

type Keys = { partition: string; sort?: string }
/** `order` has the hash of each id before it, once it was asked for. */
type Table = { keys: Keys; items: Map<string, Item>; order?: SortedKeys }

/** The port with what only a test may do. Items are kept and given by reference: nobody may change one. */
export type MemoryItems = ItemSource & {
  create(table: string, keys: Keys): void
  /** Puts a whole item; answers the one before. */
  put(table: string, item: Item): Item | undefined
  /** Answers the item that was there. */
  delete(table: string, key: Item): Item | undefined
  count(table: string): number
  /** Items in the order of a hash of their keys, which DynamoDB keeps them in too, from behind one; each as it is when its turn comes. */
  hashed(table: string, from?: Item): Iterable<{ hash: number; item: Item }>
}

const textOf = (item: Item, name: string): string => {
  const value = item[name]
  if (value && 'S' in value) return `S${value.S}`
  if (value && 'N' in value) return `N${value.N}`
  if (value && 'B' in value) return `B${Buffer.from(value.B).toString('base64')}`
  throw new InvalidInputError(`key attribute ${name} is not of type S, N or B`)
}

/** A `\0` in a key is kept apart from the one between two: the length of the first part stands in front. */
const idOf = ({ partition, sort }: Keys, item: Item): string => {
  const first = textOf(item, partition)
  return sort === undefined ? first : `${first.length}\0${first}${textOf(item, sort)}`
}

export const keyOf = ({ partition, sort }: Keys, item: Item): Item =>
  Object.fromEntries(Object.entries(item).filter(([name]) => name === partition || name === sort))

const hashDigits = 8
const hashedId = (id: string): string => hash('sha256', id, 'hex').slice(0, hashDigits) + id

function* inHashOrder(table: Table, from: Item | undefined): Generator<{ hash: number; item: Item }> {
  const order = (table.order ??= createSortedKeys(Array.from(table.items.keys(), hashedId)))
  let at = from === undefined ? order.from('') : order.behind(hashedId(idOf(table.keys, from)))
  for (; at !== undefined; at = order.behind(at)) {
    const item = table.items.get(at.slice(hashDigits))
    if (item) yield { hash: Number.parseInt(at.slice(0, hashDigits), 16), item }
  }
}

/** As DynamoDB does, a page goes on behind a key that is gone meanwhile; what was put since comes last, or not at all. */
function* pagesOf({ keys, items }: Table, pageItems: number, from?: Item): Generator<ItemPage> {
  const ids = [...items.keys()].toSorted()
  const behind = from === undefined ? undefined : idOf(keys, from)
  const left = behind === undefined ? ids : ids.filter((id) => id > behind)
  for (let at = 0; at === 0 || at < left.length; at += pageItems) {
    const page = left.slice(at, at + pageItems).map((id) => items.get(id))
    const found = page.filter((item) => item !== undefined)
    const last = found.at(-1)
    const isLast = at + pageItems >= left.length
    if (isLast) yield { items: found }
    else if (last) yield { items: found, next: keyOf(keys, last) }
  }
}

/** Tables of items, numbers in canonical form, as a source of rows; `pageItems` are in a page. */
export const createMemoryItems = (tables: Record<string, Keys> = {}, pageItems = 100): MemoryItems => {
  const all = new Map<string, Table>()
  const create = (table: string, keys: Keys): void => void all.set(table, { keys, items: new Map() })
  for (const [table, keys] of Object.entries(tables)) create(table, keys)
  const find = (table: string): Table => {
    const found = all.get(table)
    if (!found) throw new NotFoundError(`table ${table} does not exist`)
    return found
  }
  return {
    create,
    put: (table, item) => {
      const { keys, items, order } = find(table)
      const id = idOf(keys, item)
      const before = items.get(id)
      items.set(id, item)
      order?.add(hashedId(id))
      return before
    },
    delete: (table, key) => {
      const { keys, items } = find(table)
      const id = idOf(keys, key)
      const before = items.get(id)
      items.delete(id)
      return before
    },
    count: (table) => find(table).items.size,
    hashed: (table, from) => inHashOrder(find(table), from),
    keys: async (table) => find(table).keys,
    get: async (table, key) => {
      const { keys, items } = find(table)
      return items.get(idOf(keys, key))
    },
    scan: async function* (table) {
      yield* find(table).items.values()
    },
    pages: async function* (table, from) {
      yield* pagesOf(find(table), pageItems, from)
    },
    roughCount: async (table) => find(table).items.size,
  }
}
