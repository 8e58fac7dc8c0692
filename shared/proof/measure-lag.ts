import type { Deadline } from '../weights/deps.ts'
import { type Attempts, createAttempts } from './attempt.ts'
import { type Heartbeat, writeHeartbeat } from './heartbeat.ts'
import { ageSeconds, worstOf } from './lag.ts'
import type { LagDeps } from './lag-deps.ts'
import { measureObjects, type ObjectsMeasured } from './lag-objects.ts'
import { measureRows, type RowsMeasured, type TableMeasured } from './lag-rows.ts'
import { emptyLagState, type LagState, readLagState, writeLagState } from './lag-state.ts'
import { readProofs } from './last-proofs.ts'
import { type ProofMetric, proofMetrics } from './metrics.ts'
import { type ProofAges, proofAges } from './proof-ages.ts'

const everySeconds = 60

type Measured = {
  objects: ObjectsMeasured
  rows: RowsMeasured
  proofs: Heartbeat['proofs']
  /** undefined where records could not be read. */
  ages: ProofAges | undefined
}

const iso = (ms: number | undefined): string | null => (ms === undefined ? null : new Date(ms).toISOString())

const heartbeatOf = (deps: LagDeps, nowMs: number, { objects, rows, proofs }: Measured) => ({
  at: new Date(nowMs).toISOString(),
  stage: deps.stage,
  everySeconds,
  objects: {
    ...objects.lag,
    pending: 'value' in objects.pending ? objects.pending.value : { count: 0, bytes: 0, oldest: null },
    queues: 'value' in objects.queues ? objects.queues.value.queues : [],
    deadLetters: 'value' in objects.queues ? objects.queues.value.deadLetters : 0,
    canaryAt: iso(objects.canaries.at),
  },
  tables: rows.tables.map(({ table, target, lag, featureTime, quarantined }) => ({
    table,
    target,
    ...lag,
    featureTime: iso(featureTime),
    quarantined: quarantined?.count ?? 0,
    oldestQuarantinedAt: iso(quarantined?.oldestAt),
  })),
  proofs,
})

/** What the canaries of rows say together; undefined where there are none or one says nothing. */
const rowCanaryAt = ({ config }: LagDeps, tables: readonly TableMeasured[]): number | undefined => {
  const withCanary = new Set(config.tables.filter(({ canary }) => canary).map(({ name }) => name))
  const times = tables.filter(({ table }) => withCanary.has(table)).map(({ canaryAt }) => canaryAt)
  const known = times.filter((time) => time !== undefined)
  return known.length > 0 && known.length === times.length ? Math.min(...known) : undefined
}

/** What is unknown is left out: alarms take missing data for a breach. */
const gaugesOf = (
  deps: LagDeps,
  nowMs: number,
  { objects, rows, proofs, ages }: Measured,
): [ProofMetric, number | null | undefined][] => {
  const ageOf = (atMs: number | undefined): number | undefined =>
    atMs === undefined ? undefined : ageSeconds(atMs, nowMs)
  const pending = 'value' in objects.pending ? objects.pending.value : undefined
  const { validate } = proofs
  const all: [ProofMetric, number | null | undefined][] = [
    ['OldestPendingSeconds', objects.lag.lagSeconds],
    ['PendingObjects', pending?.count],
    ['PendingBytes', pending?.bytes],
    ['DeadLetters', 'value' in objects.queues ? objects.queues.value.deadLetters : undefined],
    ['ObjectCanaryAgeSeconds', ageOf(objects.canaries.at)],
    ['ValidationAgeSeconds', validate?.outcome === 'passed' ? ageOf(Date.parse(validate.at)) : undefined],
    ['ReconcileAgeSeconds', ages?.reconcile],
  ]
  if (rows.tables.length === 0) return all
  const lags = rows.tables.map(({ lag }) => lag)
  const worst = worstOf(
    lags.map(({ lagSeconds, unknown }) =>
      lagSeconds === null ? { unknown: unknown.join('; ') } : { ageSeconds: lagSeconds },
    ),
  )
  return [
    ...all,
    ['FeatureLagSeconds', worst.lagSeconds],
    ['QuarantinedChanges', rows.quarantined],
    ['RowsComparedAgeSeconds', ages?.rows],
    ['RowCanaryAgeSeconds', ageOf(rowCanaryAt(deps, rows.tables))],
  ]
}

