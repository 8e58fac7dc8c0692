import * as z from 'zod'
import { CorruptError } from '../errors.ts'
import { ruleOfTable } from '../features/change.ts'
import type { Config } from '../config.ts'
import type { BlobStore } from '../ports.ts'
import type { Deadline } from '../weights/deps.ts'
import { compareRows } from './compare-rows.ts'
import { partsRefSchema, readParts, writeParts } from './parts.ts'
import type { ProofState } from './proof-state.ts'
import { concludeReport, leavesAllRight, type Report, writeReport } from './report.ts'
import { recentHours } from './rows-phases.ts'
import {
  beginWork,
  type CompareDeps,
  packWork,
  type RowsMode,
  type RowsWork,
  runSchema,
  unpackWork,
} from './rows-work.ts'

/**
 * The comparison of a table as a schedule calls it: what changed lately every hour, the whole table every day. A run goes on
 * over as many calls as it takes, and ends with a report in the replica. Its record is `rows/TABLE`.
 */
export type CheckRowsDeps = CompareDeps & {
  config: Config
  store: BlobStore
  state: ProofState
  wait(ms: number): Promise<void>
}

const hourMs = 3_600_000
const everyMs = { recent: hourMs, full: 24 * hourMs } as const
const reserveMs = 60_000
const saveEveryMs = 60_000
/** What was repaired is found by no later look: a call that dies must not take what it found with it. */
const foundSaveEveryMs = 5000
const pollMs = 5000
/** A call that only waits for so long leaves the rest to the next one. */
const waitedMaxMs = 180_000

const stateSchema = z.object({
  recentAt: z.number().optional(),
  fullAt: z.number().optional(),
  /** When the last full run ended after which all was right, if need be after its repairs. */
  provenAt: z.number().optional(),
  run: runSchema.optional(),
  /** Of the run: what is too large for this record. */
  parts: partsRefSchema.optional(),
  last: z
    .object({ at: z.string(), outcome: z.string(), report: z.string().nullable(), findings: z.number() })
    .optional(),
})
type State = z.infer<typeof stateSchema>

export type Asked = { mode?: RowsMode; repair?: boolean }

/** The mode that is due; a full comparison is one of what changed lately, too. */
const dueMode = (state: State, now: number): RowsMode | undefined => {
  if (now - (state.fullAt ?? 0) >= everyMs.full) return 'full'
  return now - Math.max(state.recentAt ?? 0, state.fullAt ?? 0) >= everyMs.recent ? 'recent' : undefined
}

/** A run that was left and cannot be read any more is begun anew. */
const openWork = async (
  deps: CheckRowsDeps,
  table: string,
  state: State,
  asked: Asked,
): Promise<RowsWork | undefined> => {
  const rule = ruleOfTable(deps.config, table)
  const { run, parts } = state
  try {
    if (run && parts) return unpackWork(rule, run, await readParts(deps.state, recordName(table), parts))
  } catch (error) {
    if (!(error instanceof CorruptError)) throw error
    deps.telemetry.log('warn', error.message, { stage: 'compare-rows', table })
  }
  const now = deps.clock.now()
  const mode = run?.mode ?? asked.mode ?? dueMode(state, now)
  return mode && beginWork(rule, { mode, repair: run?.repair ?? asked.repair ?? true, startedAt: now })
}

const recordName = (table: string): string => `rows/${table}`

/** When the last run of a table ended, in ms; 0: none ever did. */
export const lastComparedAt = async (state: ProofState, table: string): Promise<number> => {
  const stored = await state.read(recordName(table))
  const { last } = stateSchema.safeParse(stored?.value).data ?? {}
  return last ? Date.parse(last.at) : 0
}

