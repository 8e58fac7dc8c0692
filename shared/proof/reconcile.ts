import { z } from 'zod'
import { mapInOrder } from '../bounded.ts'
import type { BlobStore, Clock, ObjectSource, Random, SourceVersionEntry, Telemetry, WorkQueue } from '../ports.ts'
import type { Config } from '../config.ts'
import type { Deadline } from '../weights/deps.ts'
import { traceIdOf, versionOf } from '../weights/identity.ts'
import type { ObjectLedger } from '../weights/ledger.ts'
import type { PlanMessage } from '../weights/messages.ts'
import { objectManifestName } from '../weights/names.ts'
import type { ProofState } from './proof-state.ts'
import type { Repairer } from './repair.ts'
import { concludeReport, type Finding, findingSchema, leavesAllRight, type Report, writeReport } from './report.ts'

/**
 * The source's listing against what Lifeboat knows: what no event announced is sent through the normal path, as an event
 * would. Every hour it looks up the versions of the last hours, every day all since Lifeboat began, and then also that each
 * manifest is in the replica. What was there before is a backfill's, and is counted only.
 */
export type ReconcileDeps = {
  config: Config
  source: Pick<ObjectSource, 'versionPages'>
  objects: Pick<ObjectLedger, 'get'>
  store: BlobStore
  objectsQueue: WorkQueue<PlanMessage>
  repairer: Pick<Repairer, 'object'>
  state: ProofState
  telemetry: Telemetry
  clock: Clock
  random: Random
}

const hourMs = 3_600_000
const recentHours = 3
const recentEveryMs = hourMs
const fullEveryMs = 24 * hourMs
/** The first run takes in what was written while the stack was being deployed. */
const beganBeforeMs = hourMs
const lookupsInFlight = 32
const reserveMs = 60_000
const stateName = 'reconcile'
/** The state is one item of DynamoDB, of at most 400 KB. */
const findingsKeptMax = 200

const countsSchema = z.object({
  buckets: z.number(),
  versions: z.number(),
  lookedUp: z.number(),
  pending: z.number(),
  ended: z.number(),
  tooYoung: z.number(),
  beforeLifeboat: z.number(),
  archived: z.number(),
  manifests: z.number(),
  sent: z.number(),
})
type Counts = z.infer<typeof countsSchema>

const runSchema = z.object({
  mode: z.enum(['recent', 'full']),
  startedAt: z.number(),
  bucketIndex: z.number(),
  cursor: z.object({ key: z.string(), versionId: z.string().exactOptional() }).optional(),
  counts: countsSchema,
  findings: z.array(findingSchema),
  findingsTotal: z.number(),
})
type Run = z.infer<typeof runSchema>

const stateSchema = z.object({
  /** Versions from before are a backfill's. */
  since: z.number(),
  recentAt: z.number().optional(),
  fullAt: z.number().optional(),
  /** When the last full run ended after which all was right, if need be after its repairs. */
  provenAt: z.number().optional(),
  run: runSchema.optional(),
  last: z
    .object({ at: z.string(), outcome: z.string(), report: z.string().nullable(), findings: z.number() })
    .optional(),
})
type State = z.infer<typeof stateSchema>

const noCounts: Counts = {
  buckets: 0,
  versions: 0,
  lookedUp: 0,
  pending: 0,
  ended: 0,
  tooYoung: 0,
  beforeLifeboat: 0,
  archived: 0,
  manifests: 0,
  sent: 0,
}

const begin = (mode: Run['mode'], startedAt: number): Run => ({
  mode,
  startedAt,
  bucketIndex: 0,
  counts: { ...noCounts },
  findings: [],
  findingsTotal: 0,
})

/** The run that goes on, or the one that is due; a full one is also a recent one. */
const dueRun = (state: State, now: number, asked: Run['mode'] | undefined): Run | undefined => {
  if (state.run) return state.run
  if (asked) return begin(asked, now)
  if (now - (state.fullAt ?? 0) >= fullEveryMs) return begin('full', now)
  return now - (state.recentAt ?? 0) >= recentEveryMs ? begin('recent', now) : undefined
}

type Look = { finding: Finding; send?: PlanMessage } | undefined

/** An event has a third of the RPO to be acted on before its object counts as unannounced. */
const graceMs = ({ config }: ReconcileDeps): number => config.rpo.objectsMinutes * (60_000 / 3)

const isSkipped = (deps: ReconcileDeps, state: State, run: Run, entry: SourceVersionEntry): boolean => {
  if (entry.etag === undefined) return true
  run.counts.versions += 1
  if (entry.lastModified > run.startedAt - graceMs(deps)) {
    run.counts.tooYoung += 1
    return true
  }
  return run.mode === 'recent' && entry.lastModified < Math.max(state.since, run.startedAt - recentHours * hourMs)
}

