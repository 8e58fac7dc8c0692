import { forEachBounded, mapInOrder, toArray } from '../bounded.ts'
import type { Config } from '../config.ts'
import { decodeValue } from '../features/attribute-value.ts'
import type { StoredRow } from '../features/row-store.ts'
import type { Deadline } from '../weights/deps.ts'
import type { Attempts } from './attempt.ts'
import { canaryAttribute, type CanaryConfig, canaryKey, placeCanaries } from './canary.ts'
import { ageSeconds, type Lag, type Reading, worstOf } from './lag.ts'
import type { LagDeps, Quarantined, RowsLagDeps } from './lag-deps.ts'
import type { LagState, Placement } from './lag-state.ts'

/** How old the oldest change of a table's items is that is not in its rows. */

type Table = Config['tables'][number]
type Deps = Pick<LagDeps, 'clock' | 'wait'> & RowsLagDeps

/** What one call may take for what is done one after another; the rest of its time is for everything else. */
const placeMs = 20_000
const applyMs = 15_000
/** More than is kept from every part (measure-lag.ts), so that what is late is told and not cut off. */
const reserveMs = 15_000
const pollMs = 500
const writesAtOnce = 25
const shardsNamed = 3

export type TableMeasured = {
  table: string
  target: string
  lag: Lag
  /** In ms; undefined where canaries do not tell. */
  featureTime: number | undefined
  /** The oldest of the canaries applied; undefined where a shard has none. */
  canaryAt: number | undefined
  quarantined: Quarantined | undefined
  placement: Placement | undefined
}

/** When the canary was written whose row this is; undefined where there is none yet. */
const writtenAtOf = (row: StoredRow | undefined): number | undefined => {
  const cell = row?.cells.get(canaryAttribute)
  if (cell === undefined || row?.marker?.tombstone !== false) return undefined
  const value = decodeValue(cell)
  const ms = 'N' in value ? Number(value.N) : NaN
  return Number.isFinite(ms) ? ms : undefined
}

/** Writes every placed canary and waits for its row; answers what each shard's row says in the end. */
const roundTrip = async (
  { rows, items, clock, wait }: Deps,
  table: { name: string; target: string; canary: CanaryConfig; endMs: number },
  shards: Placement['shards'],
): Promise<Map<string, number | undefined>> => {
  const shardIds = Object.keys(shards)
  if (shardIds.length === 0) return new Map()
  const keys = await items.keys(table.name)
  const canaries = Object.values(shards).map((number) => canaryKey(keys, table.canary, number))
  const begun = clock.now()
  await forEachBounded(canaries, writesAtOnce, async ({ item }) => void (await items.write(table.name, item, begun)))
  for (;;) {
    const stored = await rows.read(
      table.target,
      canaries.map(({ row }) => row),
    )
    const times = stored.map(writtenAtOf)
    const isApplied = times.every((time) => time !== undefined && time >= begun)
    if (isApplied || clock.now() >= table.endMs)
      return new Map(shardIds.map((shardId, index) => [shardId, times[index]]))
    await wait(pollMs)
  }
}

type CanariesMeasured = { reading: Reading; at: number | undefined; placement: Placement }

const measureCanaries = async (
  deps: Deps,
  table: Table & { canary: CanaryConfig },
  before: Placement | undefined,
  deadline: Deadline,
): Promise<CanariesMeasured> => {
  const { name, target = name, canary, streams } = table
  const streamArn = streams.at(-1)?.arn ?? ''
  const within = (ms: number): number => deps.clock.now() + Math.min(ms, deadline.remainingMs() - reserveMs)
  const open = await deps.items.openShards(streamArn)
  const place = { name, streamArn, open, canary, endMs: within(placeMs) }
  const placement = await placeCanaries(deps, place, before)
  const times = await roundTrip(deps, { name, target, canary, endMs: within(applyMs) }, placement.shards)
  if (open.length === 0)
    return {
      reading: { unknown: `stream ${streamArn} is not enabled: nothing of it is replicated` },
      at: undefined,
      placement,
    }
  const without = open.filter((shardId) => times.get(shardId) === undefined)
  if (without.length > 0) {
    const named = `${without.slice(0, shardsNamed).join(', ')}${without.length > shardsNamed ? ', ...' : ''}`
    const unknown = `table ${name}: no canary has come through ${without.length} of ${open.length} open shards (${named})`
    return { reading: { unknown }, at: undefined, placement }
  }
  const at = Math.min(...open.map((shardId) => times.get(shardId) ?? 0))
  return { reading: { ageSeconds: ageSeconds(at, deps.clock.now()) }, at, placement }
}

