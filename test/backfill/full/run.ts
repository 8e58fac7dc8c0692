import type { Spec } from '../../../shared/backfill/run.ts'
import type { Telemetry } from '../../../shared/ports.ts'
import { estimateProblems } from '../../support/backfill-estimate.ts'
import { type BackfillWorld, createBackfillWorld, objectsSpec, tableSpec } from '../../support/backfill-world.ts'
import { seeded } from '../../support/weights-world.ts'
import { bringIn } from './bring-in.ts'
import { contentOf, fill } from './content.ts'
import { judgeAccounts, judgeObjects, judgeRows } from './judge.ts'
import { createLive, type Live } from './live.ts'
import { type Pages, watchPages } from './pages.ts'

/** Everything that was there before is brought in in memory by the functions' own code, amid what goes wrong and goes on. */

export type FullRunOptions = { objects: number; rows: number; seed: number; say?: (line: string) => void }
export type FullRun = {
  figures: Record<string, number | Record<string, number>>
  problems: string[]
}

/** Of a listing, as S3 has them. */
const pageEntries = 1000

/** Counts, and keeps what is worth a look: lines of every object would be most of the memory. */
const watchTelemetry = (it: BackfillWorld) => {
  const seen = { dropped: 0, lines: [] as string[] }
  const { telemetry } = it.world
  const watched: Telemetry = {
    count: (...args) => telemetry.count(...args),
    log: (level, message, fields) => {
      if (message.endsWith('dropped: its backfill is stopped')) seen.dropped += 1
      else if (level !== 'info') seen.lines.push(`${level}: ${message} ${JSON.stringify(fields)}`)
    },
  }
  it.world.deps.telemetry = watched
  it.deps.weights.telemetry = watched
  return seen
}

const estimateOf = async (it: BackfillWorld, spec: Spec): Promise<Record<string, number>> => {
  const answer = await it.ask({ action: 'estimate', spec })
  if (!('kind' in answer) || answer.kind !== 'estimated') throw new Error('not estimated within one call')
  return answer.estimate
}

/** As much of the objects as of the rows in a second, so that they are under way together. */
const secondsOf = (objects: number): number => Math.max(100, objects / 100)

/** Both are estimated, and begun. */
const begin = async (it: BackfillWorld, { objects, rows }: FullRunOptions) => {
  const estimates = { objects: await estimateOf(it, objectsSpec), rows: await estimateOf(it, tableSpec) }
  const limits = (items: number) => ({ items: items / secondsOf(objects) })
  const runs = {
    objects: await it.start(objectsSpec, limits(objects)),
    rows: await it.start(tableSpec, limits(rows)),
  }
  return { estimates, runs }
}

const bytesOf = (estimate: Record<string, number>): Record<string, number> => ({
  bytesRead: estimate['bytesRead'] ?? 0,
  bytesSent: estimate['bytesSent'] ?? 0,
})

type Done = {
  it: BackfillWorld
  begun: Awaited<ReturnType<typeof begin>>
  live: Live
  pages: Pages
  seen: ReturnType<typeof watchTelemetry>
  expected: { objects: number; bytes: number }
}

const judge = async ({ it, begun, live, pages, seen, expected }: Done): Promise<FullRun> => {
  const { runs, estimates } = begun
  const accounts = { objects: await it.report(runs.objects), rows: await it.report(runs.rows) }
  const objects = await judgeObjects(it)
  const rows = await judgeRows(it)
  const pagesOnce = pages.total('objects') + pages.total('rows') - pages.repeated.pages
  const problems = [
    ...live.problems,
    ...pages.problems,
    ...objects.problems,
    ...rows.problems,
    ...judgeAccounts(accounts, { ...expected, pages: pagesOnce }),
    ...estimateProblems('objects', estimates.objects, accounts.objects.counts),
    ...estimateProblems('rows', estimates.rows, accounts.rows.counts),
    ...it.failed.map((error) => `an event or a commit failed: ${String(error)}`),
    ...seen.lines.slice(0, 5),
  ]
  if (pages.repeated.pages === 0) problems.push('no kill was in the middle of a page')
  const aside = (await live.quarantined()) + it.world.names('failed/').length
  if (aside > 0) problems.push(`${aside} objects and changes were set aside`)
  const figures = {
    pages: pagesOnce,
    pagesRepeated: pages.repeated.pages,
    itemsReadAgain: pages.repeated.items,
    copiesDroppedByPause: seen.dropped,
    objectsCompared: objects.objects,
    rowsCompared: rows.rows,
    live: live.counts,
    objectsCounted: accounts.objects.counts,
    rowsCounted: accounts.rows.counts,
    objectsEstimated: bytesOf(estimates.objects),
    rowsEstimated: bytesOf(estimates.rows),
  }
  return { figures, problems }
}

export const fullRun = async (options: FullRunOptions): Promise<FullRun> => {
  let at = Date.now()
  const lap = (): number => {
    const seconds = (Date.now() - at) / 1000
    at = Date.now()
    return seconds
  }
  const random = seeded(options.seed)
  const it = await createBackfillWorld({ pageEntries, seed: options.seed })
  const seen = watchTelemetry(it)
  const content = contentOf(options)
  const bytes = await fill(it, content)
  const seconds = { fill: lap(), backfill: 0, judge: 0 }
  const begun = await begin(it, options)
  const problems: string[] = []
  const live = createLive(it, content, random)
  const pages = watchPages()
  const say = (what: string): void =>
    options.say?.(`${what} after ${pages.total('objects')} pages of objects and ${pages.total('rows')} of rows`)
  const kills = await bringIn({
    it,
    live,
    pages,
    dropped: () => seen.dropped,
    runs: [
      { run: begun.runs.objects, parts: 1 },
      { run: begun.runs.rows, parts: tableSpec.segments },
    ],
    objects: options.objects,
    random,
    say,
    problems,
  })
  await live.end()
  await it.drain()
  seconds.backfill = lap()
  say('ended')
  const judged = await judge({ it, begun, live, pages, seen, expected: { objects: options.objects, bytes } })
  seconds.judge = lap()
  const rssMaxMiB = Math.round(process.resourceUsage().maxRSS / 1024)
  return { figures: { kills, ...judged.figures, seconds, rssMaxMiB }, problems: [...problems, ...judged.problems] }
}
