import * as z from 'zod'
import { ConflictError, NotConfiguredError, RefusedError } from '../errors.ts'
import { reportSchema } from '../proof/report.ts'
import type { Deadline } from '../weights/deps.ts'
import { parseRecord } from '../weights/manifest.ts'
import { sumOf, whereOf } from './conclude.ts'
import type { BackfillDeps } from './deps.ts'
import { estimate, type Estimated, tallySchema } from './estimate.ts'
import { openChain } from './export.ts'
import { pricesOf } from './prices.ts'
import { checkAge, provenSince } from './proven.ts'
import { addRun, changeRun, readParts, readRunIds, readRuns, requireRun } from './records.ts'
import {
  isOpen,
  limitsSchema,
  newPart,
  overlaps,
  type Run,
  runIdSchema,
  specSchema,
  type Spec,
  subjectOf,
  type TableSpec,
} from './run.ts'

/** What an operator asks of backfills. */

const numbers = z.record(z.string(), z.number())
const asked = z.literal('backfill')
const ofRun = { lifeboat: asked, run: runIdSchema }

export const requestSchema = z.discriminatedUnion('action', [
  z.strictObject({
    lifeboat: asked,
    action: z.literal('start'),
    spec: specSchema,
    limits: limitsSchema.default({}),
    estimate: numbers.nullable().default(null),
    prices: numbers.exactOptional(),
  }),
  z.strictObject({
    lifeboat: asked,
    action: z.literal('estimate'),
    spec: specSchema,
    from: tallySchema.exactOptional(),
    prices: numbers.exactOptional(),
  }),
  z.strictObject({ lifeboat: asked, action: z.literal('list') }),
  z.strictObject({ ...ofRun, action: z.literal('show') }),
  z.strictObject({ ...ofRun, action: z.literal('pause') }),
  z.strictObject({ ...ofRun, action: z.literal('resume') }),
  z.strictObject({ ...ofRun, action: z.literal('cancel') }),
])
export type BackfillRequest = z.infer<typeof requestSchema>

/** A run as it is shown. */
export type Shown = Omit<Run, 'resumedAt' | 'since'> & {
  counts: Record<string, number>
  refused: { subject: string; reason: string }[]
  refusedTotal: number
  where: string[]
  inFlight: number
}

const listedMax = 50
const beganBeforeMs = 3_600_000
const sinceSchema = z.object({ since: z.number() })

/** When Lifeboat began, as reconcile has it. */
const lifeboatSince = async ({ state }: BackfillDeps, now: number): Promise<number> => {
  const record = await state.read('reconcile')
  return sinceSchema.safeParse(record?.value).data?.since ?? now - beganBeforeMs
}

export const checkConfigured = ({ weights: { config } }: Pick<BackfillDeps, 'weights'>, spec: Spec): void => {
  if (spec.kind === 'table') {
    if (config.tables.some(({ name }) => name === spec.table)) return
    throw new NotConfiguredError(`table ${spec.table} is not configured: add it to tables in lifeboat.yml`)
  }
  const { bucket, prefix } = spec
  const rules = config.buckets.filter(({ name }) => name === bucket)
  const isCovered = rules.some((rule) => prefix.startsWith(rule.prefix) || rule.prefix.startsWith(prefix))
  if (isCovered) return
  throw new NotConfiguredError(
    rules.length === 0
      ? `bucket ${bucket} is not configured: add it to buckets in lifeboat.yml`
      : `s3://${bucket}/${prefix} is outside of what lifeboat.yml replicates of the bucket`,
  )
}

/** Throws RefusedError where rows could not be written safely, and where there is nothing to bring in. */
const checkStart = async (deps: BackfillDeps, spec: Spec): Promise<void> => {
  const { source } = deps.weights
  if (spec.kind === 'table') return checkTable(deps, spec)
  for await (const { entries } of source.versionPages(spec.bucket, spec.prefix, undefined, 1)) {
    if (entries.length > 0) return
    break
  }
  throw new RefusedError(`there is nothing under s3://${spec.bucket}/${spec.prefix}`)
}

const checkTable = async (deps: BackfillDeps, spec: TableSpec): Promise<void> => {
  const { config, source, clock } = deps.weights
  const rows = await deps.openRows()
  const chain = spec.exports.length > 0 ? await openChain(source, { config, spec, checked: false }) : []
  const provenSinceMs = await provenSince({ ...rows, config, state: deps.state }, spec.table)
  const nowMs = clock.now()
  const what = chain[0] ? `the export ${chain[0].url}` : `the scan of ${spec.table}`
  checkAge(what, chain[0]?.toMs ?? nowMs, { provenSinceMs, nowMs })
}

export const send = (deps: BackfillDeps, run: Run): Promise<number> =>
  deps.queue.send(
    Array.from({ length: run.parts }, (_, part) => ({
      lifeboat: 'backfill' as const,
      action: 'work' as const,
      run: run.id,
      part,
    })),
  )

const idOf = (now: number, nonce: string): string =>
  `${new Date(now).toISOString().slice(0, 19).replaceAll(/[-:]/g, '')}-${nonce}`

type Start = Extract<BackfillRequest, { action: 'start' }>

