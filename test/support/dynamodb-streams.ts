import {
  type _Record,
  DescribeStreamCommand,
  type DynamoDBStreamsClient,
  GetRecordsCommand,
  GetShardIteratorCommand,
  type Shard,
} from '@aws-sdk/client-dynamodb-streams'
import type { CreateTableCommandInput, StreamViewType } from '@aws-sdk/client-dynamodb'
import type { Item } from './dynamodb.ts'

export type StreamRecord = _Record

export const withStream = (view: StreamViewType = 'NEW_AND_OLD_IMAGES'): Partial<CreateTableCommandInput> => ({
  StreamSpecification: { StreamEnabled: true, StreamViewType: view },
})

/** Every shard, over all pages of `limit`. */
export const shardsOf = async (streams: DynamoDBStreamsClient, arn: string, limit = 100): Promise<Shard[]> => {
  const shards: Shard[] = []
  let start: string | undefined
  do {
    const { StreamDescription: page } = await streams.send(
      new DescribeStreamCommand({ StreamArn: arn, Limit: limit, ...(start && { ExclusiveStartShardId: start }) }),
    )
    shards.push(...(page?.Shards ?? []))
    start = page?.LastEvaluatedShardId
  } while (start)
  return shards
}

/** Where to begin in a shard. */
export type Place =
  | { type: 'TRIM_HORIZON' | 'LATEST' }
  | { type: 'AT_SEQUENCE_NUMBER' | 'AFTER_SEQUENCE_NUMBER'; number: string }

export const iteratorOf = async (
  streams: DynamoDBStreamsClient,
  arn: string,
  shard: string,
  from: Place = { type: 'TRIM_HORIZON' },
): Promise<string> => {
  const { ShardIterator: iterator } = await streams.send(
    new GetShardIteratorCommand({
      StreamArn: arn,
      ShardId: shard,
      ShardIteratorType: from.type,
      ...('number' in from && { SequenceNumber: from.number }),
    }),
  )
  if (!iterator) throw new Error('no shard iterator')
  return iterator
}

/** All records from an iterator on, page by page, until the shard ends or a page is empty. */
export const readFrom = async (
  streams: DynamoDBStreamsClient,
  iterator: string,
  limit = 1000,
): Promise<StreamRecord[]> => {
  const records: StreamRecord[] = []
  for (let next: string | undefined = iterator; next;) {
    const page: { Records?: StreamRecord[] | undefined; NextShardIterator?: string | undefined } = await streams.send(
      new GetRecordsCommand({ ShardIterator: next, Limit: limit }),
    )
    records.push(...(page.Records ?? []))
    if (page.Records?.length === 0) break
    next = page.NextShardIterator
  }
  return records
}

/** Every record of a stream, shard by shard, parents first. */
export const readStream = async (streams: DynamoDBStreamsClient, arn: string): Promise<StreamRecord[]> => {
  const records: StreamRecord[] = []
  for (const shard of await shardsOf(streams, arn))
    records.push(...(await readFrom(streams, await iteratorOf(streams, arn, shard.ShardId ?? ''))))
  return records
}

const nameOf = (keys: Item | undefined): string => `${keys?.['pk']?.S}/${keys?.['sk']?.N}`

/** The table that the records add up to, by `pk/sk`; throws where a record's old image is not what came before it. */
export const fold = (records: StreamRecord[]): Map<string, string> => {
  const items = new Map<string, string>()
  for (const { dynamodb: change, eventName } of records) {
    const name = nameOf(change?.Keys)
    const before = change?.OldImage && stable(change.OldImage)
    if (before !== items.get(name)) throw new Error(`${eventName} of ${name}: ${items.get(name)} became ${before}`)
    if (change?.NewImage) items.set(name, stable(change.NewImage))
    else items.delete(name)
  }
  return items
}

/** What `fold` makes of the items themselves. */
export const tableOf = (items: Item[]): Map<string, string> =>
  new Map(items.map((item) => [nameOf(item), stable(item)]))

const stable = (item: Item): string => JSON.stringify(Object.entries(item).toSorted(([a], [b]) => (a < b ? -1 : 1)))