/** What was looked at, and what it comes to; a comparison of nothing with nothing is a failure. */
export const reportOf = ({ rule, run }: RowsWork, endedAtMs: number): Report => {
  const { counts } = run
  const isEmpty = counts.items + counts.rows + counts.changedLately === 0
  const detail = 'neither the source nor the replica has a row: nothing was compared'
  const nothing = { kind: 'nothing-compared', subject: rule.name, detail, repaired: 'no' } as const
  return concludeReport({
    kind: 'rows',
    scope: run.mode === 'full' ? rule.name : `${rule.name}, changes of ${recentHours} hours`,
    counts,
    findings: isEmpty ? [nothing, ...run.findings] : run.findings,
    findingsTotal: run.findingsTotal + (isEmpty ? 1 : 0),
    startedAtMs: run.startedAt,
    endedAtMs,
    isComplete: counts.unsettled === 0,
    looked: ['items', 'rows', 'changedLately'],
  })
}

const conclude = async (deps: CheckRowsDeps, work: RowsWork): Promise<{ report: Report; name: string }> => {
  const report = reportOf(work, deps.clock.now())
  const { items, changedLately } = work.run.counts
  deps.telemetry.count('RowsCompared', items + changedLately)
  deps.telemetry.count('ValidationFailures', report.findingsTotal)
  return { report, name: await writeReport(deps.store, deps.random, report) }
}

type Save = () => Promise<boolean>

/** Works until it is done, or the call's time is. */
const advance = async (
  deps: CheckRowsDeps,
  work: RowsWork,
  { save, deadline }: { save: Save; deadline: Deadline },
): Promise<'done' | 'goes on' | 'taken'> => {
  let savedAt = deps.clock.now()
  let waitedMs = 0
  const leave = async (): Promise<'goes on' | 'taken'> => ((await save()) ? 'goes on' : 'taken')
  let hasFound = false
  for await (const step of compareRows(deps, work)) {
    if (step.kind === 'found') {
      hasFound = true
      deps.telemetry.count('RowsDifferent', 1)
      deps.telemetry.log('error', 'a row differs', { stage: 'compare-rows', ...step.finding })
    }
    if (deadline.remainingMs() < reserveMs || waitedMs >= waitedMaxMs) return leave()
    if (step.kind === 'waiting') {
      waitedMs += pollMs
      await deps.wait(pollMs)
    }
    if (deps.clock.now() - savedAt < (hasFound ? foundSaveEveryMs : saveEveryMs)) continue
    if (!(await save())) return 'taken'
    savedAt = deps.clock.now()
    hasFound = false
  }
  return 'done'
}

export type RowsChecked = { outcome: 'not due' | 'goes on' | 'done' | 'taken'; report?: Report; reportName?: string }

/** Goes on with the table's run that was left, or begins the one that is due or asked for. */
export const checkRows = async (
  deps: CheckRowsDeps,
  table: string,
  deadline: Deadline,
  asked: Asked = {},
): Promise<RowsChecked> => {
  const name = recordName(table)
  const stored = await deps.state.read(name)
  let state = stored ? stateSchema.parse(stored.value) : {}
  let version = stored?.version
  const work = await openWork(deps, table, state, asked)
  if (!work) return { outcome: 'not due' }
  const write = async (next: State): Promise<boolean> => {
    const isWritten = await deps.state.write(name, next, version)
    version = (version ?? 0) + 1
    state = next
    return isWritten
  }
  const save: Save = async () => {
    const packed = { bytes: packWork(work), stamp: deps.random.hex(8) }
    return write({ ...state, run: work.run, parts: await writeParts(deps.state, name, packed, state.parts) })
  }
  const outcome = await advance(deps, work, { save, deadline })
  if (outcome !== 'done') return { outcome }
  const { report, name: reportName } = await conclude(deps, work)
  const { run: _run, ...rest } = state
  await write({
    ...rest,
    [work.run.mode === 'full' ? 'fullAt' : 'recentAt']: work.run.startedAt,
    ...(work.run.mode === 'full' && leavesAllRight(report) ? { provenAt: Date.parse(report.endedAt) } : {}),
    last: { at: report.endedAt, outcome: report.outcome, report: reportName, findings: report.findingsTotal },
  })
  deps.telemetry.count('RowsDifferent', 0)
  return { outcome, report, reportName }
}
