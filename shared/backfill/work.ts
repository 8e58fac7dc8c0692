import { isRetryable, LifeboatError } from '../errors.ts'
import type { Deadline } from '../weights/deps.ts'
import { conclude, endInFlight } from './conclude.ts'
import type { BackfillDeps } from './deps.ts'
import { exportPage } from './export.ts'
import { entriesPerPage, inFlightMax, isFull, objectsPage, resendStalled, settleObjects } from './objects.ts'
import type { PageDone } from './page.ts'
import { changeRun, readPart, requireRun, writePart } from './records.ts'
import { scanPage } from './rows.ts'
import type { Limits, ObjectsSpec, Part, Run, TableSpec } from './run.ts'

/** One part of a run, a page at a time, until it is done, somebody stops it, or the call's time is over. */

const reserveMs = 45_000
const pollMs = 1000
/** Of rows, so that a page takes about a second and a pause is seen as soon. */
const itemsPerPage = 1000
const waitMsMax = 2000

export type Worked = 'ended' | 'goes on' | 'stopped' | 'taken'

/** What a call has taken so far, to be kept below the limits by waiting. */
type Pace = { sinceMs: number; items: number; bytes: number; readUnits: number }

/** How long to wait until what was taken is within every limit. */
const aheadMs = (pace: Pace, limits: Limits, parts: number, nowMs: number): number => {
  const over = (taken: number, perSecond: number | undefined): number =>
    perSecond === undefined ? 0 : (taken * 1000 * parts) / perSecond
  const wanted = Math.max(
    over(pace.items, limits.items),
    over(pace.bytes, limits.bytes),
    over(pace.readUnits, limits.readUnits),
  )
  return Math.max(0, wanted - (nowMs - pace.sinceMs))
}

/** Items of a page that takes about a second at the limits, as far as the pages before it tell. */
const pageItems = (pace: Pace, limits: Limits, parts: number, most: number): number => {
  const per = (taken: number): number => (pace.items > 0 ? taken / pace.items : 0)
  const inSecond = (perSecond: number | undefined, each: number): number =>
    perSecond === undefined || each === 0 ? Infinity : perSecond / parts / each
  const rates = [
    inSecond(limits.items, 1),
    inSecond(limits.bytes, per(pace.bytes)),
    inSecond(limits.readUnits, per(pace.readUnits)),
  ]
  // What an item costs is not known before the first page.
  const first = pace.items === 0 && (limits.bytes !== undefined || limits.readUnits !== undefined) ? 25 : most
  return Math.max(1, Math.floor(Math.min(most, first, ...rates)))
}

const isObjects = (run: Run): run is Run & { spec: ObjectsSpec } => run.spec.kind === 'objects'
const isTable = (run: Run): run is Run & { spec: TableSpec } => run.spec.kind === 'table'

type Step = { done: PageDone } | 'waits' | 'others' | 'ended'

const objectsStep = async (
  deps: BackfillDeps,
  run: Run & { spec: ObjectsSpec },
  part: Part,
  pace: Pace,
): Promise<Step> => {
  await resendStalled(deps.weights, run, part)
  await settleObjects(deps.weights, part)
  if (part.phase === 'settle') return part.inFlight.length === 0 ? 'ended' : 'waits'
  if (isFull(part)) return 'waits'
  const most = Math.min(entriesPerPage, inFlightMax(part))
  const done = await objectsPage(deps, run, part, pageItems(pace, run.limits, 1, most))
  if (done.isLast) part.phase = 'settle'
  return { done }
}

const rowsStep = async (
  deps: BackfillDeps,
  run: Run & { spec: TableSpec },
  { part, index, pace }: { part: Part; index: number; pace: Pace },
): Promise<Step> => {
  const { config, source, clock } = deps.weights
  const rows = { ...(await deps.openRows()), config, clock, state: deps.state }
  const itemsMax = pageItems(pace, run.limits, run.parts, itemsPerPage)
  const done =
    run.spec.exports.length > 0
      ? await exportPage({ ...rows, source }, run, { part, index, itemsMax })
      : await scanPage(rows, run.spec, { part, segment: index, itemsMax })
  if (done === 'waits') return 'others'
  if (done.isLast) part.phase = 'ended'
  return { done }
}

