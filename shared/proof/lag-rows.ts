import { mapInOrder, toArray } from '../bounded.ts'
import type { Config } from '../config.ts'
import type { Deadline } from '../weights/deps.ts'
import type { Attempt, Attempts } from './attempt.ts'
import type { CanaryConfig } from './canary.ts'
import { ageSeconds, type Lag, type Reading, worstOf } from './lag.ts'
import type { LagDeps, Quarantined } from './lag-deps.ts'
import type { LagState, Placement } from './lag-state.ts'
import { measureRowCanaries, type RowCanaryDeps } from './row-canaries.ts'

/** How old the oldest change of a table's items is that is not in its rows. */

type Table = Config['tables'][number]

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

/**
 * The age of changes is of whichever stream apply-changes was called for last: it proves something where there is one table
 * alone, and counts against every table.
 */
const iteratorReadings = (iteratorAge: Reading | undefined, isProof: boolean): Reading[] => {
  if (iteratorAge === undefined) return isProof ? [{ unknown: 'there is no canary, and no change came lately' }] : []
  return 'unknown' in iteratorAge && !isProof ? [] : [iteratorAge]
}

type Canaries = Awaited<ReturnType<typeof measureRowCanaries>>
/** `canaries` is undefined for a table without. */
type Looked = { table: Table; canaries: Attempt<Canaries> | undefined }

const tableMeasured = (
  { table, canaries: measured }: Looked,
  context: {
    nowMs: number
    before: LagState
    quarantine: ReadonlyMap<string, Quarantined> | string
    iteratorAge: Reading | undefined
    isOnly: boolean
  },
): TableMeasured => {
  const { name, target = name, canary } = table
  const { nowMs, quarantine, iteratorAge, isOnly } = context
  const readings: Reading[] = []
  const quarantined = typeof quarantine === 'string' ? undefined : (quarantine.get(name) ?? { count: 0 })
  const oldest = quarantined?.oldestAt
  if (typeof quarantine === 'string') readings.push({ unknown: quarantine })
  else readings.push({ ageSeconds: oldest === undefined ? 0 : ageSeconds(oldest, nowMs) })

  const canaries = measured && 'value' in measured ? measured.value : undefined
  if (measured && 'error' in measured) readings.push({ unknown: measured.reason })
  if (canaries) readings.push(canaries.reading)
  if (!canary && !isOnly)
    readings.push({ unknown: `table ${name} has no canary: the age of changes is of all tables together` })
  readings.push(...iteratorReadings(iteratorAge, !canary && isOnly))

  const canaryAt = canaries?.at
  const featureTime = canaryAt === undefined || !quarantined ? undefined : Math.min(canaryAt, oldest ?? Infinity)
  const placement = canaries?.placement ?? context.before.tables[name]
  return { table: name, target, lag: worstOf(readings), featureTime, canaryAt, quarantined, placement }
}
export type RowsMeasured = {
  tables: TableMeasured[]
  /** In quarantine, all tables, those that are not configured too; undefined where it cannot be told. */
  quarantined: number | undefined
}

const tablesAtOnce = 4

const total = (all: ReadonlyMap<string, Quarantined>): number =>
  [...all.values()].reduce((sum, { count }) => sum + count, 0)

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
  const rows: RowCanaryDeps = { clock: deps.clock, wait: deps.wait, ...opened.value }
  const look = async (table: Table): Promise<Looked> => {
    const { name, canary } = table
    const measure = (own: CanaryConfig) => () =>
      measureRowCanaries(rows, { ...table, canary: own }, before.tables[name], deadline)
    return { table, canaries: canary && (await attempt(`canaries of table ${name}`, measure(canary))) }
  }
  const [looked, age] = await Promise.all([
    toArray(mapInOrder(tables, tablesAtOnce, look)),
    attempt('age of changes', () => deps.gauges.iteratorAge()),
  ])
  // Only now: a change before a canary that arrived was applied or set aside by then.
  const census = await attempt('quarantine', () => rows.quarantine.take())
  const iteratorAge = (): Reading | undefined => {
    if ('error' in age) return { unknown: age.reason }
    return age.value === undefined ? undefined : { ageSeconds: Math.max(0, age.value) }
  }
  const context = {
    nowMs: deps.clock.now(),
    before,
    quarantine: 'value' in census ? census.value : census.reason,
    iteratorAge: iteratorAge(),
    isOnly: tables.length === 1,
  }
  const measured = looked.map((one) => tableMeasured(one, context))
  return { tables: measured, quarantined: 'value' in census ? total(census.value) : undefined }
}
