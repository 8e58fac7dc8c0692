import { randomBytes } from 'node:crypto'
import type { Command } from 'commander'
import type { Config } from '../../shared/config.ts'
import { ruleOfTable, type TableRule } from '../../shared/features/change.ts'
import type { ItemSource } from '../../shared/features/deps.ts'
import type { RowStore } from '../../shared/features/row-store.ts'
import { reportOf } from '../../shared/proof/check-rows.ts'
import { compareRows } from '../../shared/proof/compare-rows.ts'
import type { Report } from '../../shared/proof/report.ts'
import { beginWork, type CompareDeps, type RowsWork, settleMsOf } from '../../shared/proof/rows-work.ts'
import { parseLimit } from '../arguments.ts'
import { type CliContext, configFile, type GlobalOptions, loadConfig } from '../context.ts'
import { createFeatureTimes } from '../diff/feature-time.ts'
import { renderDifferences, showDifference, type Shown } from '../diff/show.ts'
import { AnsweredError, exitCodes, unlessInterrupted } from '../exit-codes.ts'
import { plural, renderJson, widthOf } from '../output.ts'
import { createCounter, createProgress, type Progress } from '../progress.ts'
import { configuredTable, findRows } from '../rows/place.ts'

type DiffOptions = GlobalOptions & {
  repair?: boolean
  recent?: boolean
  limit: number
  rate?: number
  allowEmpty?: boolean
}
type Compared = { report: Report; shown: Shown[] }

const pollMs = 2000
const limitDefault = 20

/** Waits where more was read than the rate allows since the start. */
const pacer = (context: CliContext, perSecond: number | undefined): ((done: number) => Promise<void>) => {
  const startedAt = context.now()
  return async (done) => {
    if (perSecond === undefined) return
    const aheadMs = (done * 1000) / perSecond - (context.now() - startedAt)
    if (aheadMs > 0) await context.wait(aheadMs)
  }
}

const doneOf = ({ run }: RowsWork): number => run.counts.items + run.counts.rows + run.counts.changedLately

const compare = async (
  context: CliContext,
  options: DiffOptions,
  rule: TableRule,
  { deps, progress }: { deps: CompareDeps; progress: Progress },
): Promise<Compared> => {
  const mode = options.recent ? 'recent' : 'full'
  const work = beginWork(rule, { mode, repair: options.repair === true, startedAt: context.now() })
  const shown: Shown[] = []
  const pace = pacer(context, options.rate)
  let told = 0
  let isSaid = options.quiet === true || options.json === true
  for await (const step of compareRows(deps, work)) {
    context.signal.throwIfAborted()
    if (doneOf(work) > told) progress.add(doneOf(work) - told)
    told = doneOf(work)
    if (step.kind === 'found' && shown.length < options.limit)
      shown.push(showDifference(rule, step.difference, step.finding))
    if (step.kind === 'page') await pace(work.run.counts.items)
    if (step.kind !== 'waiting') continue
    if (!isSaid)
      context.stderr.write(`waiting until changes are in the replica: ${plural(work.suspects.size, 'row')} differed\n`)
    isSaid = true
    await context.wait(pollMs)
  }
  return { report: reportOf(work, context.now()), shown }
}

const withDeps = async <T>(
  context: CliContext,
  table: string,
  options: DiffOptions,
  config: Config,
  work: (deps: CompareDeps) => Promise<T>,
): Promise<T> => {
  const { place } = await findRows(context, table, options)
  const items = await context.openItems({ region: config.source.region })
  try {
    const opened = await context.openRows(place)
    try {
      return await work(depsOf(context, options, config, { source: items.source, rows: opened.rows }))
    } finally {
      await opened.close()
    }
  } finally {
    items.close()
  }
}

const depsOf = (
  context: CliContext,
  options: DiffOptions,
  config: Config,
  sides: { source: ItemSource; rows: RowStore },
): CompareDeps => ({
  ...sides,
  telemetry: { count: () => undefined, log: () => undefined },
  clock: { now: () => context.now() },
  random: { next: () => Math.random(), hex: (bytes) => randomBytes(bytes).toString('hex') },
  featureTime: createFeatureTimes(context, options),
  settleMs: settleMsOf(config),
})

const countOf = ({ counts }: Report, name: string): number => counts[name] ?? 0

/** Findings that are no row: nothing to compare, or too many to go on. */
const others = ({ findings }: Report): string[] =>
  findings.filter(({ kind }) => !kind.startsWith('row-')).map(({ detail }) => detail)

