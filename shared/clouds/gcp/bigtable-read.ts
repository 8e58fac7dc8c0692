import { isRetryable } from '../../errors.ts'
import type { Marker, StoredRow } from '../../features/row-store.ts'
import { type Bigtable, scanTimeoutMs } from './bigtable-client.ts'
import { translateBigtableError } from './bigtable-errors.ts'
import { type RetryOptions, waitBeforeRetry, withRetries } from './bigtable-retry.ts'
import { type Chunk, createRowAssembler, type RowRead } from './bigtable-rows.ts'

export type Store = Bigtable & { retry: RetryOptions }
/** A mutation or a filter of the API, as the client takes it. */
export type Wire = Record<string, unknown>
/** `filter` narrows what is read beyond the newest cell of a column. */
type Range = { start: Uint8Array; end?: Uint8Array; limit?: number; filter?: Wire }

const newestCell = { cellsPerColumnLimitFilter: 1 }

const readKeysMax = 500
/** So that a server that hangs is asked again while the call goes on. */
const readKeysTimeoutMs = 30_000

const toMarker = (cells: Map<string, Buffer>): Marker | undefined => {
  const version = cells.get('v')
  return version && { version: version.toString(), time: Number(cells.get('t')?.toString()), tombstone: cells.has('x') }
}

/** The row that a read found. */
export const toStoredRow = ({ key, cells }: RowRead): StoredRow => {
  const ofFamily = (family: string): Map<string, Buffer> =>
    new Map(cells.filter((cell) => cell.family === family).map(({ qualifier, value }) => [qualifier, value]))
  const marker = toMarker(ofFamily('m'))
  return { key, cells: ofFamily('d'), ...(marker && { marker }) }
}

/** One answer to ReadRows, row by row. An old cell that is not yet collected stays unread. */
async function* streamRows(
  store: Store,
  table: string,
  rows: Wire,
  { limit, filter, timeoutMs }: { limit: number; filter?: Wire | undefined; timeoutMs: number },
): AsyncGenerator<RowRead> {
  const request = {
    tableName: store.tableName(table),
    appProfileId: store.appProfileId,
    rows,
    rowsLimit: limit,
    filter: filter ? { chain: { filters: [newestCell, filter] } } : newestCell,
  }
  const stream = store.client.readRows(request, store.callOptions(timeoutMs))
  const assembler = createRowAssembler()
  try {
    for await (const { chunks } of stream as AsyncIterable<{ chunks?: Chunk[] | null }>)
      for (const chunk of chunks ?? []) {
        const row = assembler.push(chunk)
        if (row) yield row
      }
    assembler.end()
  } catch (error) {
    throw translateBigtableError('read', table, error)
  } finally {
    stream.cancel()
  }
}

const after = (key: Uint8Array): Buffer => Buffer.concat([key, Buffer.of(0)])

/** A range in as many requests as it takes: one that is cut off goes on behind the last row that came. */
export async function* scanRows(store: Store, table: string, range: Range): AsyncGenerator<RowRead> {
  let { start, limit = 0 } = range
  let failures = 0
  for (;;) {
    try {
      const rows = { rowRanges: [{ startKeyClosed: start, ...(range.end && { endKeyOpen: range.end }) }] }
      for await (const row of streamRows(store, table, rows, {
        limit,
        filter: range.filter,
        timeoutMs: scanTimeoutMs,
      })) {
        failures = 0
        start = after(row.key)
        yield row
        if (limit === 1) return
        if (limit > 1) limit -= 1
      }
      return
    } catch (error) {
      if (!isRetryable(error) || failures >= store.retry.retriesMax) throw error
      await waitBeforeRetry(failures, store.retry)
      failures += 1
    }
    if (range.end && Buffer.compare(start, range.end) >= 0) return
  }
}

const readKeys = async (store: Store, table: string, keys: readonly Uint8Array[]): Promise<Map<string, StoredRow>> => {
  const found = new Map<string, StoredRow>()
  for await (const row of streamRows(store, table, { rowKeys: keys }, { limit: 0, timeoutMs: readKeysTimeoutMs }))
    found.set(row.key.toString('latin1'), toStoredRow(row))
  return found
}

const textOf = (key: Uint8Array): string => Buffer.from(key).toString('latin1')

/** The rows of `keys` in their order. */
export const readRows = async (
  store: Store,
  table: string,
  keys: readonly Uint8Array[],
): Promise<(StoredRow | undefined)[]> => {
  const found = new Map<string, StoredRow>()
  for (let at = 0; at < keys.length; at += readKeysMax) {
    const page = await withRetries(() => readKeys(store, table, keys.slice(at, at + readKeysMax)), store.retry)
    for (const [key, row] of page) found.set(key, row)
  }
  return keys.map((key) => found.get(textOf(key)))
}
