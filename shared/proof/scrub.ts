import { mapInOrder } from '../bounded.ts'
import type { BlobStat, BlobStore, Clock, Telemetry } from '../ports.ts'
import type { ChunkIndex } from '../weights/ledger.ts'
import { failedName } from '../weights/names.ts'
import { hashOf, recordFailure } from '../weights/outcome.ts'
import type { Repairer } from './repair.ts'
import { readBack, type ReadBack, type Wrong } from './scrub-body.ts'
import { type Namer, placeOf } from './scrub-named.ts'
import { addFinding, count, type Tally } from './tally.ts'

/** Reading back what the replica holds, body by body, whether or not a manifest names it: it is there to be used again. */

/** Each holds a body and its plain bytes, of at most 4 MiB. */
const bodiesAtOnce = 8

export type ScrubDeps = {
  store: BlobStore
  isLate: () => boolean
  /** Takes so many bytes off the budget; false where they are not left. */
  take: (bytes: number) => boolean
  onBytes?: (bytes: number) => void
}

/** Where reading goes on: the folder among those of the slice, and the last name in it that was read. */
export type ScrubPlace = { prefix: number; name: string }

type Stopped = { kind: 'late' | 'spent'; bytes: number }
type Ended = { kind: 'done' } | (Stopped & { place: ScrubPlace })

/** Damage on the way is not damage: what was wrong is read once more. */
const readTwice = async (deps: ScrubDeps, stat: BlobStat): Promise<ReadBack> => {
  const first = await readBack(deps.store, stat)
  return typeof first === 'object' && 'wrong' in first && deps.take(stat.size) ? readBack(deps.store, stat) : first
}

const kindOf = (name: string): string => name.slice(0, name.indexOf('/'))

const note = (tally: Tally, wrong: Wrong[], stat: BlobStat, found: ReadBack): void => {
  if (found === 'vanished') return count(tally, 'vanished')
  count(tally, 'bodies')
  count(tally, kindOf(stat.name))
  count(tally, 'bytes', stat.size)
  if (found === 'fine') return
  const { name, generation } = stat
  if ('unreadable' in found)
    return addFinding(tally, { kind: 'unreadable', subject: name, detail: found.unreadable, repaired: 'no' })
  const id = name.split('/')[2]?.slice(0, 64) ?? ''
  wrong.push({ name, generation, id, detail: found.wrong })
}

/** More in one slice are a disaster and no list; the rest of them is counted and found again. */
const wrongMax = 100

/**
 * Reads back every body under `prefixes` from `place` on. What is wrong goes into `wrong`; ends early at the deadline, where
 * the budget is spent, and where more is wrong than can be listed.
 */
export const readBodies = async (
  deps: ScrubDeps,
  prefixes: readonly string[],
  from: ScrubPlace,
  tally: Tally,
  wrong: Wrong[],
): Promise<Ended> => {
  let place = from
  for (; place.prefix < prefixes.length; place = { prefix: place.prefix + 1, name: '' }) {
    const stop: { at?: Stopped } = {}
    const { prefix, name: after } = place
    async function* admitted(): AsyncGenerator<BlobStat> {
      for await (const stat of deps.store.list(prefixes[prefix] ?? '', after === '' ? {} : { from: after })) {
        if (stat.name === after) continue
        if (deps.isLate() || wrong.length >= wrongMax) stop.at = { kind: 'late', bytes: stat.size }
        else if (!deps.take(stat.size)) stop.at = { kind: 'spent', bytes: stat.size }
        if (stop.at) return
        yield stat
      }
    }
    const read = mapInOrder(admitted(), bodiesAtOnce, async (stat) => ({ stat, found: await readTwice(deps, stat) }))
    for await (const { stat, found } of read) {
      note(tally, wrong, stat, found)
      deps.onBytes?.(stat.size)
      place = { prefix, name: stat.name }
    }
    if (stop.at) return { ...stop.at, place }
  }
  return { kind: 'done' }
}

export type SettleDeps = {
  store: BlobStore
  clock: Clock
  telemetry: Telemetry
  repairer?: Repairer
  chunks?: Pick<ChunkIndex, 'forget'>
  /** False where this identity may not write: then what nothing names is found again and again. */
  mayRecord: boolean
}

const idIn = (place: string): string => place.split('/')[2]?.slice(0, 64) ?? ''

/** Sends what needs a wrong body to be copied anew, and keeps in `wrong` who that was. */
export const mendNamers = async (
  deps: SettleDeps,
  wrong: readonly Wrong[],
  namers: readonly Namer[],
): Promise<void> => {
  for (const { name, places, ...about } of namers) {
    const repaired = await deps.repairer?.object(about, places.map(idIn))
    for (const one of wrong) {
      if (!places.includes(placeOf(one))) continue
      one.needed ??= { by: 0, first: `s3://${about.bucket}/${about.key} version ${about.version}`, unmended: [] }
      one.needed.by += 1
      if (repaired?.repaired !== 'sent' && one.needed.unmended.length < 3)
        one.needed.unmended.push(`${name}${repaired ? `: ${repaired.why}` : ''}`)
    }
  }
}

const settleNamed = (
  tally: Tally,
  { name, detail }: Wrong,
  { by, first, unmended }: NonNullable<Wrong['needed']>,
): void => {
  const others = by > 1 ? ` and ${by - 1} more` : ''
  const why = unmended.length === 0 ? 'copied anew from the source' : `not copied anew: ${unmended.join(', ')}`
  addFinding(tally, {
    kind: 'wrong-bytes',
    subject: name,
    detail: `${detail}; ${first}${others} needs it; ${why}`,
    repaired: unmended.length === 0 ? 'sent' : 'no',
  })
}

/** Whoever would use the name finds the wrong body by comparing, and keeps the true one beside it. */
const settleUnnamed = async (deps: SettleDeps, tally: Tally, wrong: Wrong): Promise<void> => {
  const { name, generation, id, detail } = wrong
  const traceId = hashOf(name, generation)
  await deps.chunks?.forget(id)
  if (await deps.store.stat(failedName('quarantined', traceId))) return count(tally, 'quarantined')
  addFinding(tally, {
    kind: 'wrong-unnamed',
    subject: name,
    detail: `${detail}; no manifest that counts names it`,
    repaired: 'no',
  })
  if (!deps.mayRecord) return
  const reason = `the body under ${name} is wrong, and no manifest that counts names it: ${detail}`
  await recordFailure(deps, { state: 'quarantined', traceId, reason, name, detail: `generation ${generation}` })
}

/** Makes findings of wrong bodies once everything that names them was asked. */
export const settleWrong = async (deps: SettleDeps, tally: Tally, wrong: readonly Wrong[]): Promise<void> => {
  for (const one of wrong) {
    if (one.needed) settleNamed(tally, one, one.needed)
    else await settleUnnamed(deps, tally, one)
  }
}
