import { mapInOrder } from '../bounded.ts'
import { isRetryable, LifeboatError, DeniedError, NotFoundError } from '../errors.ts'
import type { Deadline } from '../weights/deps.ts'
import {
  type Change,
  type KeyNames,
  parseChange,
  positionOf,
  ruleOfStream,
  type Sighting,
  sightingOf,
  type TableRule,
} from './change.ts'
import type { RowsDeps } from './deps.ts'
import { rereadRow } from './reread.ts'
import type { HistoryEntry, RowWrite } from './row-store.ts'
import { markStart } from './start.ts'
import { readVersion } from './version.ts'
import { historyEntry, rowWrite, unknownBefore } from './write.ts'

/** Rows that are written at the same time. */
export const rowsInFlight = 64
const historyPerCall = 500
const reserveMs = 10_000

/** A change with what it writes, encoded once: when it was checked that both can be stored. */
type ReadyChange = Change & { write: RowWrite; entry: HistoryEntry }
/** The changes of one row, oldest first. */
type Group = { changes: ReadyChange[]; first: string }

export type Applied = {
  applied: number
  stale: number
  removedByTtl: number
  quarantined: number
  /** Lambda replays from here; undefined when all of the batch is done. */
  failedFrom?: string
  error?: unknown
}

const lowest = (a: string | undefined, b: string): string => (a === undefined || BigInt(b) < BigInt(a) ? b : a)

/** A change that no retry can apply is kept whole and the shard goes on; an outage is waited out. */
const isPoison = (error: unknown): boolean =>
  !isRetryable(error) &&
  !(error instanceof DeniedError) &&
  !(error instanceof NotFoundError) &&
  error instanceof LifeboatError

const quarantine = async (deps: RowsDeps, record: unknown, table: string, error: unknown): Promise<void> => {
  const { arn, sequenceNumber } = positionOf(record)
  const reason = error instanceof Error ? error.message : String(error)
  deps.telemetry.count('ChangesQuarantined', 1)
  deps.telemetry.log('error', 'change quarantined', { stage: 'apply', table, sequenceNumber, reason })
  await deps.quarantine.put({ v: 1, table, streamArn: arn, sequenceNumber, reason, at: deps.clock.now(), record })
}

type Poison = { poison: unknown; rule?: TableRule; sighting?: Sighting | undefined }

/** A change that could never be stored is found before anything of its row is written. */
const parseRecord = async (deps: RowsDeps, record: unknown): Promise<ReadyChange | Poison> => {
  let rule: TableRule | undefined
  let names: KeyNames | undefined
  try {
    rule = ruleOfStream(deps.config, positionOf(record).arn)
    names = await deps.source.keys(rule.name)
    const change = parseChange(record, rule, names)
    const write = rowWrite(rule, { ...change, item: change.after })
    return { ...change, write, entry: historyEntry(rule, change) }
  } catch (error) {
    if (!isPoison(error)) throw error
    if (!rule || !names) return { poison: error }
    return { poison: error, rule, sighting: sightingOf(record, rule, names) }
  }
}

/** Kept whole; and where its key can be read, what the item was before the change counts as unknown until it is redriven. */
const setAside = async (deps: RowsDeps, record: unknown, { poison, rule, sighting }: Poison): Promise<void> => {
  await quarantine(deps, record, rule?.name ?? '', poison)
  if (rule && sighting) await deps.rows.history.append(rule.target, [unknownBefore(sighting)])
}

const groupByRow = (changes: readonly ReadyChange[]): Group[] => {
  const groups = new Map<string, Group>()
  for (const change of changes) {
    const id = `${change.table.target}/${change.rowKey.toString('latin1')}`
    const group = groups.get(id) ?? { changes: [], first: change.sequenceNumber }
    group.changes.push(change)
    group.first = lowest(group.first, change.sequenceNumber)
    groups.set(id, group)
  }
  for (const group of groups.values()) group.changes.sort((a, b) => (a.version < b.version ? -1 : 1))
  return [...groups.values()]
}

