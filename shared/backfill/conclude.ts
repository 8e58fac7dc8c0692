import { hash } from 'node:crypto'
import { forEachBounded } from '../bounded.ts'
import { concludeReport, type Report } from '../proof/report.ts'
import { toBytes } from '../weights/manifest.ts'
import { endCancelled } from '../weights/close.ts'
import type { ObjectRow } from '../weights/ledger.ts'
import type { BackfillDeps } from './deps.ts'
import { changeRun, readParts, requireRun } from './records.ts'
import { isOpen, type Part, type Run, subjectOf } from './run.ts'
import { pricesOf } from './prices.ts'
import { spentOf } from './quantities.ts'

/** How a run ends: nothing of it stays on its way, and its account is kept in the replica. */

const endsInFlight = 16

/** Ends what a stopped run has on its way, also what a call that died did not write down. */
export const endInFlight = async (deps: BackfillDeps, run: Run, part: Part): Promise<void> => {
  if (run.spec.kind !== 'objects' || isOpen(run) || run.status === 'done') return
  const { weights } = deps
  const end = async (row: ObjectRow | undefined): Promise<void> => {
    if (row?.backfill === run.id) await endCancelled(weights, row)
  }
  // The index lags behind the rows: what was planned last may not be in it.
  await forEachBounded(part.inFlight, endsInFlight, async ([traceId]) => end(await weights.objects.get(traceId)))
  await forEachBounded(weights.objects.pending('backfill'), endsInFlight, end)
  part.inFlight = []
}

export const sumOf = (parts: readonly Part[]): Record<string, number> => {
  const counts: Record<string, number> = {}
  for (const part of parts)
    for (const [name, count] of Object.entries(part.counts)) counts[name] = (counts[name] ?? 0) + count
  return counts
}

/** Where a part is, in words. */
export const whereOf = (run: Run, part: Part, index: number): string => {
  const at = part.cursor === null ? 'the start' : JSON.stringify(part.cursor)
  const name = run.parts === 1 ? 'the listing' : `part ${index + 1} of ${run.parts}`
  return part.phase === 'pages' ? `${name} is at ${at}` : `${name} was left behind ${at}`
}

const reportOf = (run: Run, parts: readonly Part[], endedAtMs: number): Report => {
  const failure =
    run.status === 'failed'
      ? [{ kind: 'backfill-failed', subject: subjectOf(run.spec), detail: run.why ?? '', repaired: 'no' as const }]
      : []
  const findings = [...failure, ...parts.flatMap(({ refused }) => refused)]
  const counts = sumOf(parts)
  const report = concludeReport({
    kind: 'backfill',
    scope: subjectOf(run.spec),
    counts,
    findings,
    findingsTotal: parts.reduce((sum, { refusedTotal }) => sum + refusedTotal, failure.length),
    startedAtMs: run.startedAt,
    endedAtMs,
    // What an event has under way is not in the replica yet, and nothing here sees it arrive.
    isComplete: run.status === 'done' && (counts['underWay'] ?? 0) === 0,
    looked: ['read'],
  })
  const where = run.status === 'done' ? [] : parts.map((part, index) => whereOf(run, part, index))
  const spent = spentOf(run.spec, counts, pricesOf(run.prices))
  return { ...report, backfill: { run: run.id, status: run.status, where, estimate: run.estimate, spent } }
}

/**
 * Once every part has ended: the run is closed and its report written. The name follows from the run and its end, so that of
 * two parts that end at once, and of a call that dies in between, there is one report.
 */
export const conclude = async (deps: BackfillDeps, id: string): Promise<void> => {
  const { clock, telemetry } = deps.weights
  const before = await requireRun(deps.state, id)
  const parts = await readParts(deps.state, before)
  if (before.report !== undefined || parts.some(({ phase }) => phase !== 'ended')) return
  const { run } = await changeRun(deps.state, id, (now) =>
    isOpen(now) ? { ...now, status: 'done', endedAt: clock.now() } : undefined,
  )
  const report = reportOf(run, parts, run.endedAt ?? run.startedAt)
  const name = `reports/backfill/${report.endedAt}-${hash('sha256', id, 'hex').slice(0, 16)}.json`
  await deps.store.create(name, toBytes(report), { contentType: 'application/json' })
  await changeRun(deps.state, id, (now) => (now.report === undefined ? { ...now, report: name } : undefined))
  telemetry.log('info', `backfill ${run.status}`, { stage: 'backfill', run: id, report: name, ...report.counts })
}
