import { CorruptError } from '../errors.ts'
import type { RowsDeps } from './deps.ts'
import { backfillVersion } from './version.ts'

/**
 * When the replica of a table began to see the changes of each of its streams: a tombstone under a key that no row has,
 * `00 "start." EPOCH` with the epoch in 10 digits, in the family that is never collected. What a stream did not see is
 * unknown, however the current rows look: what was before the first one, and between the end of one and the next.
 */
const prefix = '\0start.'
const keyOf = (epoch: number): Buffer => Buffer.from(prefix + String(epoch).padStart(10, '0'), 'latin1')
const range = { start: Buffer.from(prefix, 'latin1'), end: Buffer.from('\0start/', 'latin1') }

/** True for a row that is not an item's; no item's row key begins so. */
export const isStartKey = (key: Uint8Array): boolean =>
  Buffer.from(key.buffer, key.byteOffset, key.length).toString('latin1').startsWith(prefix)

/** Every epoch with the second of the first change that was seen of it. */
export const readStarts = async (deps: Pick<RowsDeps, 'rows'>, target: string): Promise<Map<number, number>> => {
  const starts = new Map<number, number>()
  for await (const { key, marker } of deps.rows.scan(target, range)) {
    const epoch = Number(Buffer.from(key).toString('latin1').slice(prefix.length))
    if (!marker || !Number.isSafeInteger(epoch))
      throw new CorruptError(`table ${target} has a row ${Buffer.from(key).toString('hex')} that says no start`)
    starts.set(epoch, marker.time)
  }
  return starts
}

const marked = new WeakMap<object, Set<string>>()

/** Writes the mark of an epoch where there is none; asks the table once in the life of a process. */
export const markStart = async (
  deps: Pick<RowsDeps, 'rows'>,
  target: string,
  epoch: number,
  time: number,
): Promise<void> => {
  const known = marked.get(deps.rows) ?? new Set<string>()
  marked.set(deps.rows, known)
  const id = `${target}/${epoch}`
  if (known.has(id)) return
  const marker = { version: backfillVersion, time, tombstone: true }
  await deps.rows.replaceIf(target, { key: keyOf(epoch), cells: new Map(), marker }, undefined)
  known.add(id)
}
