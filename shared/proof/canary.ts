import { forEachBounded } from '../bounded.ts'
import type { Config } from '../config.ts'
import { InvalidInputError } from '../errors.ts'
import { encodeItem, type Item } from '../features/item.ts'
import { encodeRowKey, type ItemKey, type KeyValue, type RowKey } from '../features/row-key.ts'
import type { CanaryItems, KeyAttribute, LagDeps } from './lag-deps.ts'
import type { Placement } from './lag-state.ts'

/**
 * Items of Lifeboat's own in a source table, one whose changes go through each open shard of its stream. Which shard a key
 * goes to is known only by looking: keys are written and the shards are read until each has shown one.
 */
export type CanaryConfig = NonNullable<Config['tables'][number]['canary']>
export type CanaryKeys = Awaited<ReturnType<CanaryItems['keys']>>

/** Holds when the canary was written, a number of ms. */
export const canaryAttribute = 'lifeboatCanary'

const batchMin = 4
const batchMax = 100
const writesAtOnce = 25
const pollMs = 500
/** Keys that there are at most, for each open shard and in all: canaries stay in the table. */
const keysPerShard = 50
const keysMin = 100

const keyValue = (type: string, text: string): KeyValue => {
  if (type === 'S') return { S: text }
  return type === 'N' ? { N: text } : { B: Buffer.from(text, 'utf8') }
}

const partitionText = (type: string, base: string, number: number): string => {
  if (type !== 'N') return `${base}#${number}`
  if (!/^-?\d{1,30}$/.test(base))
    throw new InvalidInputError(`canary.partition: found "${base}", allowed: a whole number, since the key is a number`)
  return String(BigInt(base) + BigInt(number))
}

const sortOf = (attribute: KeyAttribute, sort: string | undefined): KeyValue => {
  if (sort === undefined)
    throw new InvalidInputError(
      `canary.sort: found nothing, allowed: a sort key, since the table has "${attribute.name}"`,
    )
  return keyValue(attribute.type, sort)
}

/** The key of canary `number`: `partition#number`, or for a number key, partition + number; one sort key for all. */
export const canaryKey = (
  keys: CanaryKeys,
  { partition, sort }: CanaryConfig,
  number: number,
): { item: Item; row: RowKey } => {
  const { type, name } = keys.partition
  const key: ItemKey = {
    partition: keyValue(type, partitionText(type, partition, number)),
    ...(keys.sort ? { sort: sortOf(keys.sort, sort) } : {}),
  }
  const item: Item = {
    [name]: key.partition,
    ...(keys.sort && key.sort ? { [keys.sort.name]: key.sort } : {}),
  }
  return { item, row: encodeRowKey(key) }
}

type Placing = Pick<LagDeps, 'clock' | 'wait'> & { items: CanaryItems }

const idOf = (key: Item): string => encodeItem(key).toString('latin1')

/** Numbers to try: those of shards that are gone first, since what replaced a shard takes its keys; then all in turn. */
function* candidates(gone: readonly number[], from: number, open: number): Generator<number, never> {
  yield* gone
  const keys = Math.max(keysMin, open * keysPerShard)
  for (let number = from; ; number += 1) yield number % keys
}

/**
 * Finds a canary for every open shard that has none. What is missing when the clock reaches `endMs` is looked for the next
 * time, with other keys; a shard that closed is forgotten.
 */
export const placeCanaries = async (
  { items, clock, wait }: Placing,
  table: { name: string; streamArn: string; open: readonly string[]; endMs: number; canary: CanaryConfig },
  before: Placement | undefined,
): Promise<Placement> => {
  const { name, streamArn, open, endMs, canary } = table
  const known = before?.streamArn === streamArn ? before : { shards: {}, next: 0 }
  const placed = new Map(Object.entries(known.shards).filter(([shardId]) => open.includes(shardId)))
  const missing = (): string[] => open.filter((shardId) => !placed.has(shardId))
  if (missing().length === 0) return { streamArn, shards: Object.fromEntries(placed), next: 0 }

  const keys = await items.keys(name)
  const poll = await items.follow(streamArn, missing())
  // Where a shard ends is settled by the first look at it.
  await poll()
  const gone = Object.entries(known.shards).flatMap(([shardId, number]) => (placed.has(shardId) ? [] : [number]))
  const numbers = candidates(gone, known.next, open.length)
  const written = new Map<string, number>()
  let tried = 0
  while (missing().length > 0 && clock.now() < endMs) {
    const batch = Math.min(batchMax, Math.max(batchMin, missing().length))
    tried += batch
    const batchNumbers = Array.from({ length: batch }, () => numbers.next().value)
    await forEachBounded(batchNumbers, writesAtOnce, async (number) => {
      const { item } = canaryKey(keys, canary, number)
      if (await items.write(name, item, clock.now())) written.set(idOf(item), number)
    })
    await wait(pollMs)
    for (const { shardId, key } of await poll()) {
      const number = written.get(idOf(key))
      if (number !== undefined && !placed.has(shardId)) placed.set(shardId, number)
    }
  }
  const next = missing().length === 0 ? 0 : known.next + Math.max(0, tried - gone.length)
  return { streamArn, shards: Object.fromEntries(placed), next }
}
