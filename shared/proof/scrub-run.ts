import * as z from 'zod'
import type { Config } from '../config.ts'
import { InvalidInputError } from '../errors.ts'
import type { BlobStore, Clock, Random, Telemetry } from '../ports.ts'
import type { Deadline } from '../weights/deps.ts'
import type { ChunkIndex } from '../weights/ledger.ts'
import { createLook } from './look.ts'
import type { ProofState } from './proof-state.ts'
import { concludeReport, type Report, writeReport } from './report.ts'
import type { Repairer } from './repair.ts'
import { prefixesOfSlice, slices, wrongSchema } from './scrub-body.ts'
import { findNamers, placeOf } from './scrub-named.ts'
import { mendNamers, readBodies, type SettleDeps, settleWrong } from './scrub.ts'
import { count, emptyTally, type Tally, tallySchema } from './tally.ts'
import type { ObjectCheck } from './validate-object.ts'

/** One slice a day, however many calls and days it takes: none is passed over, and what is behind is caught up. */

const dayMs = 86_400_000
const reserveMs = 60_000
/** Where lifeboat.yml says nothing: what leaves Google costs about 0.12 USD a GiB. */
const gibPerDayDefault = 10

const sliceSchema = z.object({
  number: z
    .int()
    .min(0)
    .max(slices - 1),
  startedAt: z.iso.datetime(),
  place: z.object({ prefix: z.number(), name: z.string() }),
  isRead: z.boolean(),
  tally: tallySchema,
  /** Bodies that are wrong, until it is known who names them. */
  wrong: z.array(wrongSchema),
  /** The manifest at which the search for who names them goes on. */
  asked: z.string(),
})
type Slice = z.infer<typeof sliceSchema>

/** The record `scrub` of the proof state; days are counted from 1970. */
export const scrubStateSchema = z.object({
  firstDay: z.number(),
  /** Slices that were finished since then; the next one is this modulo 30. */
  done: z.number(),
  /** The last day on which one was finished that had anything in it. */
  finishedDay: z.number(),
  day: z.number(),
  dayBytes: z.number(),
  slice: sliceSchema.optional(),
  /** Bytes of each slice when it was last read. */
  sizes: z.array(z.number().nullable()),
  last: z
    .object({
      at: z.iso.datetime(),
      outcome: z.enum(['passed', 'failed', 'incomplete']),
      report: z.string(),
      findings: z.number(),
      slice: z.number(),
    })
    .optional(),
  coverageDays: z.number().nullable().default(null),
})
export type ScrubState = z.infer<typeof scrubStateSchema>

export type ScrubRunDeps = {
  config: Config
  store: BlobStore
  clock: Clock
  random: Random
  telemetry: Telemetry
  state: ProofState
  ledger?: ObjectCheck['ledger']
  repairer?: Repairer
  chunks?: Pick<ChunkIndex, 'forget'>
}

export type Scrubbed = {
  /** `idle`: the day's slice is finished; `spent`: the day's budget is; `continued`: the next call goes on. */
  outcome: Report['outcome'] | 'idle' | 'spent' | 'continued' | 'overtaken'
  report?: string
  counts: Record<string, number>
  findings: number
}

const firstState = (today: number): ScrubState => ({
  firstDay: today,
  done: 0,
  finishedDay: today - 1,
  day: today,
  dayBytes: 0,
  sizes: Array.from({ length: slices }, () => null),
  coverageDays: null,
})

const mayBegin = (state: ScrubState, today: number): boolean =>
  state.finishedDay < today || state.done <= today - state.firstDay

const openSlice = (number: number, nowMs: number): Slice => ({
  number,
  startedAt: new Date(nowMs).toISOString(),
  place: { prefix: 0, name: '' },
  isRead: false,
  tally: emptyTally(),
  wrong: [],
  asked: '',
})

/** In how many days everything is read: a slice a day at best, and no more than the budget. */
const coverageOf = ({ sizes }: ScrubState, bytesPerDay: number): number | null => {
  const known = sizes.filter((bytes) => bytes !== null)
  if (known.length === 0) return null
  const total = (known.reduce((sum, bytes) => sum + bytes, 0) / known.length) * slices
  return Math.max(slices, total / bytesPerDay)
}

type Work = { deps: ScrubRunDeps; check: ObjectCheck; bytesPerDay: number; read: { bodies: number; bytes: number } }

/** Finds who names the wrong bodies, and settles them when that is known. False at the deadline. */
const settle = async ({ deps, check }: Work, slice: Slice): Promise<boolean> => {
  if (slice.wrong.length === 0) return true
  const settling: SettleDeps = { ...deps, mayRecord: true }
  const { namers, stoppedAt } = await findNamers(check, new Set(slice.wrong.map(placeOf)), slice.asked)
  await mendNamers(settling, slice.wrong, namers)
  slice.asked = stoppedAt ?? ''
  if (stoppedAt !== undefined) return false
  await settleWrong(settling, slice.tally, slice.wrong)
  slice.wrong = []
  return true
}

