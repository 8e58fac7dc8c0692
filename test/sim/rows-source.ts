import type { Item } from '../../shared/features/item.ts'
import { streamArn } from '../support/rows-deps.ts'
import { keyOf, tableName, type World } from './rows-world.ts'

/** The table that is replicated: what really happened to its items, and what its streams tell of it. */

export type StreamRecord = {
  eventName: 'INSERT' | 'MODIFY' | 'REMOVE'
  eventSourceARN: string
  userIdentity?: { type: string; principalId: string }
  dynamodb: {
    ApproximateCreationDateTime: number
    Keys: Item
    NewImage?: Item
    OldImage?: Item
    SequenceNumber: string
  }
}

/** What happened to an item. Without `record`, while no stream was on. */
export type Operation = { pk: string; ms: number; second: number; after: Item | undefined; record?: StreamRecord }
export type Shard = { records: StreamRecord[]; isClosed: boolean }

export type Source = {
  keys: string[]
  /** Those that were there before the first stream. */
  initial: Map<string, Item>
  operations: Operation[]
  /** By epoch, from 1. */
  streams: Shard[][]
  shardsPerStream: number
  isOn: boolean
  isDone: boolean
  /** The stream's idea of the second may step back. */
  stepsBack: boolean
  /** How often a record comes with an image that nobody can read. */
  garbleRate: number
}

const createNumbers = (world: World, digitsFirst: number): (() => string) => {
  let last = BigInt(String(1 + world.whole(9)) + '0'.repeat(digitsFirst - 1)) + BigInt(world.whole(1_000_000))
  return () => {
    const leap = world.random() < 0.15 && String(last).length < 40
    const step = BigInt(1 + world.whole(world.random() < 0.3 ? 100_000 : 5))
    last = leap ? 10n ** BigInt(String(last).length) + step : last + step
    return String(last)
  }
}

export const createSource = (world: World): Source => {
  const { random, whole } = world
  const keys = ['a', 'b', 'c'].slice(0, random() < 0.6 ? 1 : 2 + whole(2))
  const source: Source = {
    keys,
    initial: new Map(),
    operations: [],
    streams: [],
    shardsPerStream: random() < 0.7 ? 1 : 2,
    isOn: false,
    isDone: false,
    stepsBack: random() < 0.04,
    garbleRate: random() < 0.15 ? 0.2 : 0,
  }
  for (const pk of keys) {
    if (random() >= 0.5) continue
    const item: Item = { ...keyOf(pk), v: { S: 'before all' } }
    source.initial.set(pk, item)
    world.items.put(tableName, item)
  }
  return source
}

const openStream = ({ streams, shardsPerStream }: Source): void => {
  streams.push(Array.from({ length: shardsPerStream }, () => ({ records: [], isClosed: false })))
}

const nextItem = (world: World, pk: string, count: number): Item => {
  const { random, whole, hazards } = world
  const isAgain = count > 2 && random() < 0.2
  const item: Item = { ...keyOf(pk), v: { N: String(isAgain ? count - 1 - whole(2) : count) } }
  if (world.refusals.rows && random() < 0.02) {
    hazards.add('an item that Bigtable refuses')
    item['huge'] = { BOOL: true }
  }
  return item
}

/** A record as it comes from a stream, or one that no parser reads. */
const recordOf = (world: World, source: Source, operation: Operation, before: Item | undefined): StreamRecord => {
  const { random, hazards } = world
  const { pk, second, after } = operation
  const epoch = source.streams.length
  const isExpiry = after === undefined && random() < 0.3
  if (isExpiry) hazards.add('an item that expired')
  const changed = before === undefined ? 'INSERT' : 'MODIFY'
  const isGarbled = random() < source.garbleRate
  if (isGarbled) hazards.add('an image that nobody can read')
  const old = isGarbled ? { v: { X: 1 } as unknown as { S: string } } : before
  return {
    eventName: after === undefined ? 'REMOVE' : changed,
    eventSourceARN: streamArn(epoch),
    ...(isExpiry && { userIdentity: { type: 'Service', principalId: 'dynamodb.amazonaws.com' } }),
    dynamodb: {
      ApproximateCreationDateTime: second,
      Keys: keyOf(pk),
      ...(after && { NewImage: after }),
      ...(old && { OldImage: old }),
      SequenceNumber: '',
    },
  }
}

const changeOne = (world: World, source: Source, nextNumber: () => string): void => {
  const { random, whole, hazards } = world
  const index = whole(source.keys.length)
  const pk = source.keys[index] as string
  const own = source.operations.filter((operation) => operation.pk === pk)
  const before = own.length > 0 ? own.at(-1)?.after : source.initial.get(pk)
  world.now += random() < 0.6 ? whole(300) : whole(4000)
  const after = before !== undefined && random() < 0.35 ? undefined : nextItem(world, pk, source.operations.length)
  if (after && before && JSON.stringify(after) === JSON.stringify(before)) return
  const ms = world.now
  const second = Math.floor((source.stepsBack ? ms - whole(2500) : ms) / 1000)
  const operation: Operation = { pk, ms, second, after }
  if (after) world.items.put(tableName, after)
  else world.items.delete(tableName, keyOf(pk))
  if (after && own.some((earlier) => earlier.after === undefined)) hazards.add('an item deleted and made again')
  if (own.some((earlier) => earlier.second === second)) hazards.add('changes of an item in one second')
  if (own.some((earlier) => earlier.second > second)) hazards.add('a time that steps back')
  source.operations.push(operation)
  if (!source.isOn) return void hazards.add('changes while no stream was on')
  const record = recordOf(world, source, operation, before)
  record.dynamodb.SequenceNumber = nextNumber()
  const digits = own.at(-1)?.record?.dynamodb.SequenceNumber.length ?? 0
  if (digits > 0 && digits < record.dynamodb.SequenceNumber.length) hazards.add('sequence numbers of more digits')
  operation.record = record
  source.streams.at(-1)?.[index % source.shardsPerStream]?.records.push(record)
}

const closeStream = ({ streams }: Source): void => {
  for (const shard of streams.at(-1) ?? []) shard.isClosed = true
}

/** What happens to the table, from the first change to the last; `onEnabled` once a second stream is on. */
export const liveThrough = async (world: World, source: Source, onEnabled: () => void): Promise<void> => {
  const { random, whole, hazards } = world
  openStream(source)
  source.isOn = true
  const count = 3 + whole(9)
  const offAt = random() < 0.2 ? whole(count) : Infinity
  const onAt = offAt + whole(4)
  const digitsFirst = 21 + whole(19)
  let nextNumber = createNumbers(world, digitsFirst)
  const total = offAt === Infinity ? count : Math.max(count, onAt + 1)
  for (let done = 0; done < total; done += 1) {
    await world.wait(1 + whole(6))
    if (done === offAt) {
      closeStream(source)
      source.isOn = false
    }
    if (done === onAt) {
      world.now += whole(2000)
      openStream(source)
      source.isOn = true
      hazards.add('a stream that was off and on again')
      nextNumber = createNumbers(world, 21 + whole(digitsFirst - 20))
      onEnabled()
    }
    changeOne(world, source, nextNumber)
  }
  closeStream(source)
  source.isDone = true
}
