import type { Item } from '../features/item.ts'
import type { RowsDeps } from '../features/deps.ts'
import type { BlobStore, WorkQueue } from '../ports.ts'
import type { ProofState } from '../proof/proof-state.ts'
import type { WeightsDeps } from '../weights/deps.ts'

/** `readUnits` were taken of the table's capacity; `bytes` are those of the items as DynamoDB counts them. */
export type ScanPage = { items: Item[]; next?: Item; readUnits: number; bytes: number }

export type TableAbout = {
  /** Hours old, as DynamoDB has them. */
  items: number
  bytes: number
  /** Of the stream that is enabled; absent where none is. */
  streamArn?: string
}

/** A table that is read in segments, each a page at a time, strongly consistent. */
export interface TableScan {
  about(table: string): Promise<TableAbout>
  page(
    table: string,
    at: { segment: number; segments: number; from?: Item | undefined; itemsMax: number },
  ): Promise<ScanPage>
}

/** Calls the backfill's own function again, for one part of a run. */
export type BackfillMessage = { lifeboat: 'backfill'; action: 'work'; run: string; part: number }

/** Only what writes rows: a backfill has no quarantine, what it cannot write is in its report. */
export type BackfillRowsDeps = Pick<RowsDeps, 'rows'> & { scan: TableScan; keys: RowsDeps['source']['keys'] }

export type BackfillDeps = {
  weights: WeightsDeps
  store: BlobStore
  state: ProofState
  queue: WorkQueue<BackfillMessage>
  /** Only called where there are tables. */
  openRows: () => Promise<BackfillRowsDeps>
  wait: (ms: number) => Promise<void>
}