/** Newer by its time and older by its number: something is wrong with one of the two, and only the source knows. */
const guardOrder = async (deps: RowsDeps, change: Change): Promise<void> => {
  const [stored] = await deps.rows.read(change.table.target, [change.rowKey])
  if (!stored?.marker || stored.marker.version === change.version || change.time <= stored.marker.time) return
  deps.telemetry.count('OrderAnomalies', 1)
  await rereadRow(deps, change.table, change.key, readVersion(stored.marker.version))
}

const applyGroup = async (deps: RowsDeps, group: Group): Promise<'applied' | 'stale' | 'poison'> => {
  const change = group.changes.at(-1)
  if (!change) return 'stale'
  try {
    const outcome = await deps.rows.applyIfNewer(change.table.target, change.write)
    if (outcome === 'stale') await guardOrder(deps, change)
    return outcome
  } catch (error) {
    if (!isPoison(error)) throw error
    await quarantine(deps, change.record, change.table.name, error)
    return 'poison'
  }
}

/** Those of one page that Bigtable refuses are quarantined one by one, so that the others go on. */
const appendPage = async (deps: RowsDeps, page: readonly ReadyChange[]): Promise<ReadyChange[]> => {
  const target = page[0]?.table.target ?? ''
  try {
    await deps.rows.history.append(
      target,
      page.map(({ entry }) => entry),
    )
    return [...page]
  } catch (error) {
    if (!isPoison(error)) throw error
    const [only, second] = page
    if (second) {
      const kept: ReadyChange[] = []
      for (const change of page) kept.push(...(await appendPage(deps, [change])))
      return kept
    }
    if (only) await setAside(deps, only.record, { poison: error, rule: only.table, sighting: only })
    return []
  }
}

/** Every change's history, before any row; answers the changes whose rows may be written now. */
const appendHistory = async (deps: RowsDeps, changes: readonly ReadyChange[]): Promise<ReadyChange[]> => {
  const kept: ReadyChange[] = []
  for (const ofStream of Map.groupBy(changes, ({ table }) => `${table.target}/${table.epoch}`).values()) {
    const [first] = ofStream
    if (!first) continue
    const oldest = Math.min(...ofStream.map(({ time }) => time))
    await markStart(deps, first.table.target, first.table.epoch, oldest)
    for (let at = 0; at < ofStream.length; at += historyPerCall)
      kept.push(...(await appendPage(deps, ofStream.slice(at, at + historyPerCall))))
  }
  return kept
}

const firstOf = (records: readonly unknown[]): string => positionOf(records[0]).sequenceNumber

/**
 * Applies one batch of a shard: every change's history, then the last change of each row, in parallel over rows. Answers
 * from where Lambda has to replay; replaying what was applied changes nothing. Poison is quarantined; nothing else is lost.
 */
export const applyChanges = async (
  deps: RowsDeps,
  records: readonly unknown[],
  deadline: Deadline,
): Promise<Applied> => {
  const result: Applied = { applied: 0, stale: 0, removedByTtl: 0, quarantined: 0 }
  let changes: ReadyChange[]
  try {
    const parsed: ReadyChange[] = []
    for (const record of records) {
      const change = await parseRecord(deps, record)
      if ('poison' in change) await setAside(deps, record, change)
      else parsed.push(change)
    }
    changes = await appendHistory(deps, parsed)
    result.quarantined = records.length - changes.length
  } catch (error) {
    return { ...result, failedFrom: firstOf(records), error }
  }
  let failedFrom: string | undefined
  let firstError: unknown
  const groups = groupByRow(changes)
  const one = async (group: Group): Promise<void> => {
    try {
      if (deadline.remainingMs() < reserveMs) {
        failedFrom = lowest(failedFrom, group.first)
        return
      }
      const outcome = await applyGroup(deps, group)
      result.stale += group.changes.length - 1
      if (outcome === 'applied') {
        result.applied += 1
        if (group.changes.at(-1)?.isTimeToLive) result.removedByTtl += 1
      } else if (outcome === 'stale') result.stale += 1
      else result.quarantined += 1
    } catch (error) {
      firstError ??= error
      failedFrom = lowest(failedFrom, group.first)
    }
  }
  for await (const _ of mapInOrder(groups, rowsInFlight, one));
  return { ...result, ...(failedFrom === undefined ? {} : { failedFrom, error: firstError }) }
}
