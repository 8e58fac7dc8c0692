import { ConflictError } from '../../errors.ts'
import { copyOf } from './copy-of.ts'
import type {
  ChunkIndex,
  DigestLedger,
  ObjectLedger,
  ObjectRow,
  Piece,
  SegmentLedger,
  SegmentRow,
} from '../../weights/ledger.ts'
import type { ChunkRef } from '../../weights/manifest.ts'

/** The ledgers of one deployment in memory, with the conditions of those on DynamoDB; every call is one transaction. */

type Rows = {
  objects: Map<string, ObjectRow>
  /** By plan, then by offset. */
  segments: Map<string, Map<number, SegmentRow>>
  digests: Map<string, Map<number, Piece>>
}

const ended = new Set(['protected', 'sealed'])

const planKey = (traceId: string, planId: string): string => `${traceId}#${planId}`

const within = <T>(all: Map<string, Map<number, T>>, key: string): Map<number, T> => {
  const found = all.get(key) ?? new Map<number, T>()
  all.set(key, found)
  return found
}

const sorted = <T>(units: Map<number, T>): T[] =>
  [...units.entries()].toSorted(([a], [b]) => a - b).map(([, unit]) => copyOf(unit))

const mayBecome = (row: ObjectRow, state: ObjectRow['state'] | undefined): boolean => {
  if (state === undefined || state === 'copying') return true
  return ended.has(state) ? !ended.has(row.state) : row.state === 'copying'
}

const createObjects = (rows: Rows, changed: (row: ObjectRow) => void): ObjectLedger => ({
  get: async (traceId) => copyOf(rows.objects.get(traceId)),
  begin: async (row) => {
    const there = rows.objects.get(row.traceId)
    const isRepair = row.repair !== undefined && there !== undefined && row.attempt > there.attempt
    const isEnded = there !== undefined && ended.has(there.state) && !isRepair
    if (there && (isEnded || there.planId === row.planId || there.attempt > row.attempt)) return false
    rows.objects.set(row.traceId, copyOf(row))
    changed(row)
    return true
  },
  update: async (traceId, planId, change) => {
    const row = rows.objects.get(traceId)
    if (row?.planId !== planId || !mayBecome(row, change.state)) return false
    const fields = Object.entries(change).filter(([, value]) => value !== undefined)
    const next = { ...row, ...(Object.fromEntries(fields) as Partial<ObjectRow>) }
    rows.objects.set(traceId, copyOf(next))
    if (JSON.stringify(next) !== JSON.stringify(row)) changed(next)
    return true
  },
  pending: async function* pending(of = 'live') {
    const copying = [...rows.objects.values()].filter(
      ({ state, backfill }) => state === 'copying' && (backfill === undefined) === (of === 'live'),
    )
    for (const row of copying.toSorted((a, b) => a.since - b.since)) yield copyOf(row)
  },
})

/** The object's row where a unit of this plan may still be counted. */
const counting = (rows: Rows, traceId: string, planId: string): ObjectRow | undefined => {
  const row = rows.objects.get(traceId)
  return row?.planId === planId && row.state === 'copying' ? row : undefined
}

const countUnit = <T>(
  rows: Rows,
  changed: (row: ObjectRow) => void,
  plan: { traceId: string; planId: string },
  units: Map<number, T>,
  [offset, unit]: [number, T],
): 'counted' | 'already' | 'stale' => {
  if (units.has(offset)) return 'already'
  const row = counting(rows, plan.traceId, plan.planId)
  if (!row) return 'stale'
  units.set(offset, copyOf(unit))
  row.left -= 1
  changed(row)
  return 'counted'
}

const createSegments = (rows: Rows, changed: (row: ObjectRow) => void): SegmentLedger => {
  const of = (traceId: string, planId: string): Map<number, SegmentRow> =>
    within(rows.segments, planKey(traceId, planId))
  return {
    get: async (traceId, planId, offset) => copyOf(of(traceId, planId).get(offset)),
    finish: async (row) => countUnit(rows, changed, row, of(row.traceId, row.planId), [row.offset, row]),
    reopen: async ({ traceId, planId, offset }) => {
      const row = counting(rows, traceId, planId)
      if (!row || !of(traceId, planId).delete(offset)) return
      row.left += 1
      delete row.cursor
    },
    list: async function* list(traceId, planId, from = 0, to = Number.MAX_SAFE_INTEGER) {
      for (const row of sorted(of(traceId, planId))) if (row.offset + row.size > from && row.offset < to) yield row
    },
  }
}

const createDigests = (rows: Rows, changed: (row: ObjectRow) => void): DigestLedger => {
  const of = (traceId: string, planId: string): Map<number, Piece> => within(rows.digests, planKey(traceId, planId))
  return {
    begin: async (traceId, planId, count) => {
      const row = counting(rows, traceId, planId)
      if (!row || row.phase !== 'copy' || row.left !== 0) return false
      row.phase = 'digest'
      row.left = count
      return true
    },
    finish: async (traceId, planId, piece) =>
      countUnit(rows, changed, { traceId, planId }, of(traceId, planId), [piece.start, piece]),
    list: async function* list(traceId, planId) {
      yield* sorted(of(traceId, planId))
    },
  }
}

export type MemoryChunkIndex = ChunkIndex & { refs: Map<string, ChunkRef> }

export const createMemoryChunkIndex = (): MemoryChunkIndex => {
  const refs = new Map<string, ChunkRef>()
  return {
    refs,
    lookup: async (id) => copyOf(refs.get(id)),
    record: async (chunks) => {
      for (const ref of chunks) refs.set(ref.id.slice('sha256:'.length), copyOf(ref))
    },
    forget: async (id) => void refs.delete(id),
  }
}

export type MemoryLedger = {
  objects: ObjectLedger
  segments: SegmentLedger
  digests: DigestLedger
  /** Every object's row as it is now. */
  rows(): ObjectRow[]
}

/**
 * `onReady` is the stream's trigger: it is called at each write that leaves an object copying with no unit left. Throws
 * ConflictError where a count falls below zero, which DynamoDB would keep silent about.
 */
export const createMemoryLedger = (options: { onReady?: (traceId: string) => void } = {}): MemoryLedger => {
  const rows: Rows = { objects: new Map(), segments: new Map(), digests: new Map() }
  const changed = (row: ObjectRow): void => {
    if (row.left < 0) throw new ConflictError(`${row.source.key} has ${row.left} units left`)
    if (row.state === 'copying' && row.left === 0) options.onReady?.(row.traceId)
  }
  return {
    objects: createObjects(rows, changed),
    segments: createSegments(rows, changed),
    digests: createDigests(rows, changed),
    rows: () => [...rows.objects.values()].map((row) => copyOf(row)),
  }
}
