import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { pricesOf } from '../../shared/backfill/prices.ts'
import type { Tally } from '../../shared/backfill/estimate.ts'
import { type Limits, type Spec, subjectOf } from '../../shared/backfill/run.ts'
import { InvalidInputError } from '../../shared/errors.ts'
import type { CliContext, GlobalOptions } from '../context.ts'
import { AnsweredError, exitCodes } from '../exit-codes.ts'
import { plural, renderJson, widthOf } from '../output.ts'
import { createProgress } from '../progress.ts'
import { answers, type Asker, type ShownRun, withAsker } from './ask.ts'
import { renderEstimate, renderRun, renderRuns } from './show.ts'

export type BackfillOptions = GlobalOptions & {
  dryRun?: boolean
  estimate: boolean
  detach?: boolean
  prices?: string
}

type Numbers = Record<string, number>
type Estimate = { estimate: Numbers; notes: string[] }

const pollMs = 2000

const readPrices = async (context: CliContext, { prices }: BackfillOptions): Promise<Numbers | undefined> => {
  if (prices === undefined) return undefined
  const file = resolve(context.cwd, prices)
  let given: unknown
  try {
    given = JSON.parse(await readFile(file, 'utf8'))
  } catch (cause) {
    throw new InvalidInputError(`--prices: ${file}: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    })
  }
  pricesOf(given)
  return given as Numbers
}

/** Asked again with what was counted, until the listing has ended. */
const estimateAll = async (
  context: CliContext,
  { name, ask }: Asker,
  { spec, prices, silent }: { spec: Spec; prices: Numbers | undefined; silent: boolean },
): Promise<Estimate> => {
  if (!silent) context.stderr.write(`${name} estimates, which may take minutes\n`)
  let from: Tally | undefined
  for (;;) {
    const request = { action: 'estimate' as const, spec, ...(from ? { from } : {}), ...(prices ? { prices } : {}) }
    const answer = await ask(answers.estimate, request)
    if (answer.kind === 'estimated') return answer
    from = answer.tally
    if (!silent) context.stderr.write(`${from.listed} object versions listed so far; going on\n`)
  }
}

const settled = ({ counts, spec }: ShownRun): number => {
  if (spec.kind === 'table') return counts['read'] ?? 0
  const names = ['done', 'alreadyThere', 'underWay', 'leftToEvents', 'replaced', 'outside', 'refused']
  return names.reduce((sum, name) => sum + (counts[name] ?? 0), 0)
}

/** Shows how far it is until it ends or somebody pauses it. */
const follow = async (context: CliContext, { ask }: Asker, first: ShownRun, silent: boolean) => {
  const noun = first.spec.kind === 'objects' ? 'objects' : 'items'
  const progress = createProgress(context, {
    label: first.id,
    totalBytes: first.estimate?.['read'] ?? 0,
    silent,
    noun,
  })
  let told = 0
  try {
    for (;;) {
      const answer = await ask(answers.run, { action: 'show', run: first.id })
      if (settled(answer.run) > told) progress.add(settled(answer.run) - told)
      told = Math.max(told, settled(answer.run))
      if (answer.run.report !== undefined || answer.run.status === 'paused') return answer
      await context.wait(pollMs)
    }
  } finally {
    progress.stop()
  }
}

const print = (
  context: CliContext,
  options: GlobalOptions,
  { run, joined, account }: { run: ShownRun; joined?: boolean | undefined; account?: Parameters<typeof renderRun>[1] },
): void => {
  const json = { run, ...(joined === undefined ? {} : { joined }), account: account ?? null }
  context.stdout.write(options.json ? renderJson(json) : renderRun(run, account, widthOf(context.stdout)))
}

const verdict = ({ id, status, refusedTotal, counts }: ShownRun): string | undefined => {
  if (status === 'failed' || status === 'cancelled' || status === 'paused') return `backfill ${id} is ${status}`
  if (refusedTotal > 0) return `${plural(refusedTotal, 'thing')} could not be brought in`
  const underWay = counts['underWay'] ?? 0
  if (underWay === 0) return undefined
  return `${plural(underWay, 'object version')} under way by events, not in the replica yet: backfill again when "lifeboat status" is calm`
}

/** Estimates, begins and follows one backfill. */
export const runBackfill = async (
  context: CliContext,
  options: BackfillOptions,
  { spec, limits }: { spec: Spec; limits: Limits },
): Promise<void> => {
  const prices = await readPrices(context, options)
  const silent = options.quiet === true || options.json === true
  await withAsker(context, options, async (asker) => {
    const estimated =
      options.estimate || options.dryRun ? await estimateAll(context, asker, { spec, prices, silent }) : undefined
    if (estimated?.estimate['read'] === 0)
      throw new AnsweredError(exitCodes.findings, `there is nothing of ${subjectOf(spec)} to bring in`)
    const text = estimated && renderEstimate(spec, estimated.estimate, estimated.notes, prices !== undefined)
    if (options.dryRun) {
      context.stdout.write(options.json ? renderJson({ spec, ...estimated }) : (text ?? ''))
      return
    }
    if (text !== undefined && !silent) context.stderr.write(`${text}\n`)
    const request = { action: 'start' as const, spec, limits, estimate: estimated?.estimate ?? null }
    const { run, joined } = await asker.ask(answers.run, { ...request, ...(prices ? { prices } : {}) })
    if (!silent)
      context.stderr.write(
        joined
          ? `backfill ${run.id} of the same is ${run.status} already: it is joined\n`
          : `backfill ${run.id} goes on by itself: an interrupt here does not stop it\n`,
      )
    if (options.detach) return print(context, options, { run, joined })
    const ended = await follow(context, asker, run, silent)
    print(context, options, { ...ended, joined })
    const found = verdict(ended.run)
    if (found !== undefined) throw new AnsweredError(exitCodes.findings, found)
  })
}

export const listBackfills = (context: CliContext, options: GlobalOptions): Promise<void> =>
  withAsker(context, options, async ({ ask }) => {
    const { runs } = await ask(answers.runs, { action: 'list' })
    context.stdout.write(options.json ? renderJson({ runs }) : renderRuns(runs, widthOf(context.stdout)))
  })

export const showBackfill = (context: CliContext, options: GlobalOptions, run: string): Promise<void> =>
  withAsker(context, options, async ({ ask }) =>
    print(context, options, await ask(answers.run, { action: 'show', run })),
  )

/** A cancelled one is waited for: its report says where it was left. */
export const changeBackfill = (
  context: CliContext,
  options: GlobalOptions,
  { action, run }: { action: 'pause' | 'resume' | 'cancel'; run: string },
): Promise<void> =>
  withAsker(context, options, async (asker) => {
    const changed = await asker.ask(answers.run, { action, run })
    const silent = true
    print(context, options, action === 'cancel' ? await follow(context, asker, changed.run, silent) : changed)
  })
