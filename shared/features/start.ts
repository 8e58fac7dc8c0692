import type { RowsDeps } from './deps.ts'
import { backfillVersion } from './version.ts'

/**
 * When the replica of a table began to see its changes: a tombstone under a key that no row has, in the family that is
 * never collected. What was before is unknown, however the current rows look.
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
  const [row] = await deps.rows.read(target, [startKey])
  if (row?.marker) cacheOf(deps).set(target, row.marker.time)
  return row?.marker?.time
}

/** Writes the mark where there is none. */
export const markStart = async (deps: Pick<RowsDeps, 'rows'>, target: string, time: number): Promise<void> => {
  if ((await readStart(deps, target)) !== undefined) return
  const marker = { version: backfillVersion, time, tombstone: true }
  await deps.rows.replaceIf(target, { key: startKey, cells: new Map(), marker }, undefined)
}