/**
 * The age of changes is of whichever stream apply-changes was called for last: it proves something where there is one table
 * alone, and counts against every table.
 */
const iteratorReadings = (iteratorAge: Reading | undefined, isProof: boolean): Reading[] => {
  if (iteratorAge === undefined) return isProof ? [{ unknown: 'there is no canary, and no change came lately' }] : []
  return 'unknown' in iteratorAge && !isProof ? [] : [iteratorAge]
}

const measureTable = async (
  deps: Deps,
  table: Table,
  context: {
    before: Placement | undefined
    quarantine: ReadonlyMap<string, Quarantined> | string
    iteratorAge: Reading | undefined
    isOnly: boolean
    deadline: Deadline
    attempt: Attempts
  },
): Promise<TableMeasured> => {
  const { name, target = name, canary } = table
  const { before, quarantine, iteratorAge, isOnly, deadline, attempt } = context
  const readings: Reading[] = []
  const quarantined = typeof quarantine === 'string' ? undefined : (quarantine.get(name) ?? { count: 0 })
  const oldest = quarantined?.oldestAt
  if (typeof quarantine === 'string') readings.push({ unknown: quarantine })
  else readings.push({ ageSeconds: oldest === undefined ? 0 : ageSeconds(oldest, deps.clock.now()) })

  const measured =
    canary &&
    (await attempt(`canaries of table ${name}`, () => measureCanaries(deps, { ...table, canary }, before, deadline)))
  const canaries = measured && 'value' in measured ? measured.value : undefined
  if (measured && 'error' in measured) readings.push({ unknown: measured.reason })
  if (canaries) readings.push(canaries.reading)
  if (!canary && !isOnly)
    readings.push({ unknown: `table ${name} has no canary: the age of changes is of all tables together` })
  readings.push(...iteratorReadings(iteratorAge, !canary && isOnly))

  const canaryAt = canaries?.at
  const featureTime = canaryAt === undefined || !quarantined ? undefined : Math.min(canaryAt, oldest ?? Infinity)
  const placement = canaries?.placement ?? before
  return { table: name, target, lag: worstOf(readings), featureTime, canaryAt, quarantined, placement }
}
export type RowsMeasured = {
  tables: TableMeasured[]
  /** In quarantine, all tables, those that are not configured too; undefined where it cannot be told. */
  quarantined: number | undefined
}

const tablesAtOnce = 4

/** Every table is measured on its own: one that fails is unknown. */
export const measureRows = async (
  deps: LagDeps,
  attempt: Attempts,
  before: LagState,
  deadline: Deadline,
): Promise<RowsMeasured> => {
  const { tables } = deps.config
  if (tables.length === 0) return { tables: [], quarantined: 0 }
  const opened = await attempt('rows', deps.openRows)
  if ('error' in opened) {
    const unknown = (name: string, target: string): TableMeasured => ({
      table: name,
      target,
      lag: worstOf([{ unknown: opened.reason }]),
      featureTime: undefined,
      canaryAt: undefined,
      quarantined: undefined,
      placement: before.tables[name],
    })
    return { tables: tables.map(({ name, target = name }) => unknown(name, target)), quarantined: undefined }
  }
  const rows: Deps = { clock: deps.clock, wait: deps.wait, ...opened.value }
  const [census, age] = await Promise.all([
    attempt('quarantine', () => rows.quarantine.take()),
    attempt('age of changes', () => deps.gauges.iteratorAge()),
  ])
  const iteratorAge = (): Reading | undefined => {
    if ('error' in age) return { unknown: age.reason }
    return age.value === undefined ? undefined : { ageSeconds: Math.max(0, age.value) }
  }
  const context = {
    quarantine: 'value' in census ? census.value : census.reason,
    iteratorAge: iteratorAge(),
    isOnly: tables.length === 1,
    deadline,
    attempt,
  }
  const measure = (table: Table): Promise<TableMeasured> =>
    measureTable(rows, table, { ...context, before: before.tables[table.name] })
  const measured = await toArray(mapInOrder(tables, tablesAtOnce, measure))
  const total = (all: ReadonlyMap<string, Quarantined>): number =>
    [...all.values()].reduce((sum, { count }) => sum + count, 0)
  return { tables: measured, quarantined: 'value' in census ? total(census.value) : undefined }
}
