import { itemToJson } from '../../shared/features/attribute-json.ts'
import type { AsOf } from '../../shared/features/as-of.ts'
import type { RowStore } from '../../shared/features/row-store.ts'
import { formatSecond } from '../arguments.ts'
import { exitCodes } from '../exit-codes.ts'
import { printable, renderTable } from '../output.ts'
import { findRow, type FoundRow, type Moment, ofRow } from './find-row.ts'
import { type KeyReading, readingText } from './key-text.ts'
import { bareText, type LastChange, lastChange, typeOf, unknownText } from './show.ts'

export type GetAnswer = {
  text: string
  json: Record<string, unknown>
  warnings: string[]
  exitCode: number
}

const exitCodeOfAnswer = (answer: AsOf): number => {
  if (answer.state === 'present') return exitCodes.fine
  return answer.state === 'absent' || answer.reason === 'never seen' ? exitCodes.notFound : exitCodes.findings
}

const stateText = (answer: AsOf, moment: Moment | undefined, change: LastChange | undefined): string => {
  const when = moment ? `as of the end of ${formatSecond(moment.second)}` : 'now'
  if (answer.state === 'present') return moment ? `present ${when}` : `present, last change ${change?.text ?? ''}`
  if (answer.state === 'absent') return change ? `was deleted at ${change.text}` : `did not exist ${when}`
  return answer.reason === 'never seen'
    ? `did not exist: ${unknownText(answer)}`
    : `unknown ${when}: ${unknownText(answer)}`
}

const changeOf = async (table: string, { row, answer }: FoundRow, moment?: Moment): Promise<LastChange | undefined> => {
  if (!row || answer.state === 'unknown') return undefined
  const change = await ofRow(table, row.key, () => lastChange(row))
  if (!moment) return change
  // Which change made an item of the past is not kept, but that a row was already deleted then is.
  const wasDeleted = answer.state === 'absent' && row.marker?.tombstone === true && row.marker.time <= moment.second
  return wasDeleted ? change : undefined
}

/** What the item of a key is, or was. `table` is the user's name of it and `target` Bigtable's. */
export const getRow = async (
  rows: RowStore,
  { table, target }: { table: string; target: string },
  readings: readonly KeyReading[],
  { moment, width }: { moment: Moment | undefined; width: number | undefined },
): Promise<GetAnswer> => {
  const found = await findRow(rows, target, readings, moment)
  const { answer, reading, warnings } = found
  const change = await changeOf(target, found, moment)
  const item = answer.state === 'present' ? answer.item : undefined
  const title = printable(`${table} ${readingText(reading)}: ${stateText(answer, moment, change)}`)
  const attributes = Object.entries(item ?? {}).map(([name, value]) => [name, typeOf(value), bareText(value)])
  const squeezes = [
    { column: 'value', to: 'room', charactersMin: 20 },
    { column: 'attribute', to: 'room', charactersMin: 10 },
  ] as const
  const list = item ? `\n${renderTable(['attribute', 'type', 'value'], attributes, [], { width, squeezes })}` : ''
  const unknown = answer.state === 'unknown' ? answer : undefined
  return {
    text: `${title}\n${list}`,
    json: {
      table,
      key: itemToJson(Object.fromEntries(reading.map(({ name, value }) => [name, value]))),
      state: answer.state,
      at: moment ? formatSecond(moment.second) : null,
      item: item ? itemToJson(item) : null,
      reason: unknown?.reason ?? null,
      knownFrom: unknown?.knownFrom === undefined ? null : formatSecond(unknown.knownFrom),
      change: change ? { at: change.at, version: change.version } : null,
    },
    warnings,
    exitCode: exitCodeOfAnswer(answer),
  }
}
