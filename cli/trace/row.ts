import type { Config } from '../../shared/config.ts'
import { itemToJson } from '../../shared/features/attribute-json.ts'
import { decodeItem } from '../../shared/features/item.ts'
import type { HistoryEntry, RowStore } from '../../shared/features/row-store.ts'
import { changeTraceId } from '../../shared/features/trace.ts'
import { backfillVersion, parseVersion } from '../../shared/features/version.ts'
import { NotFoundError } from '../../shared/errors.ts'
import { formatSecond } from '../arguments.ts'
import { type Listing } from '../ls/listing.ts'
import { plural, printable, renderTable } from '../output.ts'
import { findRow, ofRow } from '../rows/find-row.ts'
import { type KeyReading, readingText, rowKeyOfReading } from '../rows/key-text.ts'

/** The changes of one row that the history keeps. */

type Streams = Config['tables'][number]['streams']

/** `before` is what the item was: an item, `absent`, or `unknown` where nobody saw it. */
type Change = {
  at: string
  by: 'stream' | 'reread' | 'scan'
  epoch: number
  sequenceNumber: string
  traceId: string | null
  version: string
  before: HistoryEntry['before']
}

const plainNonce = /^0+$/

const byOf = (version: string, nonce: string): Change['by'] => {
  if (version === backfillVersion) return 'scan'
  return plainNonce.test(nonce) ? 'stream' : 'reread'
}

const toChange = ({ version, time, before }: HistoryEntry, streams: Streams): Change => {
  const { epoch, sequenceNumber, nonce } = parseVersion(version)
  const by = byOf(version, nonce)
  const arn = streams.find((stream) => stream.epoch === epoch)?.arn
  const traceId = by === 'stream' && arn !== undefined ? changeTraceId(arn, sequenceNumber) : null
  return { at: formatSecond(time), by, epoch, sequenceNumber, traceId, version, before }
}

const beforeText = (before: Change['before']): string => (typeof before === 'string' ? before : 'an item')

const readLast = async (rows: RowStore, target: string, key: Uint8Array, limit: number) => {
  const entries: HistoryEntry[] = []
  let total = 0
  for await (const entry of rows.history.list(target, key)) {
    total += 1
    entries.push(entry)
    if (entries.length > limit) entries.shift()
  }
  return { entries, total }
}

const stateNow = (tombstone: boolean | undefined): 'present' | 'deleted' | 'unknown' => {
  if (tombstone === undefined) return 'unknown'
  return tombstone ? 'deleted' : 'present'
}

const changeJson = ({ before, ...change }: Change): Record<string, unknown> => ({
  ...change,
  before: typeof before === 'string' ? before : 'item',
  beforeItem: typeof before === 'string' ? null : itemToJson(decodeItem(before)),
})

/** The last `limit` changes of the row of a key, newest last. `streams` tell the trace ids. Throws NotFoundError without any. */
export const traceRow = async (
  rows: RowStore,
  { table, target, streams }: { table: string; target: string; streams: Streams },
  readings: readonly KeyReading[],
  { limit, width }: { limit: number; width: number | undefined },
): Promise<Listing & { warnings: string[] }> => {
  const { reading, row, warnings } = await findRow(rows, target, readings)
  const key = rowKeyOfReading(reading)
  const { entries, total } = await readLast(rows, target, key, limit)
  if (!row && total === 0)
    throw new NotFoundError(
      [`the replica has never seen ${readingText(reading)} in ${table}`, ...warnings].map(printable).join('; '),
    )
  const changes = await ofRow(target, key, () => entries.map((entry) => toChange(entry, streams)))
  const state = stateNow(row?.marker?.tombstone)
  const cells = changes.map(({ at, by, epoch, sequenceNumber, traceId, before }) => [
    at,
    by === 'scan' ? 'scan' : `${by === 'reread' ? 'reread ' : ''}${epoch}.${sequenceNumber}`,
    beforeText(before),
    traceId ?? '-',
  ])
  const squeezes = [{ column: 'change', to: 'middle', charactersMin: 15 }] as const
  const head = ['time', 'change', 'before', 'trace']
  const more = total > entries.length ? `these are the last ${entries.length} of ${total}: --limit shows others\n` : ''
  const title = `${table} ${readingText(reading)}: now ${state}, ${plural(total, 'change')} in the history`
  const list = total === 0 ? '' : `\n${renderTable(head, cells, [], { width, squeezes })}${more}`
  return {
    json: {
      table,
      key: itemToJson(Object.fromEntries(reading.map(({ name, value }) => [name, value]))),
      state,
      total,
      changes: changes.map(changeJson),
    },
    text: `${printable(title)}\n${list}`,
    warnings,
  }
}
