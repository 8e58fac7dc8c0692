import { setTimeout as sleep } from 'node:timers/promises'
import type { Checkpoints } from './checkpoints.ts'
import { matchesPattern } from './event-pattern.ts'
import type { Outcome } from './instance.ts'
import type { Source } from './sqs-source.ts'
import type { StreamMapping } from './stack.ts'
import { type GivenUp, runStreamBatch } from './stream-batch.ts'
import { type Shard, type StreamClient, StreamError, type StreamRecord } from './stream-client.ts'

const idlePollMs = 100
const discoverMs = 500
const backOffMaxMs = 5000
const readAtOnceMax = 1000

class StoppedError extends Error {
  override readonly name = 'StoppedError'
}

export type StreamSource = Source & {
  /** Counts rounds in which every open shard was found empty; the first to end after a moment may have begun before it. */
  emptyRounds(): number
}

type Options = {
  client: StreamClient
  mapping: StreamMapping
  checkpoints: Checkpoints
  invoke: (event: unknown) => Promise<Outcome>
  onFailure: (given: GivenUp, shardId: string) => Promise<void>
  onError: (error: unknown) => void
}
type Reader = { emptyPolls: number; running: boolean }

/** The position to go on from: after the checkpoint, else as the mapping says; a child of a shard that was read starts whole. */
const openIterator = (
  { client, mapping }: Options,
  shard: Shard,
  sequenceNumber: string | undefined,
  fromStart: boolean,
): Promise<string> => {
  const input = { StreamArn: mapping.sourceArn, ShardId: shard.ShardId }
  if (sequenceNumber !== undefined)
    return client.iterator({ ...input, ShardIteratorType: 'AFTER_SEQUENCE_NUMBER', SequenceNumber: sequenceNumber })
  return client.iterator({ ...input, ShardIteratorType: fromStart ? 'TRIM_HORIZON' : mapping.startingPosition })
}

const createShardReader = (options: Options, shard: Shard, fromStart: boolean, stopped: () => boolean) => {
  const { client, mapping, checkpoints, invoke, onFailure, onError } = options
  const reader: Reader = { emptyPolls: 0, running: false }
  const saved = (): string | undefined =>
    checkpoints.get(mapping.logicalId, mapping.sourceArn, shard.ShardId).sequenceNumber
  const save = (sequenceNumber: string | undefined, done = false): void =>
    checkpoints.set(mapping.logicalId, mapping.sourceArn, shard.ShardId, { sequenceNumber, done })
  const wanted = (record: StreamRecord): boolean =>
    mapping.filters.length === 0 || mapping.filters.some((pattern) => matchesPattern(pattern, record))

  const run = async (records: StreamRecord[]): Promise<void> => {
    const batch = records.filter(wanted)
    if (batch.length > 0)
      await runStreamBatch(batch, mapping, {
        invoke: (part) => {
          if (stopped()) throw new StoppedError('the runner stops')
          return invoke({ Records: part })
        },
        checkpoint: (sequenceNumber) => save(sequenceNumber),
        giveUp: (given) => onFailure(given, shard.ShardId),
        backOff: async (retry) => {
          await sleep(Math.min(backOffMaxMs, 100 * 2 ** Math.min(retry, 10)))
          if (stopped()) throw new StoppedError('the runner stops')
        },
        now: () => Date.now(),
      })
    const last = records.at(-1)
    if (last) save(last.dynamodb.SequenceNumber)
  }

  /** Reads until the batch is full, its window is over or the shard ends. */
  const gather = async (start: string): Promise<{ records: StreamRecord[]; next: string | undefined }> => {
    const records: StreamRecord[] = []
    let next: string | undefined = start
    let until: number | undefined
    while (next !== undefined && !stopped()) {
      const page = await client.records(next, Math.min(readAtOnceMax, mapping.batchSize - records.length))
      records.push(...page.records)
      next = page.next
      if (records.length > 0) until ??= Date.now() + mapping.batchWindowMs
      if (records.length === 0 || records.length >= mapping.batchSize || Date.now() >= (until ?? 0)) break
      await sleep(Math.min(idlePollMs, mapping.batchWindowMs))
    }
    return { records, next }
  }

  const read = async (): Promise<void> => {
    let iterator: string | undefined = await openIterator(options, shard, saved(), fromStart)
    while (iterator !== undefined && !stopped()) {
      const { records, next } = await gather(iterator)
      // A stop in between may have cut the batch: it is read again from the checkpoint.
      if (stopped()) return
      reader.running = records.length > 0
      await run(records)
      reader.running = false
      if (records.length === 0) {
        reader.emptyPolls += 1
        if (next !== undefined) await sleep(idlePollMs)
      }
      iterator = next
    }
    if (!stopped()) save(saved(), true)
  }

  const readOn = async (): Promise<void> => {
    while (!stopped()) {
      try {
        return await read()
      } catch (error) {
        reader.running = false
        if (error instanceof StoppedError) return
        if (error instanceof StreamError && error.code === 'TrimmedDataAccessException') save(undefined)
        onError(error)
        await sleep(discoverMs)
      }
    }
  }
  return { reader, readOn }
}

/**
 * Reads a stream for a function as an event source mapping does: each shard in order, a child only when its parent is
 * read to its end, from the last checkpoint on.
 */
export const startStreamSource = (options: Options): StreamSource => {
  const { client, mapping, checkpoints, onError } = options
  const readers = new Map<string, Reader>()
  const open = new Set<string>()
  const loops: Promise<void>[] = []
  const stopping = new AbortController()
  let rounds = 0
  const stopped = (): boolean => stopping.signal.aborted
  const isDone = (shardId: string): boolean => checkpoints.get(mapping.logicalId, mapping.sourceArn, shardId).done

  const startShard = (shard: Shard, hasParent: boolean): void => {
    const { reader, readOn } = createShardReader(options, shard, hasParent, stopped)
    readers.set(shard.ShardId, reader)
    open.add(shard.ShardId)
    loops.push(readOn().finally(() => open.delete(shard.ShardId)))
  }

  const discover = async (): Promise<void> => {
    const shards = await client.shards(mapping.sourceArn)
    const listed = new Set(shards.map((shard) => shard.ShardId))
    for (const shard of shards) {
      const parent = shard.ParentShardId
      const parentListed = parent !== undefined && listed.has(parent)
      if (readers.has(shard.ShardId) || isDone(shard.ShardId) || (parentListed && !isDone(parent))) continue
      startShard(shard, parent !== undefined && isDone(parent))
    }
  }

  const watch = async (): Promise<void> => {
    while (!stopped()) {
      const before = new Map([...readers].map(([shardId, reader]) => [shardId, reader.emptyPolls]))
      try {
        await discover()
        const started = [...open].every((shardId) => before.has(shardId))
        const readNow = [...open]
        await sleep(discoverMs / 2)
        // The first of two polls may have been on its way before; the second was not.
        const polled = [...open].every(
          (shardId) => (readers.get(shardId)?.emptyPolls ?? 0) > (before.get(shardId) ?? 0) + 1,
        )
        // A shard that came to its end has children that only the next look finds.
        if (started && polled && open.size > 0 && readNow.every((shardId) => open.has(shardId))) rounds += 1
      } catch (error) {
        if (!stopped()) onError(error)
        await sleep(discoverMs)
      }
    }
  }
  const watching = watch()
  return {
    busy: () => [...readers.values()].some((reader) => reader.running),
    emptyRounds: () => rounds,
    stop: async () => {
      stopping.abort()
      await watching
      await Promise.all(loops)
    },
  }
}
