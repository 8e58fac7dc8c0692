import * as z from 'zod'
import { NotFoundError } from '../errors.ts'
import type { Random, Telemetry } from '../ports.ts'
import type { Deadline } from '../weights/deps.ts'
import type { ProofState } from './proof-state.ts'
import { concludeReport, type Report, writeReport } from './report.ts'
import { emptyTally, type Tally, tallySchema } from './tally.ts'
import { firstPlace, releaseNames, type ValidateDeps, validateFrom, validateReleases } from './validate.ts'

/** Runs of the validator that go on from call to call, their reports and what the ledger keeps of them. */

export type ValidateRunDeps = ValidateDeps & { state: ProofState; telemetry: Telemetry; random: Random }

const hourMs = 3_600_000
/** A new run begins so long after the start of the last one. */
const runEveryMs = 24 * hourMs
/** Sooner where something was sent to be copied anew, to see what became of it; then after twice as long each time. */
const runAgainMs = hourMs

/** The record `validate` of the proof state. */
export const validateStateSchema = z.object({
  run: z
    .object({
      startedAt: z.iso.datetime(),
      place: z.object({ phase: z.enum(['releases', 'objects', 'pending']), name: z.string(), offset: z.number() }),
      tally: tallySchema,
    })
    .optional(),
  /** Of the last run that came to its end. */
  last: z
    .object({
      startedAt: z.iso.datetime(),
      at: z.iso.datetime(),
      outcome: z.enum(['passed', 'failed', 'incomplete']),
      report: z.string(),
      findings: z.number(),
      /** Runs up to this one, in a row, that sent something to be copied anew. */
      sentInARow: z.number(),
    })
    .optional(),
  lastPassedAt: z.iso.datetime().optional(),
})
export type ValidateState = z.infer<typeof validateStateSchema>

export type Validated = {
  /** `idle`: nothing was due; `continued`: the next call goes on; `overtaken`: another call did the same work first. */
  outcome: Report['outcome'] | 'idle' | 'continued' | 'overtaken'
  report?: string
  counts: Record<string, number>
  findings: number
}

const periodMs = (sentInARow: number): number =>
  sentInARow === 0 ? runEveryMs : Math.min(runEveryMs, runAgainMs * 2 ** (sentInARow - 1))

const isDue = ({ last }: ValidateState, nowMs: number): boolean =>
  !last || nowMs - Date.parse(last.startedAt) >= periodMs(last.sentInARow)

const sentInARowOf = ({ last }: ValidateState, { findings }: Tally): number =>
  findings.some(({ repaired }) => repaired === 'sent') ? (last?.sentInARow ?? 0) + 1 : 0

const conclude = (
  scope: string | null,
  startedAtMs: number,
  endedAtMs: number,
  tally: Tally,
  isComplete: boolean,
): Report =>
  concludeReport({ kind: 'validate', scope, startedAtMs, endedAtMs, ...tally, isComplete, looked: ['manifests'] })

const tell = (
  deps: ValidateRunDeps,
  tally: Tally,
  before: { chunks: number; findings: number },
  outcome?: Report['outcome'],
): void => {
  const { telemetry } = deps
  const found = tally.findingsTotal - before.findings
  telemetry.count('ChunksValidated', (tally.counts['chunks'] ?? 0) - before.chunks)
  // A run that looked at nothing has no findings and is a failure.
  telemetry.count('ValidationFailures', found === 0 && outcome === 'failed' && tally.findingsTotal === 0 ? 1 : found)
  for (const { kind, subject, detail, repaired } of tally.findings.slice(-found).slice(0, found === 0 ? 0 : 20))
    telemetry.log('error', `validate: ${kind}: ${subject}`, { stage: 'validate', detail, repaired })
}

const tellAge = (deps: ValidateRunDeps, { lastPassedAt }: ValidateState): void => {
  if (lastPassedAt === undefined) return
  deps.telemetry.count(
    'ValidationAgeSeconds',
    Math.max(0, (deps.clock.now() - Date.parse(lastPassedAt)) / 1000),
    'Seconds',
  )
}

/** Goes on with the run that is under way, or begins one where it is due. */
export const continueValidation = async (deps: ValidateRunDeps, deadline: Deadline): Promise<Validated> => {
  const kept = await deps.state.read('validate')
  const state: ValidateState = kept ? validateStateSchema.parse(kept.value) : {}
  const nowMs = deps.clock.now()
  if (!state.run && !isDue(state, nowMs)) {
    tellAge(deps, state)
    return { outcome: 'idle', counts: {}, findings: 0 }
  }
  const run = state.run ?? { startedAt: new Date(nowMs).toISOString(), place: firstPlace, tally: emptyTally() }
  const { tally } = run
  const before = { chunks: tally.counts['chunks'] ?? 0, findings: tally.findingsTotal }
  const place = await validateFrom(deps, deadline, run.place, tally)
  if (place) {
    tell(deps, tally, before)
    tellAge(deps, state)
    const written = await deps.state.write('validate', { ...state, run: { ...run, place, tally } }, kept?.version)
    return { outcome: written ? 'continued' : 'overtaken', counts: tally.counts, findings: tally.findingsTotal }
  }
  const report = conclude(null, Date.parse(run.startedAt), deps.clock.now(), tally, true)
  const name = await writeReport(deps.store, deps.random, report)
  const { outcome, endedAt, findingsTotal: findings } = report
  const lastPassedAt = outcome === 'passed' ? endedAt : state.lastPassedAt
  const sentInARow = sentInARowOf(state, tally)
  const next: ValidateState = {
    last: { startedAt: run.startedAt, at: endedAt, outcome, report: name, findings, sentInARow },
    ...(lastPassedAt === undefined ? {} : { lastPassedAt }),
  }
  const written = await deps.state.write('validate', next, kept?.version)
  tell(deps, tally, before, outcome)
  tellAge(deps, next)
  deps.telemetry.log('info', `validate ${outcome}`, { stage: 'validate', report: name, ...tally.counts })
  return { outcome: written ? outcome : 'overtaken', report: name, counts: tally.counts, findings }
}

/** Validates a model (or one version of it) in this call alone and reports. Throws NotFoundError where there is none. */
export const validateModel = async (
  deps: ValidateRunDeps,
  deadline: Deadline,
  model: string,
  version?: string,
): Promise<Validated> => {
  const startedAtMs = deps.clock.now()
  const tally = emptyTally()
  const scope = version === undefined ? model : `${model}@${version}`
  const names = await releaseNames(deps.store, model, version)
  if (names.length === 0) throw new NotFoundError(`the replica has no release of ${scope}`)
  const isComplete = await validateReleases(deps, deadline, names, tally)
  const report = conclude(scope, startedAtMs, deps.clock.now(), tally, isComplete)
  const name = await writeReport(deps.store, deps.random, report)
  tell(deps, tally, { chunks: 0, findings: 0 }, report.outcome)
  return { outcome: report.outcome, report: name, counts: tally.counts, findings: tally.findingsTotal }
}
