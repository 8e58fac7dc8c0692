import type { RowsDeps } from './deps.ts'
import { backfillVersion } from './version.ts'

/**
 * When the replica of a table began to see its changes: a mark in the history under a key that no row has. What was before
 * is unknown, however the current rows look.
 */
const startKey = Buffer.from('\0start', 'latin1')

const known = new WeakMap<object, Map<string, number>>()

const cacheOf = (deps: Pick<RowsDeps, 'rows'>): Map<string, number> => {
  const cache = known.get(deps.rows) ?? new Map<string, number>()
  known.set(deps.rows, cache)
  return cache
}

/** The second of the first change seen, or undefined where none was. */
export const readStart = async (deps: Pick<RowsDeps, 'rows'>, target: string): Promise<number | undefined> => {
  const cached = cacheOf(deps).get(target)
  if (cached !== undefined) return cached
  for await (const { time } of deps.rows.history.list(target, startKey)) {
    cacheOf(deps).set(target, time)
    return time
  }
  return undefined
}

export const markStart = async (deps: Pick<RowsDeps, 'rows'>, target: string, time: number): Promise<void> => {
  if ((await readStart(deps, target)) !== undefined) return
  await deps.rows.history.append(target, [{ key: startKey, version: backfillVersion, time, before: 'unknown' }])
  cacheOf(deps).set(target, time)
}
