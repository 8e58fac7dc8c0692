import type { Config } from '../config.ts'
import { NotConfiguredError, RefusedError } from '../errors.ts'
import { readStarts } from '../features/start.ts'
import { readLagState } from '../proof/lag-state.ts'
import type { ProofState } from '../proof/proof-state.ts'
import type { BackfillRowsDeps } from './deps.ts'

/**
 * A scanned item is written only where the stream brought nothing, and so may be older than what the stream says. That is
 * right as long as the stream saw every change since the scan, and no tombstone of such a change is purged yet.
 */

const dayMs = 86_400_000
/** Tombstones stay 30 days; five of them are room for a slow run. */
export const stateAgeMsMax = (30 - 5) * dayMs

const iso = (ms: number): string => new Date(ms).toISOString()

/** Since when the stream of a table is proven to bring every change, in ms. Throws RefusedError where it is not. */
export const provenSince = async (
  deps: BackfillRowsDeps & { config: Config; state: Pick<ProofState, 'read'> },
  table: string,
): Promise<number> => {
  const rule = deps.config.tables.find(({ name }) => name === table)
  const stream = rule?.streams.toSorted((a, b) => a.epoch - b.epoch).at(-1)
  if (!rule || !stream)
    throw new NotConfiguredError(`table ${table} is not configured: add it to tables in lifeboat.yml`)
  const { streamArn } = await deps.scan.about(table)
  if (streamArn === undefined)
    throw new RefusedError(
      `table ${table} has no stream that is enabled: enable one with NEW_AND_OLD_IMAGES and deploy it, or changes during the backfill would be lost`,
    )
  if (streamArn !== stream.arn)
    throw new RefusedError(
      `the stream of table ${table} is ${streamArn}, and the newest in lifeboat.yml is ${stream.arn}: add it with a higher epoch and deploy`,
    )
  const start = (await readStarts(deps, rule.target ?? rule.name)).get(stream.epoch)
  if (start === undefined)
    throw new RefusedError(
      `no change of table ${table} has come through its stream yet: configure a canary, or change an item, and try again in a minute`,
    )
  if (rule.canary) {
    const { tables } = (await readLagState(deps.state)).value
    const placement = tables[table]
    if (placement?.streamArn !== stream.arn || placement.featureTime === undefined)
      throw new RefusedError(
        `no canary has come through every shard of the stream of table ${table} yet: "lifeboat status" shows when one has`,
      )
  }
  return start * 1000
}

/** Throws RefusedError where a state of the table as of `stateAtMs` may not be written at `nowMs`. */
export const checkAge = (
  what: string,
  stateAtMs: number,
  { provenSinceMs, nowMs }: { provenSinceMs: number; nowMs: number },
): void => {
  if (stateAtMs < provenSinceMs)
    throw new RefusedError(
      `${what} is of ${iso(stateAtMs)}, and the stream is proven since ${iso(provenSinceMs)}: what changed between is in neither; take a newer one`,
    )
  if (nowMs - stateAtMs > stateAgeMsMax)
    throw new RefusedError(
      `${what} is of ${iso(stateAtMs)}, more than ${stateAgeMsMax / dayMs} days ago: what was deleted since may be forgotten by now; take a newer one`,
    )
}