/** Reads on in the slice within deadline and budget. `done`: all of it was read, and what is wrong is settled. */
const readOn = async (work: Work, state: ScrubState, slice: Slice): Promise<'done' | 'late' | 'spent'> => {
  const { deps, check, bytesPerDay, read } = work
  const take = (bytes: number): boolean => {
    if (state.dayBytes + bytes > bytesPerDay) return false
    state.dayBytes += bytes
    return true
  }
  // What an earlier call found wrong is settled first: who names it was being asked.
  if (slice.asked !== '' && !(await settle(work, slice))) return 'late'
  while (!slice.isRead) {
    const before = { ...slice.tally.counts }
    const { store } = deps
    const ended = await readBodies(
      { store, isLate: check.isLate, take },
      prefixesOfSlice(slice.number),
      slice.place,
      slice.tally,
      slice.wrong,
    )
    for (const name of ['bodies', 'bytes'] as const) read[name] += (slice.tally.counts[name] ?? 0) - (before[name] ?? 0)
    if (ended.kind === 'done') slice.isRead = true
    else slice.place = ended.place
    if (!(await settle(work, slice))) return 'late'
    if (ended.kind === 'spent' && state.dayBytes === 0)
      throw new InvalidInputError(
        `budget.scrubGiBPerDay is ${bytesPerDay} bytes, and one body has ${ended.bytes}: nothing can be read back within it`,
      )
    if (ended.kind === 'spent') return 'spent'
    if (ended.kind === 'late' && check.isLate()) return 'late'
  }
  return 'done'
}

const finish = async (
  { deps, bytesPerDay }: Work,
  state: ScrubState,
  run: { startedAt: string; tally: Tally; scope: string | null; slice: number },
  today: number,
): Promise<Report> => {
  const report = concludeReport({
    kind: 'scrub',
    scope: run.scope,
    startedAtMs: Date.parse(run.startedAt),
    endedAtMs: deps.clock.now(),
    ...run.tally,
    isComplete: true,
    looked: ['bodies'],
  })
  const name = await writeReport(deps.store, deps.random, report)
  state.last = {
    at: report.endedAt,
    outcome: report.outcome,
    report: name,
    findings: report.findingsTotal,
    slice: run.slice,
  }
  state.finishedDay = today
  state.coverageDays = coverageOf(state, bytesPerDay)
  deps.telemetry.log('info', `scrub ${report.outcome}`, {
    stage: 'scrub',
    slice: run.slice,
    report: name,
    ...run.tally.counts,
  })
  return report
}

/** Reads slices until the deadline, the day's budget or the day's last slice. Empty ones are passed until one has anything. */
const readSlices = async (work: Work, state: ScrubState, today: number): Promise<Scrubbed> => {
  const { deps } = work
  let concluded: Report | undefined
  const answer = (outcome: Scrubbed['outcome'], tally: Tally): Scrubbed => ({
    outcome: concluded && outcome !== 'continued' ? concluded.outcome : outcome,
    ...(concluded && state.last ? { report: state.last.report } : {}),
    counts: concluded?.counts ?? tally.counts,
    findings: concluded?.findingsTotal ?? tally.findingsTotal,
  })
  let empty = 0
  while (state.slice || mayBegin(state, today)) {
    const slice = state.slice ?? openSlice(state.done % slices, deps.clock.now())
    state.slice = slice
    const ended = await readOn(work, state, slice)
    if (ended !== 'done') return answer(ended === 'late' ? 'continued' : 'spent', slice.tally)
    const { counts } = slice.tally
    state.sizes[slice.number] = counts['bytes'] ?? 0
    state.done += 1
    delete state.slice
    if ((counts['bodies'] ?? 0) === 0 && slice.tally.findingsTotal === 0 && empty < slices - 1) {
      empty += 1
      continue
    }
    count(slice.tally, 'emptySlices', empty)
    const scope = empty === slices - 1 && (counts['bodies'] ?? 0) === 0 ? null : `slice ${slice.number}`
    concluded = await finish(work, state, { ...slice, scope, slice: slice.number }, today)
    empty = 0
  }
  return answer('idle', emptyTally())
}

const tell = (deps: ScrubRunDeps, { read }: Work, state: ScrubState, found: number): void => {
  deps.telemetry.count('ChunksScrubbed', read.bodies)
  deps.telemetry.count('BytesScrubbed', read.bytes, 'Bytes')
  deps.telemetry.count('ValidationFailures', found)
  if (state.coverageDays !== null) deps.telemetry.count('ScrubCoverageDays', state.coverageDays)
}

/** Goes on with the slice of the day, or with the one of a day before that was not finished. */
export const scrub = async (deps: ScrubRunDeps, deadline: Deadline): Promise<Scrubbed> => {
  const kept = await deps.state.read('scrub')
  const today = Math.floor(deps.clock.now() / dayMs)
  const state = kept ? scrubStateSchema.parse(kept.value) : firstState(today)
  if (state.day !== today) Object.assign(state, { day: today, dayBytes: 0 })
  const check: ObjectCheck = {
    store: deps.store,
    look: createLook(deps.store),
    isLate: () => deadline.remainingMs() < reserveMs,
    ...(deps.ledger ? { ledger: deps.ledger } : {}),
  }
  const bytesPerDay = Math.floor((deps.config.budget?.scrubGiBPerDay ?? gibPerDayDefault) * 2 ** 30)
  const work: Work = { deps, check, bytesPerDay, read: { bodies: 0, bytes: 0 } }
  const before = state.slice?.tally.findingsTotal ?? 0
  const result = await readSlices(work, state, today)
  // A scrub that read nothing has no findings and is a failure.
  const failures = result.outcome === 'failed' && result.findings === 0 ? 1 : Math.max(0, result.findings - before)
  tell(deps, work, state, failures)
  const written = await deps.state.write('scrub', state, kept?.version)
  return written ? result : { ...result, outcome: 'overtaken' }
}
