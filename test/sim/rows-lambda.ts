import { isRetryable } from '../../shared/errors.ts'
import { applyChanges } from '../../shared/features/apply.ts'
import { redrive } from '../../shared/features/redrive.ts'
import type { Shard, StreamRecord } from './rows-source.ts'
import { type Process, tableName, type World } from './rows-world.ts'

/** Lambda, as it hands the records of a shard to the function: in order, at least once, sometimes to two at a time. */

/** Who is at work on a shard, and how late everybody there is. */
type Current = { process: Process; late: number }
type Batch = { records: StreamRecord[]; from: number; end: number }

export type Lambda = {
  world: World
  /** Calls that nobody waits for any more. */
  zombies: Promise<unknown>[]
}

/** By hand; what fails is for another time. */
export const redriveOnce = async (world: World): Promise<void> => {
  await world.wait(world.whole(30))
  try {
    await redrive(world.createProcess().deps)
  } catch (error) {
    if (!isRetryable(error)) throw error
  }
}

const numberOf = (record: StreamRecord | undefined): string => record?.dynamodb.SequenceNumber ?? ''

const invoke = (world: World, process: Process, records: readonly StreamRecord[]) => {
  const { random } = world
  const isShort = random() < 0.05
  const remainingMs = (): number => (isShort && world.failureRate > 0 && random() < 0.4 ? 0 : 60_000)
  return applyChanges(process.deps, records, { remainingMs })
}

/** A call goes on in a process of its own, behind the back of what comes after it, or ends where it is. */
const abandon = ({ world, zombies }: Lambda, process: Process, call: Promise<unknown>): void => {
  if (world.random() < 0.3) process.isDead = true
  else {
    process.late = world.whole(world.random() < 0.5 ? 6 : 50)
    world.hazards.add('a call that goes on after its time')
  }
  zombies.push(call)
}

/** The event source gives the records up, and names them to somebody with their images or without. */
const giveUp = async ({ world }: Lambda, records: readonly StreamRecord[]): Promise<void> => {
  const isWhole = world.random() < 0.5
  world.hazards.add(isWhole ? 'redriven with its payload' : 'redriven without payload')
  for (const record of records) {
    const { NewImage: _new, OldImage: _old, ...position } = record.dynamodb
    if (!isWhole) world.stripped.add(`${record.eventSourceARN} ${numberOf(record)}`)
    await world.quarantine.put({
      v: 1,
      table: tableName,
      streamArn: record.eventSourceARN,
      sequenceNumber: numberOf(record),
      reason: 'given up',
      at: world.now,
      record: isWhole ? record : { ...record, dynamodb: position },
    })
  }
}

const renew = (world: World, current: Current): void => {
  current.process = world.createProcess()
  current.process.late = current.late
}

const bisect = ({ world }: Lambda, batch: Batch): void => {
  if (batch.end - batch.from < 2 || world.random() < 0.4) return
  world.hazards.add('a batch cut in two')
  batch.end = batch.from + Math.ceil((batch.end - batch.from) / 2)
}

/** Hands over one batch until it is done or given up; answers where the next one begins. */
const deliver = async (lambda: Lambda, current: Current, batch: Batch): Promise<number> => {
  const { world, zombies } = lambda
  const { random, whole, hazards } = world
  for (let attempt = 0; batch.from < batch.end; attempt += 1) {
    const records = batch.records.slice(batch.from, batch.end)
    const call = invoke(world, current.process, records)
    const patience = random() < 0.12 ? whole(8) : Infinity
    const outcome =
      patience === Infinity ? await call : await Promise.race([call, world.wait(patience).then(() => undefined)])
    if (outcome && outcome.failedFrom === undefined) {
      batch.from = batch.end
      if (random() >= 0.12) continue
      hazards.add('a batch handed over twice')
      const process = world.createProcess()
      process.late = whole(random() < 0.5 ? 6 : 50)
      zombies.push(invoke(world, process, records))
      continue
    }
    hazards.add('a batch handed over again')
    if (!outcome) {
      abandon(lambda, current.process, call)
      renew(world, current)
    } else {
      if (random() < 0.3) renew(world, current)
      batch.from += records.findIndex((record) => numberOf(record) === outcome.failedFrom)
    }
    if (random() < 0.08) {
      await giveUp(lambda, batch.records.slice(batch.from, batch.end))
      zombies.push(redriveOnce(world))
      return batch.end
    }
    bisect(lambda, batch)
  }
  return batch.end
}

/** Delivers one shard to its end. */
export const pollShard = async (lambda: Lambda, shard: Shard): Promise<void> => {
  const { world } = lambda
  const current: Current = { process: world.createProcess(), late: world.random() < 0.7 ? 0 : world.whole(10) }
  renew(world, current)
  await world.wait(world.whole(12))
  for (let at = 0; at < shard.records.length || !shard.isClosed;) {
    const end = Math.min(shard.records.length, at + 1 + world.whole(5))
    if (at === end) await world.wait(2)
    else at = await deliver(lambda, current, { records: shard.records, from: at, end })
  }
}
