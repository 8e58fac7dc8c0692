import type { BlobStore } from '../../shared/ports.ts'
import { type Heartbeat, newestHeartbeat } from '../../shared/proof/heartbeat.ts'
import { listReleases } from '../../shared/weights/catalog.ts'
import { type Failure, listFailures, listWaiting } from '../../shared/weights/catalog-failures.ts'
import { type PendingObject, surveyObjects } from '../../shared/weights/catalog-pending.ts'
import type { WaitingRecord } from '../../shared/weights/manifest.ts'
import { asStored } from '../replica-view.ts'
import { ageSeconds, isStale } from '../status/alarms.ts'

/** What the replica does not have, as far as the replica knows of it. */
export type Loss = {
  /** Oldest change first. */
  objects: PendingObject[]
  bytes: number
  /** Object versions that Lifeboat would not take, and has not since. */
  refused: Failure[]
  /** Releases that are not whole. */
  waiting: WaitingRecord[]
  /** Manifests of releases that cannot be read, and that no other stands in for. */
  damaged: string[]
  heartbeat: Heartbeat | undefined
}

/** The totals are of everything. */
const everything = Number.MAX_SAFE_INTEGER

const changedAt = ({ record }: PendingObject): number => Date.parse(record.source.lastModified)

export const findLoss = async (store: BlobStore, nowMs: number): Promise<Loss> => {
  // The heartbeat first: a message that is planned in between is then counted twice rather than not at all.
  const heartbeat = await asStored(newestHeartbeat(store, nowMs))
  const [survey, refused, { releases, damaged }] = await Promise.all([
    surveyObjects(store, { namesMax: everything, readsMax: everything }),
    listFailures(store, everything, ({ key }) => key !== undefined, 'refused'),
    listReleases(store),
  ])
  const { waiting } = await listWaiting(store, releases, everything)
  const objects = (survey.pending ?? []).toSorted((a, b) => changedAt(a) - changedAt(b))
  return {
    objects,
    bytes: objects.reduce((sum, { record }) => sum + record.size, 0),
    refused: refused.failed.filter(({ since }) => since === undefined),
    waiting,
    damaged: damaged.map(({ name }) => name),
    heartbeat,
  }
}

export type TableLoss = {
  table: string
  /** Every change up to here is in the replica; null: unknown. */
  changesAfter: string | null
  lagSeconds: number | null
  unknown: string[]
  quarantined: number
  /** More than what comes in between two heartbeats. */
  isLate: boolean
}

export const tableLosses = ({ tables, everySeconds }: Heartbeat): TableLoss[] =>
  tables.map(({ table, featureTime, lagSeconds, unknown, quarantined }) => ({
    table,
    changesAfter: featureTime,
    lagSeconds,
    unknown,
    quarantined,
    isLate: quarantined > 0 || lagSeconds === null || lagSeconds > everySeconds,
  }))

/** The dead-letter queues are among the queues, and their messages the dead letters. */
export const messagesIn = (heartbeat: Heartbeat | undefined): number => {
  if (!heartbeat) return 0
  const { queues, deadLetters } = heartbeat.objects
  const alive = queues.filter(({ name }) => !name.endsWith('-dead'))
  return alive.reduce((sum, { messages }) => sum + messages, deadLetters)
}

/**
 * `nothing`: but what the last heartbeat could not know yet. `unknown`: nothing that is known of, and the heartbeat does not
 * tell the rest.
 */
export type LossVerdict = 'nothing' | 'something' | 'unknown'

export const lossVerdict = ({ objects, refused, waiting, damaged, heartbeat }: Loss, nowMs: number): LossVerdict => {
  const tables = heartbeat ? tableLosses(heartbeat) : []
  const isLate = tables.some((table) => table.isLate && (table.quarantined > 0 || table.lagSeconds !== null))
  const lost = objects.length + refused.length + waiting.length + damaged.length + messagesIn(heartbeat)
  if (lost > 0 || isLate) return 'something'
  if (!heartbeat || isStale(heartbeat, nowMs) || heartbeat.objects.lagSeconds === null) return 'unknown'
  return tables.some(({ lagSeconds }) => lagSeconds === null) ? 'unknown' : 'nothing'
}

/** Seconds since the heartbeat, of which nothing is known; null: nothing was ever known. */
export const unknownSeconds = ({ heartbeat }: Loss, nowMs: number): number | null =>
  heartbeat ? ageSeconds(heartbeat.at, nowMs) : null

/** Where nothing is known to be lost: how far back a change may be that is lost all the same. */
export const openSeconds = (heartbeat: Heartbeat, nowMs: number): number =>
  ageSeconds(heartbeat.at, nowMs) + Math.max(0, ...heartbeat.tables.map(({ lagSeconds }) => lagSeconds ?? 0))