const summaryOf = (report: Report): string => {
  const of = (name: string): number => countOf(report, name)
  const differ = of('missing') + of('extra') + of('changed')
  const compared = of('items') + of('changedLately')
  const parts = [
    `${plural(compared, 'item')} compared`,
    ...(report.scope?.includes(',') ? [] : [`${plural(of('rows'), 'row')} in the replica`]),
    differ === 0
      ? 'no difference'
      : `${plural(differ, 'difference')}: ${of('missing')} missing, ${of('extra')} extra, ${of('changed')} changed`,
  ]
  if (of('repaired') > 0) parts.push(`${of('repaired')} repaired`)
  if (of('unsettled') > 0) parts.push(`${of('unsettled')} not told, since they change all the time`)
  return parts.join('; ')
}

const print = (context: CliContext, table: string, options: DiffOptions, { report, shown }: Compared): void => {
  if (options.json) {
    const { outcome, scope, counts, startedAt, endedAt } = report
    const notes = others(report)
    const total = countOf(report, 'missing') + countOf(report, 'extra') + countOf(report, 'changed')
    const json = { table, outcome, scope, startedAt, endedAt, counts, notes, total, differences: shown }
    context.stdout.write(renderJson(json))
    return
  }
  const total = countOf(report, 'missing') + countOf(report, 'extra') + countOf(report, 'changed')
  context.stdout.write(`${table}: ${summaryOf(report)}\n`)
  for (const detail of others(report)) context.stdout.write(`${table}: ${detail}\n`)
  if (shown.length > 0) context.stdout.write(`\n${renderDifferences(shown, widthOf(context.stdout))}`)
  if (total > shown.length) context.stdout.write(`and ${total - shown.length} more (--limit)\n`)
}

const isFine = ({ outcome, findings, findingsTotal }: Report, { allowEmpty }: DiffOptions): boolean =>
  outcome === 'passed' || (allowEmpty === true && findingsTotal === 1 && findings[0]?.kind === 'nothing-compared')

const diff = async (context: CliContext, table: string, options: DiffOptions): Promise<void> => {
  const config = await loadConfig(context, options)
  configuredTable(config, table, configFile(context, options))
  const rule = ruleOfTable(config, table)
  const compared = await unlessInterrupted(context.signal, () =>
    withDeps(context, table, options, config, async (deps) => {
      const items = await deps.source.roughCount(table)
      const silent = options.quiet === true || options.json === true
      const counter = createCounter(context, { label: 'rows', silent })
      // The items of the source, then the keys of the replica; how many changed lately is not known.
      const progress = options.recent
        ? { ...counter, stop: () => undefined }
        : createProgress(context, { label: table, totalBytes: 2 * items, silent, noun: 'rows' })
      try {
        return await compare(context, options, rule, { deps, progress })
      } finally {
        progress.stop()
      }
    }),
  )
  print(context, table, options, compared)
  if (!isFine(compared.report, options)) throw new AnsweredError(exitCodes.findings)
}

export const register = (program: Command, context: CliContext): void => {
  program
    .command('diff')
    .description('compare every item of a table with its row in the replica, and repair what differs')
    .argument('<table>', 'a table of the configuration')
    .option('--repair', 'read the items of rows that differ again, and write the rows')
    .option('--recent', 'only rows that were written within the last three hours')
    .option('--limit <rows>', 'print at most so many differences', parseLimit, limitDefault)
    .option('--rate <items>', 'read at most so many items a second from the source (default: no limit)', parseLimit)
    .option('--allow-empty', 'end with 0 where both sides are empty')
    .addHelpText(
      'after',
      `
Reads the source with AWS credentials (dynamodb:DescribeTable, Scan, GetItem; it takes the read capacity of a scan) and the
replica with Google credentials (with --repair those that may write rows). What differs is looked at again until the changes
that were on their way are in the replica, for a minute or more, and only what still differs is printed.

--recent finds rows that were applied or written wrongly, not changes that never came.

Ends with 0 where all rows are equal, 1 where some differed, repaired or not, or could not be told, and where there was
nothing to compare. --json: outcome, counts, differences (kind, key, attributes with both values), total.

Examples:
  lifeboat diff users
  lifeboat --stage prod diff users --repair --limit 100
  lifeboat diff users --recent --json`,
    )
    .action((table: string, _options, command: Command) => diff(context, table, command.optsWithGlobals<DiffOptions>()))
}
