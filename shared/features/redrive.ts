import { forEachBounded } from '../bounded.ts'
import type { Deadline } from '../weights/deps.ts'
import { InvalidInputError } from '../errors.ts'
import { type KeyNames, parseChange, positionOf, ruleOfStream, sightingOf, type TableRule } from './change.ts'
import type { OnUnreadable, Quarantined, RowsDeps } from './deps.ts'
import { tableOfStream } from './quarantine-name.ts'
import { rereadRow } from './reread.ts'
import { historyEntry, unknownBefore } from './write.ts'

/** `isComplete` is false where time ran out: call again. `failed` names the first 100 of `failures`. */
export type Redriven = {
  redriven: number
  failures: number
  failed: { name: string; reason: string }[]
  isComplete: boolean
}

const failedListedMax = 100
const reserveMs = 30_000
const putsInFlight = 16

/** What was before the change; where its images cannot be read or kept, that it is unknown, so that nobody asks a later one. */
const addHistory = async (deps: RowsDeps, rule: TableRule, names: KeyNames, record: unknown): Promise<void> => {
  try {
    await deps.rows.history.append(rule.target, [historyEntry(rule, parseChange(record, rule, names))])
  } catch (error) {
    const sighting = sightingOf(record, rule, names)
    if (!(error instanceof InvalidInputError) || !sighting) throw error
    await deps.rows.history.append(rule.target, [unknownBefore(sighting)])
  }
}

/** The stored payload adds history; the row itself is read from the source, fenced by the change. */
const redriveOne = async (deps: RowsDeps, { record, streamArn }: Quarantined): Promise<void> => {
  const rule = ruleOfStream(deps.config, streamArn)
  const names = await deps.source.keys(rule.name)
  const { key, version } = sightingOf(record, rule, names) ?? parseChange(record, rule, names)
  await addHistory(deps, rule, names, record)
  await rereadRow(deps, rule, key, version)
}

const isOfTable = (deps: RowsDeps, arn: string, table: string | undefined): boolean => {
  const name = tableOfStream(arn)
  return table === undefined ? deps.config.tables.some((rule) => rule.name === name) : name === table
}

/**
 * Puts the changes of batches that the event source gave up among the quarantined ones, so that each is redriven. Batches of other streams (the ledger's own) stay.
 */
const takeGivenUp = async (
  deps: RowsDeps,
  table: string | undefined,
  deadline: Deadline | undefined,
  onUnreadable: OnUnreadable,
): Promise<boolean> => {
  for await (const { name, records } of deps.quarantine.givenUp(onUnreadable)) {
    if (deadline && deadline.remainingMs() < reserveMs) return false
    const { arn } = positionOf(records[0])
    if (!isOfTable(deps, arn, table)) continue
    const changes = records.map((record): Quarantined => {
      const { sequenceNumber } = positionOf(record)
      const reason = 'the event source gave it up, an hour before the stream forgot it'
      return {
        v: 1,
        table: tableOfStream(arn) ?? '',
        streamArn: arn,
        sequenceNumber,
        reason,
        at: deps.clock.now(),
        record,
      }
    })
    await forEachBounded(changes, putsInFlight, async (change) => {
      await deps.quarantine.put(change)
      deps.telemetry.count('ChangesQuarantined', 1)
    })
    await deps.quarantine.done(name)
  }
  return true
}

/** Redrives every quarantined change (of one table), each on its own; what still cannot be applied stays. */
export const redrive = async (deps: RowsDeps, table?: string, deadline?: Deadline): Promise<Redriven> => {
  const result: Redriven = { redriven: 0, failures: 0, failed: [], isComplete: true }
  const fail = (name: string, error: unknown): void => {
    result.failures += 1
    const reason = error instanceof Error ? error.message : String(error)
    if (result.failed.length < failedListedMax) result.failed.push({ name, reason })
  }
  if (!(await takeGivenUp(deps, table, deadline, fail))) return { ...result, isComplete: false }
  for await (const { name, change } of deps.quarantine.list(table, fail)) {
    if (deadline && deadline.remainingMs() < reserveMs) {
      result.isComplete = false
      break
    }
    try {
      await redriveOne(deps, change)
      await deps.quarantine.done(name)
      result.redriven += 1
    } catch (error) {
      fail(name, error)
    }
  }
  deps.telemetry.count('ChangesRedriven', result.redriven)
  return result
}
