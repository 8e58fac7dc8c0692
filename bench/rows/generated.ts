import { bucketCount, bucketOf } from '../../shared/features/bucket-digests.ts'
import { itemKeyOf, type TableRule } from '../../shared/features/change.ts'
import type { ItemSource } from '../../shared/features/deps.ts'
import type { Item } from '../../shared/features/item.ts'
import { encodeRowKey, type RowKey } from '../../shared/features/row-key.ts'
import type { RowStore, StoredRow } from '../../shared/features/row-store.ts'
import { changeVersion } from '../../shared/features/version.ts'
import { rowWrite } from '../../shared/features/write.ts'

/**
 * Both sides of a table of any size, each item and row made when it is asked for: what a comparison itself takes, without its
 * clouds. The order of the replica's keys is all that is kept, 4 bytes a row.
 */

const names = { partition: 'pk' }
/** As many items of this size as DynamoDB puts into a page of 1 MB. */
const pageItems = 3000

const itemOf = (index: number, features = 9): Item => ({
  pk: { S: `user#${index}` },
  ...Object.fromEntries(
    Array.from({ length: features }, (_, at): [string, Item[string]] => [
      `feature_${at}`,
      at % 2 === 0 ? { N: String((index * 7919 + at) % 100_000) } : { S: `segment-${(index + at) % 97}` },
    ]),
  ),
})

const indexOf = (item: Item): number => Number((item['pk'] as { S: string }).S.slice('user#'.length))

const keyOf = (index: number): RowKey => encodeRowKey(itemKeyOf(itemOf(index, 0), names))

/** The indexes in the order of their row keys, bucket by bucket, with next to nothing kept. */
const orderOf = (count: number): Uint32Array => {
  const buckets = Uint16Array.from({ length: count }, (_, index) => bucketOf(keyOf(index)))
  const ends = new Uint32Array(bucketCount + 1)
  for (const bucket of buckets) ends[bucket + 1] = (ends[bucket + 1] ?? 0) + 1
  for (let bucket = 0; bucket < bucketCount; bucket += 1)
    ends[bucket + 1] = (ends[bucket + 1] ?? 0) + (ends[bucket] ?? 0)
  const next = ends.slice()
  const order = new Uint32Array(count)
  for (const [index, bucket] of buckets.entries()) {
    order[next[bucket] ?? 0] = index
    next[bucket] = (next[bucket] ?? 0) + 1
  }
  for (let bucket = 0; bucket < bucketCount; bucket += 1)
    order.subarray(ends[bucket], ends[bucket + 1]).sort((left, right) => Buffer.compare(keyOf(left), keyOf(right)))
  return order
}

const refuse = (): never => {
  throw new Error('a generated table is not written')
}

/** The row key ends in the text of the item's key. */
const indexIn = (rowKey: Uint8Array): number => Number(/user#(\d+)/.exec(Buffer.from(rowKey).toString('latin1'))?.[1])

export const createGenerated = (count: number, rule: TableRule): { source: ItemSource; rows: RowStore } => {
  const order = orderOf(count)
  const rowOf = (index: number): StoredRow => {
    const item = itemOf(index)
    const key = itemKeyOf(item, names)
    const version = changeVersion({ epoch: 1, sequenceNumber: String(index + 1) })
    return rowWrite(rule, { rowKey: encodeRowKey(key), key, version, time: 1_790_000_000, item })
  }
  return {
    source: {
      keys: async () => names,
      get: async (_table, key) => itemOf(indexOf(key)),
      scan: refuse,
      roughCount: async () => count,
      pages: async function* (_table, from) {
        for (let at = from ? indexOf(from) + 1 : 0; at < count; at += pageItems) {
          const items = Array.from({ length: Math.min(pageItems, count - at) }, (_, index) => itemOf(at + index))
          const last = itemOf(at + items.length - 1)
          yield at + items.length < count ? { items, next: { pk: last['pk']! } } : { items }
        }
      },
    },
    rows: {
      read: async (_table, wanted) => wanted.map((key) => rowOf(indexIn(key))),
      scan: async function* (_table, { start, end, markersOnly }) {
        for (const index of order) {
          const key = keyOf(index)
          if (Buffer.compare(key, start) < 0) continue
          if (end && Buffer.compare(key, end) >= 0) return
          const marker = { version: '', time: 0, tombstone: false }
          yield markersOnly ? { key, cells: new Map(), marker } : rowOf(index)
        }
      },
      applyIfNewer: refuse,
      replaceIf: refuse,
      history: { append: refuse, list: refuse },
    },
  }
}
