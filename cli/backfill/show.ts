import type { Report } from '../../shared/proof/report.ts'
import { pricesAsOf } from '../../shared/backfill/prices.ts'
import { type Spec, subjectOf } from '../../shared/backfill/run.ts'
import { humanBytes, humanDuration, labelled, renderTable } from '../output.ts'
import type { ShownRun } from './ask.ts'

/** How backfills look: an estimate, one of them, all of them. */

type Numbers = Readonly<Record<string, number>>

/** `$12.30`; below a cent as many digits as it takes. */
export const dollars = (amount: number): string =>
  amount >= 0.01 || amount === 0 ? `$${amount.toFixed(2)}` : `$${amount.toPrecision(2)}`

const nounOf = (spec: Spec): string => (spec.kind === 'objects' ? 'object versions' : 'items')

export const renderEstimate = (spec: Spec, estimate: Numbers, notes: readonly string[], hasPrices: boolean): string => {
  const of = (name: string): number => estimate[name] ?? 0
  const saved = of('bytesRead') > 0 ? Math.max(0, 1 - of('bytesSent') / of('bytesRead')) : 0
  const sample =
    spec.kind === 'objects'
      ? `${of('sampleObjects')} objects, ${humanBytes(of('sampleBytes'))}`
      : `${of('sampleItems')} items, ${humanBytes(of('sampleBytes'))}`
  const there = of('alreadyThere') > 0 ? `, ${of('alreadyThere')} already there` : ''
  const lines = [
    ...labelled('backfill', [subjectOf(spec)]),
    ...labelled('looks at', [`${of('read')} ${nounOf(spec)}${there}`]),
    ...labelled('reads', [
      `${humanBytes(of('bytesRead'))}${spec.kind === 'table' ? `, ${of('readUnits')} read units` : ''}`,
    ]),
    ...labelled('sends', [
      spec.kind === 'objects'
        ? `${humanBytes(of('bytesSent'))}: dedup and compression save ${Math.round(saved * 100)}%`
        : humanBytes(of('bytesSent')),
      `(from a sample of ${sample})`,
    ]),
    ...labelled('requests', [`${Math.round(of('requests'))}`]),
    ...labelled('Lambda', [`${Math.ceil(of('lambdaGbSeconds'))} GB-seconds`]),
    ...labelled('takes', [`about ${humanDuration(of('seconds') * 1000)} without limits`]),
    ...labelled('costs', [
      `${dollars(of('dollars'))}: egress ${dollars(of('dollarsEgress'))}, requests ${dollars(of('dollarsRequests'))}, Lambda ${dollars(of('dollarsLambda'))}, reads ${dollars(of('dollarsReads'))}`,
      hasPrices ? 'with your prices' : `at list prices of ${pricesAsOf} (--prices FILE for yours)`,
    ]),
    ...notes.flatMap((note) => labelled('note', [note])),
  ]
  return `${lines.join('\n')}\n`
}

const besides = (spent: number, estimated: number | undefined): string =>
  estimated === undefined ? dollars(spent) : `${dollars(spent)}, estimated ${dollars(estimated)}`

const accountLines = ({ counts, backfill }: Report): string[] => {
  const { estimate, spent = {} } = backfill ?? {}
  const bytes = (name: string): string =>
    `${humanBytes(counts[name] ?? 0)}${estimate ? `, estimated ${humanBytes(estimate[name] ?? 0)}` : ''}`
  return [
    ...labelled('read', [bytes('bytesRead')]),
    ...labelled('sent', [bytes('bytesSent')]),
    ...labelled('cost', [`${besides(spent['dollars'] ?? 0, estimate?.['dollars'])} (by the same model)`]),
    ...(backfill?.where ?? []).flatMap((where) => labelled('where', [where])),
  ]
}

const words: readonly (readonly [name: string, word: string])[] = [
  ['done', 'done'],
  ['alreadyThere', 'already there'],
  ['newer', 'brought by changes before'],
  ['underWay', 'under way by an event'],
  ['leftToEvents', 'newer than the backfill'],
  ['replaced', 'replaced or gone meanwhile'],
  ['outside', 'outside of lifeboat.yml'],
  ['refused', 'refused'],
]

/** What became of everything that was looked at. */
export const countsText = (counts: Numbers): string => {
  const parts = words.flatMap(([name, word]) => (counts[name] ? [`${counts[name]} ${word}`] : []))
  return parts.length === 0 ? 'nothing so far' : parts.join(', ')
}

export const renderRun = (run: ShownRun, account: Report | undefined, width: number | undefined): string => {
  const { id, spec, status, counts, inFlight, where, refused, refusedTotal, why, report } = run
  const lines = [
    ...labelled('backfill', [`${id}  ${subjectOf(spec)}`]),
    ...labelled('status', [why === undefined ? status : `${status}: ${why}`]),
    ...labelled('so far', [
      `${counts['read'] ?? 0} ${nounOf(spec)} looked at: ${countsText(counts)}`,
      ...(inFlight > 0 ? [`${inFlight} on their way`] : []),
    ]),
    ...(account ? accountLines(account) : where.flatMap((at) => labelled('where', [at]))),
    ...(report === undefined ? [] : labelled('report', [report])),
  ]
  const squeezes = [{ column: 'reason', to: 'wrap', charactersMin: 30 }] as const
  const rows = refused.map(({ subject, reason }) => [subject, reason])
  const table = refused.length === 0 ? '' : `\n${renderTable(['refused', 'reason'], rows, [], { width, squeezes })}`
  const more = refusedTotal > refused.length ? `and ${refusedTotal - refused.length} more\n` : ''
  return `${lines.join('\n')}\n${table}${more}`
}

export const renderRuns = (runs: readonly ShownRun[], width: number | undefined): string => {
  const rows = runs.map(({ id, spec, status, counts }) => [
    id,
    status,
    subjectOf(spec),
    String(counts['read'] ?? 0),
    String(counts['refused'] ?? 0),
  ])
  const squeezes = [{ column: 'what', to: 'middle', charactersMin: 20 }] as const
  return renderTable(['backfill', 'status', 'what', 'looked at', 'refused'], rows, ['looked at', 'refused'], {
    width,
    squeezes,
  })
}
