import { DescribeTableCommand, type DynamoDBClient, UpdateItemCommand } from '@aws-sdk/client-dynamodb'
import {
  DescribeStreamCommand,
  type DynamoDBStreamsClient,
  GetRecordsCommand,
  GetShardIteratorCommand,
} from '@aws-sdk/client-dynamodb-streams'
import { mapInOrder, toArray } from '../../bounded.ts'
import { ConflictError, InvalidInputError } from '../../errors.ts'
import { parseItem } from '../../features/attribute-json.ts'
import type { Item } from '../../features/item.ts'
import { canaryAttribute } from '../../proof/canary.ts'
import type { CanaryItems, KeyAttribute } from '../../proof/lag-deps.ts'
import { translated } from './errors.ts'

const shardsAtOnce = 16

const describeKeys = async (dynamodb: DynamoDBClient, table: string): ReturnType<CanaryItems['keys']> => {
  const { Table } = await translated(`describe table ${table}`, () =>
    dynamodb.send(new DescribeTableCommand({ TableName: table })),
  )
  const attributeOf = (keyType: 'HASH' | 'RANGE'): KeyAttribute | undefined => {
    const name = Table?.KeySchema?.find(({ KeyType }) => KeyType === keyType)?.AttributeName
    const type = Table?.AttributeDefinitions?.find(({ AttributeName }) => AttributeName === name)?.AttributeType
    return name === undefined || type === undefined ? undefined : { name, type }
  }
  const [partition, sort] = [attributeOf('HASH'), attributeOf('RANGE')]
  if (!partition) throw new InvalidInputError(`table ${table} answered no partition key`)
  return sort ? { partition, sort } : { partition }
}

const openShards = async (streams: DynamoDBStreamsClient, StreamArn: string): Promise<string[]> => {
  const open: string[] = []
  let ExclusiveStartShardId: string | undefined
  do {
    const { StreamDescription: page } = await translated(`describe stream ${StreamArn}`, () =>
      streams.send(new DescribeStreamCommand({ StreamArn, ExclusiveStartShardId })),
    )
    // Its shards may be seen open for a while yet.
    if (page?.StreamStatus === 'DISABLED' || page?.StreamStatus === 'DISABLING') return []
    for (const { ShardId, SequenceNumberRange } of page?.Shards ?? [])
      if (ShardId !== undefined && SequenceNumberRange?.EndingSequenceNumber === undefined) open.push(ShardId)
    ExclusiveStartShardId = page?.LastEvaluatedShardId
  } while (ExclusiveStartShardId !== undefined)
  return open
}

type Place = { shardId: string; iterator: string | undefined }

const followShards = async (
  streams: DynamoDBStreamsClient,
  StreamArn: string,
  shardIds: readonly string[],
): ReturnType<CanaryItems['follow']> => {
  const begin = async (shardId: string): Promise<Place> => {
    const { ShardIterator } = await translated(`look into shard ${shardId}`, () =>
      streams.send(new GetShardIteratorCommand({ StreamArn, ShardId: shardId, ShardIteratorType: 'LATEST' })),
    )
    return { shardId, iterator: ShardIterator }
  }
  const places = await toArray(mapInOrder(shardIds, shardsAtOnce, begin))
  const look = async (place: Place): Promise<{ shardId: string; key: Item }[]> => {
    const { shardId, iterator } = place
    // The shard has ended.
    if (iterator === undefined) return []
    const { Records = [], NextShardIterator } = await translated(`read shard ${shardId}`, () =>
      streams.send(new GetRecordsCommand({ ShardIterator: iterator })),
    )
    place.iterator = NextShardIterator
    return Records.map(({ dynamodb }) => ({ shardId, key: parseItem(dynamodb?.Keys, `a key of shard ${shardId}`) }))
  }
  return async () => (await toArray(mapInOrder(places, shardsAtOnce, look))).flat()
}

/** Canaries in the tables of DynamoDB, and the shards of their streams. */
export const createCanaryItems = (dynamodb: DynamoDBClient, streams: DynamoDBStreamsClient): CanaryItems => ({
  keys: (table) => describeKeys(dynamodb, table),
  openShards: (streamArn) => openShards(streams, streamArn),
  follow: (streamArn, shardIds) => followShards(streams, streamArn, shardIds),
  write: async (table, key, writtenAt) => {
    const [partition = ''] = Object.keys(key)
    try {
      await translated(`write canary of ${table}`, () =>
        dynamodb.send(
          new UpdateItemCommand({
            TableName: table,
            Key: key,
            UpdateExpression: 'SET #canary = :at',
            ConditionExpression: 'attribute_not_exists(#partition) OR attribute_exists(#canary)',
            ExpressionAttributeNames: { '#canary': canaryAttribute, '#partition': partition },
            ExpressionAttributeValues: { ':at': { N: String(writtenAt) } },
          }),
        ),
      )
      return true
    } catch (error) {
      if (error instanceof ConflictError) return false
      throw error
    }
  },
})
