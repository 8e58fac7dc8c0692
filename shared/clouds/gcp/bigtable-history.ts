import { CorruptError } from '../../errors.ts'
import type { HistoryEntry } from '../../features/row-store.ts'
import type { RowRead } from './bigtable-rows.ts'
import type { Mutation } from './bigtable-wire.ts'

/**
 * A history row: its key is the row's key, 00, and the version as ASCII, so that the entries of a row are one range in
 * the order of versions. No row key of a table is the beginning of another (row-key.ts), hence no other row's history is
 * in that range. Family `h`: `b` the image before the change, empty where `k` says `absent` or `unknown`; `t` the
 * change's second in decimal. Cells carry the change's time, by which the family's age rule collects them.
 */
const separator = 0x00

export const historyKey = (key: Uint8Array, version: string): Buffer =>
  Buffer.concat([key, Buffer.of(separator), Buffer.from(version, 'latin1')])

export const historyRange = (key: Uint8Array, above?: string): { start: Buffer; end: Buffer } => ({
  start:
    above === undefined
      ? Buffer.concat([key, Buffer.of(separator)])
      : Buffer.concat([historyKey(key, above), Buffer.of(0)]),
  end: Buffer.concat([key, Buffer.of(separator + 1)]),
})

export const micros = (second: number): number => second * 1_000_000

/** Lets through the entries of later changes: their cells carry the change's time. */
export const laterThanFilter = (second: number): Record<string, unknown> => ({
  timestampRangeFilter: { startTimestampMicros: Math.max(0, micros(second + 1)) },
})

const set = (qualifier: string, value: Uint8Array): Mutation => ({ family: 'h', qualifier, value })

/** Replaces the whole entry, so that writing it again changes nothing. */
export const historyMutations = ({ time, before }: HistoryEntry): Mutation[] => {
  const image =
    typeof before === 'string' ? [set('b', Buffer.alloc(0)), set('k', Buffer.from(before))] : [set('b', before)]
  return [{ family: 'h' }, ...image, set('t', Buffer.from(String(time)))]
}

/** The entry that a row of the history holds. Throws CorruptError where it is none. */
export const toHistoryEntry = (key: Uint8Array, row: RowRead): HistoryEntry => {
  const cell = (qualifier: string): Buffer | undefined => row.cells.find((each) => each.qualifier === qualifier)?.value
  const version = row.key.toString('latin1', key.length + 1)
  const [time, kind, image] = [Number(cell('t')?.toString()), cell('k')?.toString(), cell('b')]
  const refuse = (what: string): CorruptError =>
    new CorruptError(`history of ${Buffer.from(key).toString('hex')} at ${version}: ${what}`)
  if (!Number.isSafeInteger(time)) throw refuse(`no time of a change: ${cell('t')?.toString()}`)
  if (kind === 'absent' || kind === 'unknown') return { key, version, time, before: kind }
  if (kind !== undefined || !image) throw refuse(`no image, and marked ${kind}`)
  return { key, version, time, before: image }
}