/** Begins one, or answers the one of the very same that is under way; what overlaps with another is refused. */
const start = async (deps: BackfillDeps, { spec, limits, estimate: estimated, prices }: Start) => {
  checkConfigured(deps, spec)
  pricesOf(prices)
  const { clock, random, telemetry } = deps.weights
  const seen = await readRunIds(deps.state)
  const other = (await readRuns(deps.state)).find((run) => isOpen(run) && overlaps(run.spec, spec))
  if (other && JSON.stringify(other.spec) === JSON.stringify(spec)) {
    // The call that began it may have died before its messages were sent; a second one does no harm.
    if (other.status === 'running') await send(deps, other)
    return { joined: true, run: other }
  }
  if (other)
    throw new ConflictError(
      `backfill ${other.id} of ${subjectOf(other.spec)} is ${other.status}, and would do some of the same: let it end, or cancel it`,
    )
  await checkStart(deps, spec)
  const now = clock.now()
  const run: Run = {
    id: idOf(now, random.hex(3)),
    spec,
    limits,
    status: 'running',
    startedAt: now,
    resumedAt: now,
    parts: spec.kind === 'table' ? spec.segments : 1,
    since: await lifeboatSince(deps, now),
    estimate: estimated,
    ...(prices ? { prices } : {}),
  }
  if (!(await addRun(deps.state, run, newPart(now), seen)))
    throw new ConflictError('another backfill was begun at the same time: try again')
  await send(deps, run)
  telemetry.log('info', 'backfill begun', { stage: 'backfill', run: run.id, subject: subjectOf(spec) })
  return { joined: false, run }
}

const shownOf = async (deps: BackfillDeps, run: Run): Promise<Shown> => {
  const parts = await readParts(deps.state, run)
  const { resumedAt: _resumed, since: _since, ...rest } = run
  return {
    ...rest,
    counts: sumOf(parts),
    refused: parts.flatMap(({ refused }) => refused.map(({ subject, detail }) => ({ subject, reason: detail }))),
    refusedTotal: parts.reduce((sum, { refusedTotal }) => sum + refusedTotal, 0),
    where: parts.flatMap((part, index) => (part.phase === 'ended' ? [] : [whereOf(run, part, index)])),
    inFlight: parts.reduce((sum, { inFlight }) => sum + inFlight.length, 0),
  }
}

const wrongStatus = (run: Run, wanted: string): ConflictError =>
  new ConflictError(`backfill ${run.id} is ${run.status}: only one that is ${wanted} can be asked that`)

const pause = async (deps: BackfillDeps, id: string): Promise<Run> => {
  const { run, isChanged } = await changeRun(deps.state, id, (now) =>
    now.status === 'running' ? { ...now, status: 'paused' } : undefined,
  )
  if (!isChanged && run.status !== 'paused') throw wrongStatus(run, 'running')
  return run
}

const resume = async (deps: BackfillDeps, id: string): Promise<Run> => {
  const resumedAt = deps.weights.clock.now()
  const { run, isChanged } = await changeRun(deps.state, id, (now) =>
    now.status === 'paused' ? { ...now, status: 'running', resumedAt } : undefined,
  )
  if (!isChanged && run.status !== 'running') throw wrongStatus(run, 'paused')
  // Of one that runs, too: where its own message was lost, this one makes it go on.
  await send(deps, run)
  return run
}

const cancel = async (deps: BackfillDeps, id: string): Promise<Run> => {
  const endedAt = deps.weights.clock.now()
  const { run, isChanged } = await changeRun(deps.state, id, (now) =>
    isOpen(now) ? { ...now, status: 'cancelled', endedAt } : undefined,
  )
  if (!isChanged && run.status !== 'cancelled') throw wrongStatus(run, 'running or paused')
  await send(deps, run)
  return run
}

export type BackfillAnswer =
  | { runs: Shown[] }
  | { run: Shown; joined?: boolean; account?: Record<string, unknown> }
  | Estimated

const reportBytesMax = 4 * 2 ** 20

const show = async (deps: BackfillDeps, run: Run): Promise<BackfillAnswer> => {
  const shown = await shownOf(deps, run)
  if (run.report === undefined) return { run: shown }
  const body = await deps.store.read(run.report, { bytesMax: reportBytesMax })
  const account = body && parseRecord(reportSchema, run.report, body)
  return { run: shown, ...(account ? { account } : {}) }
}

const changes = { pause, resume, cancel } as const

/** Answers one request. */
export const control = async (
  deps: BackfillDeps,
  request: BackfillRequest,
  deadline: Deadline,
): Promise<BackfillAnswer> => {
  if (request.action === 'estimate') {
    checkConfigured(deps, request.spec)
    return estimate(deps, request.spec, { from: request.from, prices: request.prices, deadline })
  }
  if (request.action === 'start') {
    const { run, joined } = await start(deps, request)
    return { run: await shownOf(deps, run), joined }
  }
  if (request.action === 'list') {
    const runs: Shown[] = []
    for (const run of (await readRuns(deps.state)).slice(0, listedMax)) runs.push(await shownOf(deps, run))
    return { runs }
  }
  if (request.action === 'show') return show(deps, await requireRun(deps.state, request.run))
  return { run: await shownOf(deps, await changes[request.action](deps, request.run)) }
}