const look = async (
  deps: ReconcileDeps,
  state: State,
  run: Run,
  { bucket, entry }: { bucket: string; entry: SourceVersionEntry },
): Promise<Look> => {
  const { key, versionId, etag = '', lastModified } = entry
  const version = versionOf({ versionId, lastModified, etag })
  const traceId = traceIdOf(bucket, key, version)
  const row = await deps.objects.get(traceId)
  run.counts.lookedUp += 1
  const subject = `s3://${bucket}/${key}#${version}`
  const plan: PlanMessage = {
    lifeboat: 1,
    kind: 'plan',
    bucket,
    key,
    ...(versionId === undefined ? {} : { versionId }),
  }
  if (!row) {
    if (lastModified < state.since) {
      run.counts.beforeLifeboat += 1
      return undefined
    }
    if (entry.isArchived) {
      // Refused when its event came: nothing is on record of it but that.
      run.counts.archived += 1
      return undefined
    }
    const written = new Date(lastModified).toISOString()
    if (versionId === undefined && !entry.isLatest) {
      const detail = `from before the bucket kept versions, written ${written}: copy it onto itself to have it replicated`
      return { finding: { kind: 'unannounced', subject, detail, repaired: 'no' } }
    }
    return {
      finding: { kind: 'unannounced', subject, detail: `no event of it arrived; written ${written}`, repaired: 'sent' },
      send: plan,
    }
  }
  if (row.state === 'copying') run.counts.pending += 1
  else if (row.state === 'protected' || row.state === 'sealed')
    return run.mode === 'full'
      ? lookAtManifest(deps, run, { bucket, key, version, planId: row.planId, subject })
      : undefined
  else run.counts.ended += 1
  return undefined
}

type Sealed = { bucket: string; key: string; version: string; planId: string; subject: string }

const lookAtManifest = async (deps: ReconcileDeps, run: Run, sealed: Sealed): Promise<Look> => {
  const name = objectManifestName(sealed.bucket, sealed.key, sealed.version, sealed.planId)
  run.counts.manifests += 1
  if (await deps.store.stat(name)) return undefined
  const { repaired, why } = await deps.repairer.object(sealed, [])
  const detail = `the ledger says sealed, and ${name} is not in the replica: ${why}`
  return { finding: { kind: 'manifest-missing', subject: sealed.subject, detail, repaired } }
}

/** One page: looks up its versions in parallel and sends those that were never announced. */
const reconcilePage = async (
  deps: ReconcileDeps,
  state: State,
  run: Run,
  { bucket, entries }: { bucket: string; entries: readonly SourceVersionEntry[] },
): Promise<void> => {
  const wanted = entries.filter((entry) => !isSkipped(deps, state, run, entry))
  const sends: PlanMessage[] = []
  for await (const found of mapInOrder(wanted, lookupsInFlight, (entry) => look(deps, state, run, { bucket, entry }))) {
    if (!found) continue
    run.findingsTotal += 1
    if (run.findings.length < findingsKeptMax) run.findings.push(found.finding)
    if (found.send) sends.push(found.send)
  }
  if (sends.length > 0) run.counts.sent += await deps.objectsQueue.send(sends)
}

type Save = (run: Run) => Promise<boolean>

/** `done` when every bucket was listed to its end. */
const advance = async (
  deps: ReconcileDeps,
  { state, run, save }: { state: State; run: Run; save: Save },
  deadline: Deadline,
): Promise<'done' | 'goes on' | 'taken'> => {
  const { buckets } = deps.config
  while (run.bucketIndex < buckets.length) {
    const rule = buckets[run.bucketIndex]
    if (!rule) break
    for await (const page of deps.source.versionPages(rule.name, rule.prefix, run.cursor)) {
      await reconcilePage(deps, state, run, { bucket: rule.name, entries: page.entries })
      if (!page.next) break
      run.cursor = page.next
      if (!(await save(run))) return 'taken'
      if (deadline.remainingMs() < reserveMs) return 'goes on'
    }
    run.bucketIndex += 1
    run.counts.buckets += 1
    delete run.cursor
    if (!(await save(run))) return 'taken'
  }
  return 'done'
}

const conclude = async (deps: ReconcileDeps, run: Run): Promise<{ report: Report; name: string }> => {
  const report = concludeReport({
    kind: 'reconcile',
    scope: run.mode,
    counts: run.counts,
    findings: run.findings,
    findingsTotal: run.findingsTotal,
    startedAtMs: run.startedAt,
    endedAtMs: deps.clock.now(),
    isComplete: true,
    // A bucket may be empty: then its listing was looked at, and there is nothing to find.
    looked: ['buckets'],
  })
  return { report, name: await writeReport(deps.store, deps.random, report) }
}

export type Reconciled = { outcome: 'not due' | 'goes on' | 'done' | 'taken'; report?: Report; reportName?: string }

/**
 * Goes on with the run that was left, or begins the one that is due (or `asked` for), until it is done or time runs out; then
 * call again. Every page that was done is on record, so a call that dies repeats one page.
 */
export const reconcile = async (deps: ReconcileDeps, deadline: Deadline, asked?: Run['mode']): Promise<Reconciled> => {
  const now = deps.clock.now()
  const stored = await deps.state.read(stateName)
  const state = stored ? stateSchema.parse(stored.value) : { since: now - beganBeforeMs }
  const run = dueRun(state, now, asked)
  if (!run) return { outcome: 'not due' }
  let version = stored?.version
  const write = async (next: State): Promise<boolean> => {
    const isWritten = await deps.state.write(stateName, next, version)
    version = (version ?? 0) + 1
    return isWritten
  }
  const outcome = await advance(deps, { state, run, save: () => write({ ...state, run }) }, deadline)
  if (outcome !== 'done') return { outcome }
  const { report, name } = await conclude(deps, run)
  const { run: _run, ...rest } = state
  const next: State = {
    ...rest,
    recentAt: run.startedAt,
    ...(run.mode === 'full' ? { fullAt: run.startedAt } : {}),
    ...(run.mode === 'full' && leavesAllRight(report) ? { provenAt: Date.parse(report.endedAt) } : {}),
    last: { at: report.endedAt, outcome: report.outcome, report: name, findings: report.findingsTotal },
  }
  await write(next)
  deps.telemetry.count('ObjectsFoundByReconcile', run.counts.sent)
  return { outcome: 'done', report, reportName: name }
}
