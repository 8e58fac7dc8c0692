import { humanBytes, printable, renderTable } from '../../cli/output.ts'
import type { ItemKey } from '../../shared/features/row-key.ts'
import { valueToJson } from '../../shared/features/attribute-json.ts'
import type { Difference } from '../../shared/features/compare.ts'
import { type RowsOutcome, rowsVerified } from './rows.ts'
import type { Counters } from './watch.ts'

/** What one publish came to. `sourceBytes` is the size of its files; `lagSeconds` from its last object to its release. */
export type Outcome = {
  title: string
  objects: number
  sourceBytes: number
  counters: Counters
  lagSeconds: number
  state: string
  identical: boolean
}

const percent = (part: number, whole: number): string =>
  whole === 0 ? '-' : `${((100 * part) / whole).toFixed(part > 0 && part / whole < 0.001 ? 3 : 1)}%`

/** `width` is that of the terminal, undefined where there is none. */
export const outcomeTable = (outcomes: readonly Outcome[], width: number | undefined): string =>
  renderTable(
    ['publish', 'objects', 'size', 'read', 'sent', 'sent/size', 'chunks', 'reused', 'lag', 'state', 'restored'],
    outcomes.map(({ title, objects, sourceBytes, counters, lagSeconds, state, identical }) => [
      title,
      String(objects),
      humanBytes(sourceBytes),
      humanBytes(counters.bytesRead),
      humanBytes(counters.bytesSent),
      percent(counters.bytesSent, sourceBytes),
      String(counters.chunksSent),
      String(counters.chunksReused),
      `${lagSeconds.toFixed(1)}s`,
      state,
      identical ? 'identical' : 'DIFFERS',
    ]),
    ['objects', 'size', 'read', 'sent', 'sent/size', 'chunks', 'reused', 'lag'],
    { width, squeezes: [{ column: 'publish', to: 'wrap', charactersMin: 10 }] },
  )

const digestShown = 16

const keyText = ({ partition, sort }: ItemKey): string =>
  JSON.stringify((sort ? [partition, sort] : [partition]).map(valueToJson))

const differenceText = ({ kind, key, rowKey }: Difference): string =>
  `${kind} ${key ? printable(keyText(key)) : `row ${Buffer.from(rowKey).toString('hex')}`}`

/** What became of the changes, both sides of the table, and the first rows that differ. */
export const rowsTable = (outcome: RowsOutcome): string => {
  const { table, items, changes, counters, reasons, comparison } = outcome
  const { applied, stale, deletedByTtl, quarantined, lagMaxSeconds, lagLastSeconds } = counters
  const { source, replica, differences, examples } = comparison
  const lag = `lag at most ${lagMaxSeconds.toFixed(1)}s, at last ${lagLastSeconds.toFixed(1)}s`
  const kept = quarantined === 0 ? '' : `, ${quarantined} QUARANTINED`
  const sides = renderTable(
    ['rows', 'items', 'tombstones', 'digest', 'differences'],
    [
      ['DynamoDB', String(source.items), '-', source.digest.slice(0, digestShown), ''],
      [
        'Bigtable',
        String(replica.items),
        String(replica.tombstones),
        replica.digest.slice(0, digestShown),
        String(differences),
      ],
    ],
    ['items', 'tombstones', 'differences'],
  )
  return [
    `${table}: ${items} items put, ${changes} changes, ${applied} applied, ${stale} stale, ${deletedByTtl} deleted by TTL${kept}`,
    `${' '.repeat(table.length)}  ${lag}`,
    ...reasons.map((reason) => `  quarantined: ${printable(reason)}`),
    sides.trimEnd(),
    ...examples.map((difference) => `  ${differenceText(difference)}`),
    ...(differences > examples.length ? [`  and ${differences - examples.length} more`] : []),
    '',
  ].join('\n')
}

const milliseconds = (seconds: number): number => Math.round(seconds * 1000) / 1000

const rowsJson = (outcome: RowsOutcome): object => {
  const { table, items, changes, counters, reasons, comparison } = outcome
  const { source, replica, differences, examples } = comparison
  return {
    table,
    items,
    changes,
    ...counters,
    lagLastSeconds: milliseconds(counters.lagLastSeconds),
    lagMaxSeconds: milliseconds(counters.lagMaxSeconds),
    sourceItems: source.items,
    replicaItems: replica.items,
    tombstones: replica.tombstones,
    reasons,
    sourceDigest: source.digest,
    replicaDigest: replica.digest,
    differences,
    examples: examples.map(differenceText),
    verified: rowsVerified(outcome),
  }
}

/** The one line that `--json` ends with. */
export const outcomeJson = (outcomes: readonly Outcome[], rows: RowsOutcome): string => {
  const sum = (of: (outcome: Outcome) => number): number => outcomes.reduce((total, outcome) => total + of(outcome), 0)
  return JSON.stringify({
    schema: 1,
    objects: sum(({ objects }) => objects),
    bytesRead: sum(({ counters }) => counters.bytesRead),
    bytesSent: sum(({ counters }) => counters.bytesSent),
    chunks: sum(({ counters }) => counters.chunksSent + counters.chunksReused),
    chunksReused: sum(({ counters }) => counters.chunksReused),
    lagSeconds: Math.max(...outcomes.map(({ lagSeconds }) => lagSeconds)),
    verified: outcomes.every(({ state, identical }) => state === 'protected' && identical) && rowsVerified(rows),
    rows: rowsJson(rows),
    publishes: outcomes.map(({ title, objects, sourceBytes, counters, lagSeconds, state, identical }) => ({
      title,
      objects,
      size: sourceBytes,
      bytesRead: counters.bytesRead,
      bytesSent: counters.bytesSent,
      chunkBytesSent: counters.chunkBytesSent,
      chunks: counters.chunksSent + counters.chunksReused,
      chunksReused: counters.chunksReused,
      lagSeconds,
      state,
      verified: state === 'protected' && identical,
    })),
  })
}
