import { CorruptError, InvalidInputError } from '../../shared/errors.ts'
import { type Cells, decodeCells, rowCells } from '../../shared/features/cells.ts'
import type { TableRule } from '../../shared/features/change.ts'
import { encodeRowKey } from '../../shared/features/row-key.ts'
import type { Finding } from '../../shared/proof/report.ts'
import type { Difference } from '../../shared/proof/rows-suspects.ts'
import { renderTable } from '../output.ts'
import { keyText, valueText } from '../rows/show.ts'

/** How differences look: one line an attribute, the value of each side beside the other's. */

export type Shown = {
  kind: Difference['kind']
  key: string
  repaired: Finding['repaired']
  /** Null where a side has none; a cell that is no value in hex. */
  attributes: { name: string; source: string | null; replica: string | null }[]
}

const cellText = (name: string, cell: Uint8Array | undefined): [string, string | null] => {
  const shownName = Buffer.from(name, 'latin1').toString('utf8')
  if (!cell) return [shownName, null]
  try {
    const [entry] = Object.entries(decodeCells(new Map([[name, cell]])))
    return entry ? [entry[0], valueText(entry[1])] : [shownName, `0x${Buffer.from(cell).toString('hex')}`]
  } catch (error) {
    if (!(error instanceof CorruptError)) throw error
    return [shownName, `0x${Buffer.from(cell).toString('hex')}`]
  }
}

const cellsOf = (rule: TableRule, { key, item }: Difference): Cells => {
  if (!key || !item) return new Map()
  try {
    return rowCells({ rowKey: encodeRowKey(key), key, item, omit: rule.omit })
  } catch (error) {
    // What Bigtable cannot hold has no cells to compare.
    if (error instanceof InvalidInputError) return new Map()
    throw error
  }
}

export const showDifference = (rule: TableRule, difference: Difference, { repaired }: Finding): Shown => {
  const { kind, key, rowKey, row } = difference
  const wanted = cellsOf(rule, difference)
  const found = row?.cells ?? new Map<string, Uint8Array>()
  const names = [...new Set([...wanted.keys(), ...found.keys()])].filter((name) => {
    const [left, right] = [wanted.get(name), found.get(name)]
    return !left || !right || Buffer.compare(left, right) !== 0
  })
  const attributes = names.map((name) => {
    const [source, replica] = [cellText(name, wanted.get(name)), cellText(name, found.get(name))]
    return { name: source[1] === null ? replica[0] : source[0], source: source[1], replica: replica[1] }
  })
  const named = attributes.toSorted((left, right) => (left.name < right.name ? -1 : 1))
  return { kind, key: key ? keyText(key) : `row 0x${rowKey.toString('hex')}`, repaired, attributes: named }
}

/** On a terminal as wide as it is; elsewhere whole values. */
export const renderDifferences = (all: readonly Shown[], width: number | undefined): string => {
  const rows = all.flatMap(({ kind, key, repaired, attributes }) => {
    const word = repaired === 'yes' ? `${kind}, repaired` : kind
    if (attributes.length === 0) return [[word, key, '', '', '']]
    return attributes.map(({ name, source, replica }, index) => [
      index === 0 ? word : '',
      index === 0 ? key : '',
      name,
      source ?? '-',
      replica ?? '-',
    ])
  })
  const squeezes = [
    { column: 'source', to: 'room', charactersMin: 12 },
    { column: 'replica', to: 'room', charactersMin: 12 },
    { column: 'key', to: 'middle', charactersMin: 12 },
    { column: 'attribute', to: 'room', charactersMin: 10 },
  ] as const
  return renderTable(['difference', 'key', 'attribute', 'source', 'replica'], rows, [], { width, squeezes })
}
