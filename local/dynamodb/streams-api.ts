/** Streams as consumers see them: ListStreams, DescribeStream, GetShardIterator and GetRecords. */
import type { Engine } from './engine.ts'
import { toSequenceNumber } from './sequence.ts'
import { decodeIterator, encodeIterator, refuseTrimmed, startOf } from './shard-iterator.ts'
import type { Shard, Stream } from './stream-catalog.ts'
import { invalid, refusal } from './wire.ts'

const recordsMax = 1000
const responseBytesMax = 2 ** 20
const pageMax = 100

type Paged = { Limit?: number }
type ListInput = Paged & { TableName?: string; ExclusiveStartStreamArn?: string }
type DescribeInput = Paged & { StreamArn: string; ExclusiveStartShardId?: string; ShardFilter?: { ShardId?: string } }
type IteratorInput = { StreamArn: string; ShardId: string; ShardIteratorType: string; SequenceNumber?: string }
type RecordsInput = Paged & { ShardIterator: string }

const limitOf = (limit: number | undefined, max: number): number => {
  if (limit === undefined) return max
  if (!Number.isInteger(limit) || limit < 1 || limit > max)
    throw invalid(`Value '${limit}' at 'limit' failed to satisfy constraint: Member must have value from 1 to ${max}`)
  return limit
}

/** The items after the one named, at most `limit`, and the name to go on from where there are more. */
const pageOf = <T>(
  items: T[],
  nameOf: (item: T) => string,
  after: string | undefined,
  limit: number,
): { page: T[]; last?: string } => {
  const start = after === undefined ? 0 : items.findIndex((item) => nameOf(item) === after) + 1
  const page = items.slice(start, start + limit)
  const last = page.at(-1)
  return last !== undefined && start + limit < items.length ? { page, last: nameOf(last) } : { page }
}

const describeShard = (shard: Shard): unknown => ({
  ShardId: shard.id,
  ...(shard.parent && { ParentShardId: shard.parent }),
  SequenceNumberRange: {
    StartingSequenceNumber: toSequenceNumber(shard.first),
    ...(shard.last !== undefined && { EndingSequenceNumber: toSequenceNumber(shard.last) }),
  },
})

const shardOf = (stream: Stream, id: string): Shard => {
  const shard = stream.shards.find((candidate) => candidate.id === id)
  if (!shard) throw refusal('ResourceNotFoundException', `Requested resource not found: Shard: ${id} of ${stream.arn}`)
  return shard
}

const describeStream = (stream: Stream, input: DescribeInput): unknown => {
  const parent = input.ShardFilter?.ShardId
  const shards = stream.shards.filter((shard) => parent === undefined || shard.parent === parent)
  const limit = limitOf(input.Limit, pageMax)
  const { page, last } = pageOf(shards, (shard) => shard.id, input.ExclusiveStartShardId, limit)
  return {
    StreamDescription: {
      StreamArn: stream.arn,
      StreamLabel: stream.label,
      StreamStatus: stream.disabledAt === undefined ? 'ENABLED' : 'DISABLED',
      StreamViewType: stream.view,
      CreationRequestDateTime: stream.createdAt / 1000,
      TableName: stream.table,
      KeySchema: stream.keySchema,
      Shards: page.map(describeShard),
      ...(last !== undefined && { LastEvaluatedShardId: last }),
    },
  }
}

export const createStreamsApi = ({ catalog, log, now }: Engine, streamRetentionMs: number) => {
  const streamOf = (arn: string): Stream => {
    log.trim(now() - streamRetentionMs)
    const stream = catalog.find(arn)
    if (!stream) throw refusal('ResourceNotFoundException', `Requested resource not found: Stream: ${arn} not found`)
    return stream
  }
  return {
    ListStreams: async (input: ListInput): Promise<unknown> => {
      const streams = catalog.all().filter((stream) => !input.TableName || stream.table === input.TableName)
      const limit = limitOf(input.Limit, pageMax)
      const { page, last } = pageOf(streams, (stream) => stream.arn, input.ExclusiveStartStreamArn, limit)
      return {
        Streams: page.map(({ arn, label, table }) => ({ StreamArn: arn, StreamLabel: label, TableName: table })),
        ...(last !== undefined && { LastEvaluatedStreamArn: last }),
      }
    },
    DescribeStream: async (input: DescribeInput): Promise<unknown> => describeStream(streamOf(input.StreamArn), input),
    GetShardIterator: async (input: IteratorInput): Promise<unknown> => {
      const stream = streamOf(input.StreamArn)
      const shard = shardOf(stream, input.ShardId)
      const after = startOf(shard, log.committed(), input.ShardIteratorType, input.SequenceNumber)
      return { ShardIterator: encodeIterator(stream.arn, { shard: shard.id, after, issuedAt: now() }) }
    },
    GetRecords: async (input: RecordsInput): Promise<unknown> => {
      const limit = limitOf(input.Limit, recordsMax)
      const { arn, iterator } = decodeIterator(input.ShardIterator, now())
      const shard = shardOf(streamOf(arn), iterator.shard)
      refuseTrimmed(shard, iterator.after)
      const found = log.read(shard.id, iterator.after, limit)
      let bytes = 0
      const tooMuch = found.findIndex((record) => (bytes += Buffer.byteLength(record.body)) > responseBytesMax)
      const page = tooMuch < 0 ? found : found.slice(0, Math.max(1, tooMuch))
      const after = page.at(-1)?.counter ?? iterator.after
      const drained = shard.last !== undefined && page.length === found.length && found.length < limit
      return {
        Records: page.map((record) => JSON.parse(record.body) as unknown),
        ...(!drained && { NextShardIterator: encodeIterator(arn, { shard: shard.id, after, issuedAt: now() }) }),
      }
    },
  }
}
