import type { Config } from '../config.ts'
import type { CorruptError } from '../errors.ts'
import type { Clock, Random, Telemetry } from '../ports.ts'
import type { RowStore } from './row-store.ts'
import type { Item } from './item.ts'

export type ItemPage = { items: Item[]; next?: Item }

/** The table that rows come from. Items are as DynamoDB JSON. */
export interface ItemSource {
  /** Names of the partition and the sort key. */
  keys(table: string): Promise<{ partition: string; sort?: string }>
  /** Strongly consistent; undefined where there is no such item. */
  get(table: string, key: Item): Promise<Item | undefined>
  /** Every item, page by page, strongly consistent. */
  scan(table: string): AsyncIterable<Item>
  /** The same a page at a time, from behind the key where an earlier scan was left; `next` is absent on the last page. */
  pages(table: string, from?: Item): AsyncIterable<ItemPage>
  /** How many items the table says that it has: hours old, for an estimate. */
  roughCount(table: string): Promise<number>
}

/** Where a change that cannot be applied is kept whole, until it is redriven. */
export type OnUnreadable = (name: string, error: CorruptError) => void

export interface Quarantine {
  /** Create-or-replace under a name that follows from the change; resolves when it is durable. */
  put(change: Quarantined): Promise<void>
  /** What is not a quarantined change goes to `onUnreadable` and is passed over; without one, CorruptError is thrown. */
  list(table?: string, onUnreadable?: OnUnreadable): AsyncIterable<{ name: string; change: Quarantined }>
  /** Batches of stream records, whole, that the event source gave up an hour before their stream forgets them. */
  givenUp(onUnreadable?: OnUnreadable): AsyncIterable<{ name: string; records: unknown[] }>
  /** Moves a change, or a batch, to the redriven ones. */
  done(name: string): Promise<void>
}

/** `record` is the stream record as it came. */
export type Quarantined = {
  v: 1
  table: string
  streamArn: string
  sequenceNumber: string
  reason: string
  at: number
  record: unknown
}

export type RowsDeps = {
  config: Config
  rows: RowStore
  source: ItemSource
  quarantine: Quarantine
  telemetry: Telemetry
  clock: Clock
  random: Random
}
