/** What the domain of rows asks of Bigtable. Tables are created by infrastructure; an unknown one is an error. */

/** The marker of a row: family `m`. `time` is the change's second since the epoch; `tombstone` says that the item is gone. */
export type Marker = { version: string; time: number; tombstone: boolean }

/** The current state of one row: qualifiers of family `d` (latin1 strings of their bytes) to value bytes. */
export type StoredRow = { key: Uint8Array; cells: Map<string, Uint8Array>; marker?: Marker }

/** A whole new state: everything in `d` is replaced by `cells` (none for a tombstone). */
export type RowWrite = { key: Uint8Array; cells: Map<string, Uint8Array>; marker: Marker }

/** One change as it was before: the item's image before it, encoded, or undefined where there was none. */
export type HistoryEntry = { key: Uint8Array; version: string; time: number; before: Uint8Array | 'absent' | 'unknown' }

/** start <= key < end. */
export type RowRange = {
  start: Uint8Array
  end?: Uint8Array
  limit?: number
  /** Every row, with its marker and without its cells. */
  markersOnly?: boolean
  /** Only rows with a cell of this second or later (the change's, or when somebody else wrote it): their keys, nothing else. */
  changedSince?: number
}

export interface RowStore {
  /** The rows of `keys`, in their order; undefined where there is none. */
  read(table: string, keys: readonly Uint8Array[]): Promise<(StoredRow | undefined)[]>
  /** Rows in key order, as many pages as it takes. */
  scan(table: string, range: RowRange): AsyncIterable<StoredRow>
  /** One atomic check and mutation: writes unless the stored version is at least the written one. */
  applyIfNewer(table: string, row: RowWrite): Promise<'applied' | 'stale'>
  /** One atomic check and mutation: writes only while the stored version is exactly `expected` (undefined: no row). */
  replaceIf(table: string, row: RowWrite, expected: string | undefined): Promise<boolean>
  history: {
    /** Unconditional and idempotent; resolves when every entry is there. */
    append(table: string, entries: readonly HistoryEntry[]): Promise<void>
    /** The entries of one row in version order: of the changes after the second `laterThan`, of the versions above `above`. */
    list(table: string, key: Uint8Array, options?: { laterThan?: number; above?: string }): AsyncIterable<HistoryEntry>
  }
}
