import { mapInOrder } from '../bounded.ts'
import { isRetryable, LifeboatError, DeniedError, NotFoundError } from '../errors.ts'
import type { Deadline } from '../weights/deps.ts'
import { type Change, parseChange, positionOf, ruleOfStream } from './change.ts'
import type { RowsDeps } from './deps.ts'
import { rereadRow } from './reread.ts'
import { markStart } from './start.ts'
import { readVersion } from './version.ts'
import { historyEntry, rowWrite } from './write.ts'

/** Rows that are written at the same time. */
const rowsInFlight = 64
const historyPerCall = 500
const reserveMs = 10_000

/** The changes of one row, oldest first. */
type Group = { changes: Change[]; first: string }

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

/** A change that could never be stored is found before anything of its row is written. */
const parseRecord = async (deps: RowsDeps, record: unknown): Promise<Change | { poison: unknown; table: string }> => {
  let table = ''
  try {
    const rule = ruleOfStream(deps.config, positionOf(record).arn)
    table = rule.name
    const change = parseChange(record, rule, await deps.source.keys(rule.name))
    rowWrite(rule, { ...change, item: change.after })
    historyEntry(rule, change)
    return change
  } catch (error) {
    if (!isPoison(error)) throw error
    return { poison: error, table }
  }
}

const groupByRow = (changes: readonly Change[]): Group[] => {
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
    const outcome = await deps.rows.applyIfNewer(
      change.table.target,
      rowWrite(change.table, { ...change, item: change.after }),
    )
    if (outcome === 'stale') await guardOrder(deps, change)
    return outcome
  } catch (error) {
    if (!isPoison(error)) throw error
    await quarantine(deps, change.record, change.table.name, error)
    return 'poison'
  }
}

const appendHistory = async (deps: RowsDeps, changes: readonly Change[]): Promise<void> => {
  const byTable = Map.groupBy(changes, ({ table }) => table.target)
  for (const [target, ofTable] of byTable) {
    await markStart(deps, target, Math.min(...ofTable.map(({ time }) => time)))
    for (let first = 0; first < ofTable.length; first += historyPerCall) {
      const entries = ofTable.slice(first, first + historyPerCall).map((change) => historyEntry(change.table, change))
      await deps.rows.history.append(target, entries)
    }
  }
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
  const changes: Change[] = []
  try {
    for (const record of records) {
      const parsed = await parseRecord(deps, record)
      if (!('poison' in parsed)) changes.push(parsed)
      else {
        await quarantine(deps, record, parsed.table, parsed.poison)
        result.quarantined += 1
      }
    }
    await appendHistory(deps, changes)
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
