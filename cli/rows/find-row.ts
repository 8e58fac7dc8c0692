import { CorruptError, InvalidInputError } from '../../shared/errors.ts'
import { type AsOf, itemAtSecond, itemNow } from '../../shared/features/as-of.ts'
import { encodeValue } from '../../shared/features/attribute-value.ts'
import { decodeCells } from '../../shared/features/cells.ts'
import type { Item } from '../../shared/features/item.ts'
import { partitionRange, type RowKey } from '../../shared/features/row-key.ts'
import type { RowStore, StoredRow } from '../../shared/features/row-store.ts'
import { itemKeyOfReading, type KeyReading, readingText, rowKeyOfReading } from './key-text.ts'
import { bareText, typeOf } from './show.ts'

export type Moment = { second: number; nowSecond: number }

/** `isSwapped`: with the attribute that was written second as the partition key. */
type Candidate = { reading: KeyReading; rowKey: RowKey; isSwapped: boolean }

/** What the names of a key say of the item at its row. `unproved`: there is no item to compare them with. */
type Names = 'equal' | 'absent' | 'other' | 'unproved'

type Looked = Candidate & { row: StoredRow | undefined; answer: AsOf; names: Names }

export type FoundRow = { reading: KeyReading; row: StoredRow | undefined; answer: AsOf; warnings: string[] }

export const hexOf = (key: Uint8Array): string => Buffer.from(key).toString('hex')

/** Runs `work` on a row, and names the row in the CorruptError that it may throw. */
export const ofRow = async <T>(table: string, key: Uint8Array, work: () => Promise<T> | T): Promise<T> => {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof CorruptError)) throw error
    throw new CorruptError(`row ${hexOf(key)} of ${table}: ${error.message}`, { cause: error })
  }
}

const candidatesOf = (readings: readonly KeyReading[]): Candidate[] => {
  const written = readings.map((reading) => ({ reading, rowKey: rowKeyOfReading(reading), isSwapped: false }))
  const swapped = readings
    .filter((reading) => reading.length === 2)
    .flatMap((reading): Candidate[] => {
      const other = reading.toReversed()
      try {
        return [{ reading: other, rowKey: rowKeyOfReading(other), isSwapped: true }]
      } catch (error) {
        // A partition key may be longer than a sort key.
        if (error instanceof InvalidInputError) return []
        throw error
      }
    })
  const all = new Map<string, Candidate>()
  for (const candidate of [...written, ...swapped])
    if (!all.has(hexOf(candidate.rowKey))) all.set(hexOf(candidate.rowKey), candidate)
  return [...all.values()]
}

/** Compares the attributes of a key with those of the item that its values led to. */
export const namesIn = (reading: KeyReading, item: Item | undefined): Names => {
  if (!item) return 'unproved'
  const found = reading.map(({ name, value }): Names => {
    const held = Object.hasOwn(item, name) ? item[name] : undefined
    if (!held) return 'absent'
    return encodeValue(held).equals(encodeValue(value)) ? 'equal' : 'other'
  })
  return found.find((each) => each === 'other') ?? found.find((each) => each === 'absent') ?? 'equal'
}

const look =
  (rows: RowStore, table: string, moment: Moment | undefined) => async (candidate: Candidate, row?: StoredRow) =>
    ofRow(table, candidate.rowKey, async (): Promise<Looked> => {
      const { rowKey, reading } = candidate
      const answer = moment ? await itemAtSecond({ rows }, table, { rowKey, row }, moment) : itemNow(table, row)
      const current = row?.marker?.tombstone === false ? decodeCells(row.cells) : undefined
      return { ...candidate, row, answer, names: namesIn(reading, answer.state === 'present' ? answer.item : current) }
    })

const isThere = ({ row, answer }: Looked): boolean => row !== undefined || answer.state !== 'unknown'

/** The rows that a user may have meant; an item with these names and values proves in which order they are. */
const meantOf = (there: readonly Looked[]): Looked[] => {
  const proved = there.filter(({ names }) => names === 'equal')
  const orders = proved.length > 0 ? proved.map(({ isSwapped }) => isSwapped) : [false]
  return there.filter(({ names, isSwapped }) => names !== 'other' && orders.includes(isSwapped))
}

const partsText = (reading: KeyReading): string =>
  reading
    .map(
      ({ value }, index) =>
        `${index === 0 ? 'partition' : 'sort'} key ${typeOf(value)} ${JSON.stringify(bareText(value))}`,
    )
    .join(' and ')

/** Why there may be nothing under a key that does look like one. */
const hintsFor = async (rows: RowStore, table: string, looked: readonly Looked[]): Promise<string[]> => {
  const others = looked.filter(isThere).map((other) => {
    const names = other.reading.map(({ name }) => name).join(', ')
    const what =
      other.names === 'other' ? `, whose ${names} have other values: are the names or the values swapped?` : ''
    return `there is a row with ${partsText(other.reading)}${what || ': was that meant?'}`
  })
  if (others.length > 0) return others
  for (const { reading } of looked.filter((each) => each.reading.length === 1)) {
    const range = { ...partitionRange(itemKeyOfReading(reading).partition), limit: 1 }
    for await (const row of rows.scan(table, range))
      if (row.key.length > 0)
        return [`the partition has rows with a sort key: give it too, or "rows scan ${table} --partition KEY"`]
  }
  return []
}

const warningsOf = ({ reading, names }: Looked): string[] => {
  const given = reading.map(({ name }) => name).join(', ')
  if (names === 'absent') return [`the item has not all of the attributes ${given}: found by the values alone`]
  return []
}

/**
 * The row of a key by every reading of it, in both orders. Throws InvalidInputError where more than one row may be meant,
 * CorruptError, naming the row, on one that Lifeboat did not write.
 */
export const findRow = async (
  rows: RowStore,
  table: string,
  readings: readonly KeyReading[],
  moment?: Moment,
): Promise<FoundRow> => {
  const candidates = candidatesOf(readings)
  const stored = await rows.read(
    table,
    candidates.map(({ rowKey }) => rowKey),
  )
  const lookAt = look(rows, table, moment)
  const looked = await Promise.all(candidates.map((candidate, index) => lookAt(candidate, stored[index])))
  const meant = meantOf(looked.filter(isThere))
  if (meant.length > 1)
    throw new InvalidInputError(
      `the key may be that of ${meant.length} rows: ${meant.map(({ reading }) => `'${readingText(reading)}'`).join(' or ')}; give it with types`,
    )
  const [one] = meant
  if (one) return { reading: one.reading, row: one.row, answer: one.answer, warnings: warningsOf(one) }
  const [first] = looked
  if (!first) throw new InvalidInputError('a key has one or two attributes')
  const answer: AsOf = first.answer.state === 'unknown' ? first.answer : { state: 'unknown', reason: 'never seen' }
  return { reading: first.reading, row: undefined, answer, warnings: await hintsFor(rows, table, looked) }
}
