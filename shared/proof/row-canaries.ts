import { forEachBounded } from '../bounded.ts'
import type { Config } from '../config.ts'
import { decodeValue } from '../features/attribute-value.ts'
import type { StoredRow } from '../features/row-store.ts'
import type { Deadline } from '../weights/deps.ts'
import { canaryAttribute, type CanaryConfig, canaryKey, placeCanaries } from './canary.ts'
import { ageSeconds, type Reading } from './lag.ts'
import type { LagDeps, RowsLagDeps } from './lag-deps.ts'
import type { Placement } from './lag-state.ts'

/** Canaries are written to a table and looked for in its rows: what was changed before one that arrived has arrived, too. */
export type RowCanaryDeps = Pick<LagDeps, 'clock' | 'wait'> & RowsLagDeps

type Table = Config['tables'][number]

/** What one call may take for what is done one after another; the rest of its time is for everything else. */
const placeMs = 20_000
const applyMs = 30_000
/** More than is kept from every part (measure-lag.ts), so that what is late is told and not cut off. */
const reserveMs = 20_000
const pollMs = 500
const writesAtOnce = 25
const shardsNamed = 3

/** When the canary was written whose row this is; undefined where there is none yet. */
const writtenAtOf = (row: StoredRow | undefined): number | undefined => {
  const cell = row?.cells.get(canaryAttribute)
  if (cell === undefined) return undefined
  const value = decodeValue(cell)
  const ms = 'N' in value ? Number(value.N) : NaN
  return Number.isFinite(ms) ? ms : undefined
}

/** Writes every placed canary and waits for its row; answers what each shard's row says in the end. */
const roundTrip = async (
  { rows, items, clock, wait }: RowCanaryDeps,
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

export const measureRowCanaries = async (
  deps: RowCanaryDeps,
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