const stateAfter = (before: LagState, { objects, rows, ages }: Measured): LagState => ({
  queues: 'value' in objects.queues ? objects.queues.value.seen : before.queues,
  objects: objects.canaries.canaries,
  tables: Object.fromEntries(
    rows.tables.flatMap(({ table, placement, featureTime }) =>
      placement ? [[table, { ...placement, featureTime }] as const] : [],
    ),
  ),
  unproven: ages?.unproven ?? before.unproven,
})

/** Says in the log why a lag is unknown. */
const logUnknown = ({ telemetry }: LagDeps, { objects, rows }: Measured): void => {
  const lags = [{ of: 'objects', lag: objects.lag }, ...rows.tables.map(({ table, lag }) => ({ of: table, lag }))]
  for (const { of, lag } of lags)
    if (lag.lagSeconds === null)
      telemetry.log('error', 'the lag is unknown', { stage: 'lag', of, reasons: lag.unknown })
}

/** What is kept of the call's time for what follows the measurements, and for the end. */
const recordMs = 12_000
const endMs = 2000

/**
 * Measures how far the replica is behind, counts it and writes the minute's heartbeat. What cannot be measured is unknown,
 * with its reason, and keeps nothing else from being measured.
 */
export const measureLag = async (deps: LagDeps, deadline: Deadline): Promise<void> => {
  const { telemetry, clock, config } = deps
  const logged =
    (attempt: Attempts) =>
    async <T>(part: string, work: () => Promise<T>): Promise<T | undefined> => {
      const done = await attempt(part, work)
      if ('value' in done) return done.value
      telemetry.log('error', done.reason, { stage: 'lag', error: done.error })
      return undefined
    }
  const attempt = createAttempts(deps, deadline, recordMs)
  const record = logged(createAttempts(deps, deadline, endMs))
  const before = await logged(attempt)('what was seen before', () => readLagState(deps.state))
  const value = before?.value ?? emptyLagState
  const names = config.tables.map(({ name }) => name)
  const [objects, rows, proofs] = await Promise.all([
    measureObjects(deps, attempt, value),
    measureRows(deps, attempt, value, deadline),
    logged(attempt)('last proofs', () => readProofs(deps.state, names)),
  ])
  const nowMs = clock.now()
  const measured = {
    objects,
    rows,
    proofs: proofs ?? { validate: null, scrub: null, reconcile: null, rows: [] },
    // Without what was seen before, what was never proven would begin to age now.
    ages: proofs && before && proofAges(proofs, names, value.unproven, nowMs),
  }
  for (const [metric, gauge] of gaugesOf(deps, nowMs, measured))
    if (gauge !== null && gauge !== undefined) telemetry.count(metric, gauge, proofMetrics[metric])
  logUnknown(deps, measured)
  const heartbeat = heartbeatOf(deps, nowMs, measured)
  const [isWritten, name] = await Promise.all([
    // A state that could not be read is not written over.
    before && record('state', () => writeLagState(deps.state, stateAfter(value, measured), before.version)),
    record('heartbeat', () => writeHeartbeat(deps.store, heartbeat)),
  ])
  if (isWritten === false) telemetry.log('warn', 'another measurement ran at the same time', { stage: 'lag' })
  if (name !== undefined) telemetry.count('Heartbeats', 1)
  const lags = heartbeat.tables.map(({ table, lagSeconds }) => ({ table, lagSeconds }))
  const { lagSeconds, pending } = heartbeat.objects
  telemetry.log('info', 'measured', {
    stage: 'lag',
    lagSeconds,
    pending: pending.count,
    tables: lags,
    heartbeat: name ?? null,
  })
}
