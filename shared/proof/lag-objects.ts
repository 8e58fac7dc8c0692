import { mapInOrder, toArray } from '../bounded.ts'
import type { ObjectRow } from '../weights/ledger.ts'
import type { Heartbeat } from './heartbeat.ts'
import { ageSeconds, type Lag, queueReading, type QueueSeen, type Reading, seeQueue, worstOf } from './lag.ts'
import type { LagDeps } from './lag-deps.ts'
import type { LagState } from './lag-state.ts'
import { type CanaryPlace, canaryPlaces, followObjectCanary, placeName } from './object-canary.ts'
import type { Attempt, Attempts } from './attempt.ts'

/** Past this many, count and bytes are lower bounds; the oldest comes first and is known. */
const rowsMax = 50_000
const callsAtOnce = 4

type Pending = Heartbeat['objects']['pending']
type Queue = Heartbeat['objects']['queues'][number]

type QueuesMeasured = { queues: Queue[]; deadLetters: number; readings: Reading[]; seen: LagState['queues'] }
/** `at`: of the last one that is protected, the worst over the buckets; undefined where one has none or there are none. */
type CanariesMeasured = { canaries: LagState['objects']; readings: Reading[]; at: number | undefined }

export type ObjectsMeasured = {
  lag: Lag
  pending: Attempt<Pending>
  queues: Attempt<QueuesMeasured>
  canaries: CanariesMeasured
}

const oldestOf = ({ source, version, since }: ObjectRow): Pending['oldest'] => ({
  bucket: source.bucket,
  key: source.key,
  version,
  since: new Date(since).toISOString(),
})

/** Where counting fails or takes too long, the oldest is known all the same once a first row was read. */
const measurePending = async ({ objects, telemetry }: LagDeps, attempt: Attempts): Promise<Attempt<Pending>> => {
  let pending: Pending = { count: 0, bytes: 0, oldest: null }
  const counted = await attempt('pending objects', async () => {
    for await (const row of objects.pending()) {
      const { count, bytes, oldest } = pending
      pending = { count: count + 1, bytes: bytes + row.source.size, oldest: oldest ?? oldestOf(row) }
      if (pending.count === rowsMax) return { ...pending, isLowerBound: true }
    }
    return pending
  })
  if ('value' in counted || !pending.oldest) return counted
  telemetry.log('warn', counted.reason, { stage: 'lag', error: counted.error })
  return { value: { ...pending, isLowerBound: true } }
}

const pendingReading = ({ oldest }: Pending, nowMs: number): Reading => ({
  ageSeconds: oldest ? ageSeconds(Date.parse(oldest.since), nowMs) : 0,
})

const measureQueues = async (deps: LagDeps, attempt: Attempts, before: LagState['queues']): Promise<QueuesMeasured> => {
  const nowMs = deps.clock.now()
  const countOf = async (queue: LagDeps['queues'][number]) => ({ ...queue, ...(await deps.counts.count(queue.name)) })
  const counts = await toArray(mapInOrder(deps.queues, callsAtOnce, countOf))
  const holding = counts.filter(({ messages }) => messages > 0).map(({ name }) => name)
  const gauges =
    holding.length === 0 ? undefined : await attempt('ages of queues', () => deps.gauges.queueAges(holding))
  // Without CloudWatch there is still what was seen before.
  if (gauges && 'error' in gauges) deps.telemetry.log('warn', gauges.reason, { stage: 'lag', error: gauges.error })
  const ages = gauges && 'value' in gauges ? gauges.value : new Map<string, number>()
  const seen: Record<string, QueueSeen> = {}
  const readings = counts.map((count) => {
    const { name, messages } = count
    const now = seeQueue(before[name] ?? {}, count, nowMs)
    seen[name] = now
    return queueReading({ name, messages, seen: now, gaugeSeconds: ages.get(name), nowMs })
  })
  const queues = counts.map(({ name, messages }, index): Queue => {
    const reading = readings[index]
    return { name, messages, oldestSeconds: reading && 'ageSeconds' in reading ? reading.ageSeconds : null }
  })
  const deadLetters = counts.reduce((sum, { isDead, messages }) => sum + (isDead ? messages : 0), 0)
  return { queues, deadLetters, readings, seen }
}

/** A canary that cannot be followed stays as it was. */
const measureCanaries = async (
  deps: LagDeps,
  attempt: Attempts,
  before: LagState['objects'],
): Promise<CanariesMeasured> => {
  const canaries: CanariesMeasured['canaries'] = {}
  const readings: Reading[] = []
  const times: (number | undefined)[] = []
  const follow = async (place: CanaryPlace) => {
    const name = placeName(place)
    return [name, await attempt(`canary ${name}`, () => followObjectCanary(deps, place, before[name]))] as const
  }
  for await (const [name, followed] of mapInOrder(canaryPlaces(deps.config), callsAtOnce, follow)) {
    const canary = 'value' in followed ? followed.value : before[name]
    if (canary) canaries[name] = canary
    times.push(canary?.protectedAt)
    const oldest = canary?.waiting[0]
    if ('error' in followed) readings.push({ unknown: followed.reason })
    else readings.push({ ageSeconds: oldest ? ageSeconds(oldest.at, deps.clock.now()) : 0 })
  }
  const known = times.filter((time) => time !== undefined)
  return { canaries, readings, at: known.length > 0 && known.length === times.length ? Math.min(...known) : undefined }
}

/**
 * The oldest of: ledger rows that are copied, messages of every queue (one in a dead-letter queue is not in the replica
 * either), canaries that have not arrived. What reconcile finds is a row or a message, too.
 */
export const measureObjects = async (deps: LagDeps, attempt: Attempts, before: LagState): Promise<ObjectsMeasured> => {
  const [pending, queues, canaries] = await Promise.all([
    measurePending(deps, attempt),
    attempt('queues', () => measureQueues(deps, attempt, before.queues)),
    measureCanaries(deps, attempt, before.objects),
  ])
  const lag = worstOf([
    'value' in pending ? pendingReading(pending.value, deps.clock.now()) : { unknown: pending.reason },
    ...('value' in queues ? queues.value.readings : [{ unknown: queues.reason }]),
    ...canaries.readings,
  ])
  return { lag, pending, queues, canaries }
}
