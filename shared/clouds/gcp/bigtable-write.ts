import { UnavailableError } from '../../errors.ts'
import type { HistoryEntry, RowWrite } from '../../features/row-store.ts'
import { callOnce, callStream } from './bigtable-call.ts'
import { translateBigtableError } from './bigtable-errors.ts'
import { historyKey, historyMutations, micros } from './bigtable-history.ts'
import type { Store, Wire } from './bigtable-read.ts'
import { waitBeforeRetry } from './bigtable-retry.ts'
import { encodeField, encodeMutations, type Mutation } from './bigtable-wire.ts'

const batchEntriesMax = 500
const batchBytesMax = 8 * 2 ** 20

/** Everything that the row had goes and the new state comes, in the one atomic list of a row. */
export const rowMutations = ({ cells, marker }: RowWrite): Mutation[] => [
  { family: 'd' },
  ...Array.from(cells, ([qualifier, value]) => ({ family: 'd', qualifier, value })),
  { family: 'm' },
  { family: 'm', qualifier: 'v', value: Buffer.from(marker.version) },
  { family: 'm', qualifier: 't', value: Buffer.from(String(marker.time)) },
  ...(marker.tombstone ? [{ family: 'm', qualifier: 'x', value: Buffer.from('1') }] : []),
]

const versionColumn = Buffer.from('v')

/** Lets through the row's version where it is within the bounds. */
export const versionFilter = (bounds?: { startValueClosed: Buffer; endValueClosed?: Buffer }): Wire => ({
  chain: {
    filters: [
      {
        columnRangeFilter: {
          familyName: 'm',
          startQualifierClosed: versionColumn,
          endQualifierClosed: versionColumn,
        },
      },
      { cellsPerColumnLimitFilter: 1 },
      ...(bounds ? [{ valueRangeFilter: bounds }] : []),
    ],
  },
})

/** Numbers of CheckAndMutateRowRequest's fields. */
const mutationFields = { whereMatched: 4, whereNot: 5 } as const

/**
 * Writes the row where `filter` lets something of it through, or where it does not; answers whether it did. One attempt:
 * whether a lost reply's write was made, only the caller can find out.
 */
export const checkAndMutate = async (
  store: Store,
  table: string,
  row: RowWrite,
  { filter, write }: { filter: Wire; write: keyof typeof mutationFields },
): Promise<boolean> => {
  const { appProfileId } = store
  const request = { tableName: store.tableName(table), appProfileId, rowKey: row.key, predicateFilter: filter }
  const rest = [encodeMutations(mutationFields[write], rowMutations(row), micros(row.marker.time))]
  try {
    const call = { request, rest }
    const { predicateMatched } = await callOnce<{ predicateMatched?: boolean }>(store, 'checkAndMutateRow', call)
    return predicateMatched === true
  } catch (error) {
    throw translateBigtableError('write a row of', table, error)
  }
}

type BatchAnswer = {
  entries?: { index?: unknown; status?: { code?: number | null; message?: string | null } | null }[] | null
}

/** One of MutateRowsRequest's `entries`: a row key and mutations. */
const encodeEntry = (entry: HistoryEntry): Buffer => {
  const key = encodeField(1, [historyKey(entry.key, entry.version)])
  return encodeField(2, [key, encodeMutations(2, historyMutations(entry), micros(entry.time))])
}

/** Sends the entries and answers those that are not acknowledged, with the last reason. Throws what no retry can help. */
const sendBatch = async (
  store: Store,
  table: string,
  entries: HistoryEntry[],
): Promise<{ left: HistoryEntry[]; reason: unknown }> => {
  const left = new Map(entries.map((entry, index) => [index, entry]))
  const request = { tableName: store.tableName(table), appProfileId: store.appProfileId }
  const fail = (error: unknown): UnavailableError => {
    const translated = translateBigtableError('write the history', table, error)
    if (translated instanceof UnavailableError) return translated
    throw translated
  }
  let answers: { cancel(): void } | undefined
  let reason: unknown = new UnavailableError(`write the history ${table}: some entries were not answered`)
  try {
    const call = { request, rest: entries.map(encodeEntry) }
    const stream = await callStream<BatchAnswer>(store, 'mutateRows', call)
    answers = stream
    for await (const answer of stream)
      for (const { index, status } of answer.entries ?? []) {
        if (status?.code) reason = fail(Object.assign(new Error(status.message ?? ''), { code: status.code }))
        else left.delete(Number(index ?? 0))
      }
  } catch (error) {
    reason = fail(error)
  } finally {
    answers?.cancel()
  }
  return { left: [...left.values()], reason }
}

const sendUntilDone = async (store: Store, table: string, entries: HistoryEntry[]): Promise<void> => {
  let waiting = entries
  for (let attempt = 0; ; attempt += 1) {
    const { left, reason } = await sendBatch(store, table, waiting)
    if (left.length === 0) return
    if (attempt >= store.retry.retriesMax) throw reason
    waiting = left
    await waitBeforeRetry(attempt, store.retry)
  }
}

const sizeOf = ({ key, before }: HistoryEntry): number => key.length + before.length + 200

const toBatches = (entries: readonly HistoryEntry[]): HistoryEntry[][] => {
  const batches: HistoryEntry[][] = []
  let bytes = Infinity
  for (const entry of entries) {
    const last = batches.at(-1)
    bytes += sizeOf(entry)
    if (last && last.length < batchEntriesMax && bytes <= batchBytesMax) last.push(entry)
    else {
      batches.push([entry])
      bytes = sizeOf(entry)
    }
  }
  return batches
}

/** Writes all entries, in batches, each repeated for what was not acknowledged; `table` is the history's own. */
export const writeHistory = async (store: Store, table: string, entries: readonly HistoryEntry[]): Promise<void> => {
  for (const batch of toBatches(entries)) await sendUntilDone(store, table, batch)
}