/** What a retry cannot cure ends the run, with its reason in the report. */
const fail = async (deps: BackfillDeps, run: string, error: unknown): Promise<void> => {
  const endedAt = deps.weights.clock.now()
  const why = error instanceof Error ? error.message : String(error)
  await changeRun(deps.state, run, (now) =>
    now.status === 'running' ? { ...now, status: 'failed', why, endedAt } : undefined,
  )
  deps.weights.telemetry.log('error', 'the backfill failed', { stage: 'backfill', run, error })
}

const metrics = (deps: BackfillDeps, before: Part['counts'], part: Part): void => {
  const names = { done: 'BackfillItemsDone', refused: 'BackfillItemsRefused', read: 'BackfillItemsRead' } as const
  for (const [name, metric] of Object.entries(names)) {
    const more = (part.counts[name] ?? 0) - (before[name] ?? 0)
    if (more > 0) deps.weights.telemetry.count(metric, more)
  }
}

const step = async (deps: BackfillDeps, run: Run, at: { part: Part; index: number; pace: Pace }): Promise<Step> => {
  if (isObjects(run)) return objectsStep(deps, run, at.part, at.pace)
  return isTable(run) ? rowsStep(deps, run, at) : 'ended'
}

/** Ends a part of a run that somebody stopped for good, or that failed. */
const endStopped = async (deps: BackfillDeps, run: Run, at: { part: Part; version: number; index: number }) => {
  if (run.status === 'paused') return 'stopped'
  await endInFlight(deps, run, at.part)
  at.part.phase = 'ended'
  if (!(await writePart(deps.state, run.id, at.index, at))) return 'taken'
  await conclude(deps, run.id)
  return 'stopped'
}

/** What this call planned after another one ended the part of a stopped run is on nobody's list. */
const taken = async (deps: BackfillDeps, id: string, part: Part): Promise<Worked> => {
  await endInFlight(deps, await requireRun(deps.state, id), part)
  return 'taken'
}

/** Every page that was done is on record before the next begins: a call that dies repeats one page. */
const workOnPages = async (
  deps: BackfillDeps,
  { run: id, part: index }: { run: string; part: number },
  deadline: Deadline,
): Promise<Worked> => {
  const { clock } = deps.weights
  const record = await readPart(deps.state, id, index)
  if (!record) return 'stopped'
  const { part } = record
  let { version } = record
  const pace: Pace = { sinceMs: clock.now(), items: 0, bytes: 0, readUnits: 0 }
  const goOn = async (): Promise<Worked> => {
    await deps.queue.send([{ lifeboat: 'backfill', action: 'work', run: id, part: index }])
    return 'goes on'
  }
  while (part.phase !== 'ended') {
    const run = await requireRun(deps.state, id)
    if (run.status !== 'running') return endStopped(deps, run, { part, version, index })
    if (deadline.remainingMs() < reserveMs) return goOn()
    const ahead = aheadMs(pace, run.limits, run.parts, clock.now())
    if (ahead > 0) {
      await deps.wait(Math.min(ahead, waitMsMax))
      continue
    }
    const before = { counts: { ...part.counts }, text: JSON.stringify(part) }
    let stepped: Step
    try {
      stepped = await step(deps, run, { part, index, pace })
    } catch (error) {
      if (!(error instanceof LifeboatError) || error.retryable) throw error
      await fail(deps, id, error)
      continue
    }
    if (stepped === 'ended') part.phase = 'ended'
    if (JSON.stringify(part) !== before.text) {
      if (!(await writePart(deps.state, id, index, { part, version }))) return taken(deps, id, part)
      version += 1
      metrics(deps, before.counts, part)
    }
    if (typeof stepped === 'object') {
      pace.items += stepped.done.items
      pace.bytes += stepped.done.bytes
      pace.readUnits += stepped.done.readUnits
    } else if (stepped !== 'ended') await deps.wait(pollMs)
    // Another part may wait for a place to run in.
    if (stepped === 'others') return goOn()
  }
  await conclude(deps, id)
  return 'ended'
}

/**
 * Works on a part. `isLast`: the queue gives the message up when this fails, and nothing would go on or say why; so what a
 * retry has not cured ends the run. An outage is waited out by the queue, which sends such a message again.
 */
export const workOn = async (
  deps: BackfillDeps,
  work: { run: string; part: number },
  deadline: Deadline,
  isLast = false,
): Promise<Worked> => {
  try {
    return await workOnPages(deps, work, deadline)
  } catch (error) {
    if (!isLast || isRetryable(error)) throw error
    await fail(deps, work.run, error)
    return workOnPages(deps, work, deadline)
  }
}
