import type { RowStore, RowWrite, StoredRow } from '../../shared/features/row-store.ts'
import { backfillVersion, changeVersion, parseVersion, withNonce, readVersion } from '../../shared/features/version.ts'
import type { Problem } from './rows-oracle.ts'
import type { Design } from './rows-world.ts'

/** Designs that are wrong, each one rule away from the one that is built, around its real code. */

const plainNonce = '0'.repeat(16)

/** Writes a change unless the stored marker says that it is stale, by another rule than the store's. */
const comparing = (isStale: (stored: StoredRow, row: RowWrite) => boolean): Design => ({
  rows: (rows) => ({
    ...rows,
    applyIfNewer: async (table, row) => {
      const [stored] = await rows.read(table, [row.key])
      if (stored?.marker && isStale(stored, row)) return 'stale'
      await rows.replaceIf(table, row, stored?.marker?.version)
      return 'applied'
    },
  }),
})

const replacing = (replace: (rows: RowStore) => RowStore['replaceIf']): Design => ({
  rows: (rows) => ({ ...rows, replaceIf: replace(rows) }),
})

const isDigitsOlder = (stored: string, row: string): boolean => {
  const [left, right] = [parseVersion(stored), parseVersion(row)]
  if (left.epoch !== right.epoch) return left.epoch > right.epoch
  return left.sequenceNumber >= right.sequenceNumber
}

const renumber = (row: RowWrite, count: number): RowWrite => {
  const { time, version } = row.marker
  if (version === backfillVersion) return row
  const sequenceNumber = String(BigInt(time) * 1_000_000n + BigInt(count))
  const { nonce } = parseVersion(version)
  return { ...row, marker: { ...row.marker, version: changeVersion({ epoch: 1, sequenceNumber, nonce }) } }
}

/** The number of a change in its second, as this process has counted, in the place of its sequence number. */
const counting = (rows: RowStore): RowStore => {
  let last = { second: 0, count: 0 }
  return {
    ...rows,
    applyIfNewer: (table, row) => {
      const { time } = row.marker
      last = last.second === time ? { second: time, count: last.count + 1 } : { second: time, count: 0 }
      return rows.applyIfNewer(table, renumber(row, last.count))
    },
    replaceIf: (table, row, expected) => rows.replaceIf(table, renumber(row, 0), expected),
  }
}

const live = (row: StoredRow | undefined): StoredRow | undefined => (row?.marker?.tombstone ? undefined : row)

/** A delete takes the row away, and with it what it was deleted by. */
const withoutTombstones = (rows: RowStore): RowStore => {
  return {
    ...rows,
    read: async (table, keys) => (await rows.read(table, keys)).map(live),
    applyIfNewer: async (table, row) => {
      const [stored] = await rows.read(table, [row.key])
      if (live(stored)) return rows.applyIfNewer(table, row)
      return (await rows.replaceIf(table, row, stored?.marker?.version)) ? 'applied' : 'stale'
    },
    replaceIf: async (table, row, expected) => {
      const [stored] = await rows.read(table, [row.key])
      const isGone = stored !== undefined && live(stored) === undefined
      return rows.replaceIf(table, row, isGone && expected === undefined ? stored.marker?.version : expected)
    },
  }
}

const isReread = ({ marker }: RowWrite): boolean => parseVersion(marker.version).nonce !== plainNonce

/** The version of a reread is that of the row it found, however much newer what it read is. */
const unfenced = (row: RowWrite, expected: string | undefined): RowWrite => {
  if (!isReread(row)) return row
  const { nonce } = parseVersion(row.marker.version)
  const found = expected === undefined ? backfillVersion : readVersion(expected)
  return { ...row, marker: { ...row.marker, version: withNonce(found, nonce) } }
}

export type Mutant = { name: string; design: Design; /** How it shows. */ shows: Problem['kind'] }

/** The rule of the store itself, said once more where the mutants say another: nothing may be found. */
export const control: Design = comparing(({ marker }, row) => marker!.version >= row.marker.version)

export const mutants: readonly Mutant[] = [
  { name: 'no compare', shows: 'row', design: comparing(() => false) },
  {
    name: 'the last write of the newest second wins',
    shows: 'row',
    design: comparing(({ marker }, row) => marker!.time > row.marker.time),
  },
  { name: 'a counter within the second', shows: 'row', design: { rows: counting } },
  {
    name: 'sequence numbers compared as text',
    shows: 'row',
    design: comparing(({ marker }, row) => isDigitsOlder(marker!.version, row.marker.version)),
  },
  { name: 'no tombstone', shows: 'row', design: { rows: withoutTombstones } },
  {
    name: 'no fence',
    shows: 'row',
    design: replacing((rows) => (table, row, expected) => rows.replaceIf(table, unfenced(row, expected), expected)),
  },
  {
    name: 'a backfill that overwrites',
    shows: 'row',
    design: replacing((rows) => async (table, row, expected) => {
      const [stored] = await rows.read(table, [row.key])
      return rows.replaceIf(table, row, expected ?? stored?.marker?.version)
    }),
  },
  {
    name: 'a reread that does not look whether the row moved',
    shows: 'row',
    design: replacing((rows) => async (table, row, expected) => {
      const [stored] = await rows.read(table, [row.key])
      return rows.replaceIf(table, row, isReread(row) ? stored?.marker?.version : expected)
    }),
  },
  { name: 'no nonce', shows: 'unknown', design: { hex: (bytes) => '00'.repeat(bytes) } },
  {
    name: 'no mark of an unknown past',
    shows: 'past',
    design: {
      rows: (rows) => ({
        ...rows,
        history: {
          ...rows.history,
          append: (table, entries) =>
            rows.history.append(
              table,
              entries.filter(({ before }) => before !== 'unknown'),
            ),
        },
      }),
    },
  },
  {
    name: 'one start for all streams',
    shows: 'past',
    design: {
      rows: (rows) => ({
        ...rows,
        scan: async function* (table, range) {
          let first: number | undefined
          for await (const row of rows.scan(table, range)) {
            first ??= row.marker?.time
            yield row.marker && first !== undefined ? { ...row, marker: { ...row.marker, time: first } } : row
          }
        },
      }),
    },
  },
]
