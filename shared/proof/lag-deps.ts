import type { Config } from '../config.ts'
import type { Item } from '../features/item.ts'
import type { RowStore } from '../features/row-store.ts'
import type { BlobStore, Clock, ObjectSource, Telemetry } from '../ports.ts'
import type { ObjectLedger } from '../weights/ledger.ts'
import type { ProofState } from './proof-state.ts'

/** What measuring the lag asks of the clouds. */

export interface QueueCounts {
  /** All messages of a queue, hidden and delayed ones too, and the delayed among them. Approximate, as SQS has it. */
  count(queue: string): Promise<{ messages: number; delayed: number }>
}

/** What AWS measures by itself, minutes late. */
export interface Gauges {
  /** Seconds by queue name; a queue of which nothing was measured in the last minutes is not in it. */
  queueAges(queues: readonly string[]): Promise<ReadonlyMap<string, number>>
  /** How old the changes were that apply-changes last got, of whichever stream; undefined where it got none lately. */
  iteratorAge(): Promise<number | undefined>
}

export interface CanaryObjects {
  /** Puts a small object; answers its version id where the bucket has them. */
  put(bucket: string, key: string, body: string): Promise<string | undefined>
}

export type KeyAttribute = { name: string; type: string }

export interface CanaryItems {
  keys(table: string): Promise<{ partition: KeyAttribute; sort?: KeyAttribute }>
  /** Ids of the shards that take changes now; none where the stream is disabled. */
  openShards(streamArn: string): Promise<string[]>
  /** Follows shards from now on. Each call of the result answers the keys of the items that changed since the last one. */
  follow(streamArn: string, shardIds: readonly string[]): Promise<() => Promise<{ shardId: string; key: Item }[]>>
  /** Sets the canary's time and nothing else. False where an item of this key is no canary: it is left alone. */
  write(table: string, key: Item, writtenAt: number): Promise<boolean>
}

/** `oldestAt` is when the oldest change came to be, in ms; absent where there is none. */
export type Quarantined = { count: number; oldestAt?: number }

export interface QuarantineCensus {
  /** By table name, those that are not configured too. */
  take(): Promise<ReadonlyMap<string, Quarantined>>
}

export type RowsLagDeps = {
  rows: Pick<RowStore, 'read'>
  items: CanaryItems
  quarantine: QuarantineCensus
}

export type LagDeps = {
  config: Config
  stage: string
  /** Only `create` is called here; the identity reads the owner record, too. */
  store: BlobStore
  objects: Pick<ObjectLedger, 'get' | 'pending'>
  source: Pick<ObjectSource, 'head'>
  canaryObjects: CanaryObjects
  state: ProofState
  queues: readonly { name: string; isDead: boolean }[]
  counts: QueueCounts
  gauges: Gauges
  /** Only called where there are tables. */
  openRows: () => Promise<RowsLagDeps>
  telemetry: Telemetry
  clock: Clock
  wait: (ms: number) => Promise<void>
  /** Throws UnavailableError where it takes longer; what was begun goes on by itself. */
  limited: <T>(work: Promise<T>, ms: number) => Promise<T>
}
