import { ConflictError, InvalidInputError } from '../errors.ts'
import { itemToJson } from '../features/attribute-json.ts'
import { rowCells } from '../features/cells.ts'
import { itemOfKey, type TableRule } from '../features/change.ts'
import { type RereadDeps, rereadRow } from '../features/reread.ts'
import { encodeRowKey } from '../features/row-key.ts'
import { backfillVersion, fenceVersion } from '../features/version.ts'
import type { Finding } from './report.ts'
import type { Difference } from './rows-suspects.ts'

/** How a difference is told, and made good. */

const namesMax = 10
const subjectBytesMax = 300
const detailBytesMax = 500

/** Of UTF-8. */
const cut = (text: string, bytesMax: number): string =>
  Buffer.byteLength(text) > bytesMax ? `${Buffer.from(text).toString('utf8', 0, bytesMax - 6)}…` : text

/** Names of the columns that are not alike; undefined where the item cannot be a row at all. */
const columnsThatDiffer = (rule: TableRule, { key, item, row }: Difference): string[] | undefined => {
  if (!key) return undefined
  try {
    const wanted = rowCells({ rowKey: encodeRowKey(key), key, item, omit: rule.omit })
    const found = row?.cells ?? new Map<string, Uint8Array>()
    return [...new Set([...wanted.keys(), ...found.keys()])].filter((name) => {
      const [left, right] = [wanted.get(name), found.get(name)]
      return !left || !right || Buffer.compare(left, right) !== 0
    })
  } catch (error) {
    if (error instanceof InvalidInputError) return undefined
    throw error
  }
}

const detailOf = (rule: TableRule, difference: Difference): string => {
  const { kind, key, row } = difference
  if (kind === 'missing')
    return row ? 'the row says that the item was deleted, and the source has it' : 'there is no row'
  if (kind === 'extra') return key ? 'the source has no such item' : 'no item of the table has such a row'
  const columns = columnsThatDiffer(rule, difference)
  if (!columns) return 'the item cannot be held by Bigtable'
  if (columns.length === 0) return 'the row was not written by Lifeboat'
  const names = columns.map((name) => Buffer.from(name, 'latin1').toString('utf8'))
  const more = names.length > namesMax ? ` and ${names.length - namesMax} more` : ''
  return `attributes that differ: ${names.slice(0, namesMax).join(', ')}${more}`
}

/** A row's key as DynamoDB's JSON, or, where it is of no item, in hex. Values are in no finding, keys are. */
export const findingOf = (rule: TableRule, difference: Difference, repaired: Finding['repaired']): Finding => {
  const { kind, key, rowKey } = difference
  // The names of the attributes are of no matter here: a table has one key.
  const text = key
    ? JSON.stringify(Object.values(itemToJson(itemOfKey(key, { partition: 'partition', sort: 'sort' }))))
    : `row ${rowKey.toString('hex')}`
  return {
    kind: `row-${kind}`,
    subject: cut(`${rule.name} ${text}`, subjectBytesMax),
    detail: cut(detailOf(rule, difference), detailBytesMax),
    repaired,
  }
}

/**
 * Reads the item again and writes the row; a row that no item can have becomes a tombstone. Answers `no` where the item cannot
 * be held by Bigtable, or changes all the time.
 */
export const repairRow = async (
  deps: RereadDeps,
  rule: TableRule,
  { key, rowKey, row }: Difference,
): Promise<'yes' | 'no'> => {
  try {
    if (key) {
      // What is read includes all that the streams before this one brought, or lost.
      await rereadRow(deps, rule, key, fenceVersion({ epoch: rule.epoch }))
      return 'yes'
    }
    const time = Math.floor(deps.clock.now() / 1000)
    const marker = { version: backfillVersion, time, tombstone: true }
    const isWritten = await deps.rows.replaceIf(
      rule.target,
      { key: rowKey, cells: new Map(), marker },
      row?.marker?.version,
    )
    return isWritten ? 'yes' : 'no'
  } catch (error) {
    if (error instanceof InvalidInputError || error instanceof ConflictError) return 'no'
    throw error
  }
}
