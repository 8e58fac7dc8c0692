import { DescribeTableCommand, UpdateTimeToLiveCommand } from '@aws-sdk/client-dynamodb'
import { GetRecordsCommand } from '@aws-sdk/client-dynamodb-streams'
import { describe, expect, it } from 'vitest'
import { startDynamoDb } from '../../local/dynamodb/server.ts'
import { inFolder } from '../support/contract-target.ts'
import { type Db, key, useDynamoDb } from '../support/dynamodb.ts'
import { fold, iteratorOf, readFrom, readStream, shardsOf, tableOf, withStream } from '../support/dynamodb-streams.ts'

const hourMs = 3600_000

const arnOf = async ({ client, table }: Db): Promise<string> =>
  (await client.send(new DescribeTableCommand({ TableName: table }))).Table!.LatestStreamArn!

const split = async (db: Db, query = ''): Promise<string[]> => {
  const response = await fetch(`${db.running.url}/_lifeboat/split?table=${db.table}${query}`, { method: 'POST' })
  return ((await response.json()) as { shards: string[] }).shards
}

const expiring = (sk: number, atMs: number) => ({
  ...key('ttl', sk),
  expires: { N: String(Math.floor(atMs / 1000)) },
})

describe('the shards of the embedded DynamoDB', () => {
  const db = useDynamoDb(() => inFolder((dir) => startDynamoDb({ dir })), withStream())

  it('split by key, with everything once and the order of each key kept', async () => {
    const arn = await arnOf(db)
    const write = async (round: number) => {
      for (let pk = 0; pk < 12; pk += 1) await db.put({ ...key(`k${pk}`), round: { N: String(round) } })
    }
    await write(1)
    const [parent] = await shardsOf(db.streams, arn)
    const children = await split(db)
    await write(2)
    const grandchildren = await split(db, `&shard=${children[0]}`)
    await write(3)
    const [rolled] = await split(db, `&shard=${children[1]}&children=1`)
    await write(4)

    const shards = await shardsOf(db.streams, arn, 2)
    expect(shards.map((shard) => [shard.ShardId, shard.ParentShardId])).toEqual([
      [parent?.ShardId, undefined],
      [children[0], parent?.ShardId],
      [children[1], parent?.ShardId],
      [grandchildren[0], children[0]],
      [grandchildren[1], children[0]],
      [rolled, children[1]],
    ])
    const open = shards.filter((shard) => shard.SequenceNumberRange?.EndingSequenceNumber === undefined)
    expect(open.map((shard) => shard.ShardId)).toEqual([...grandchildren, rolled])

    const records = await readStream(db.streams, arn)
    expect(records).toHaveLength(48)
    expect(fold(records).size).toBe(12)
    for (const shard of shards) {
      const range = shard.SequenceNumberRange!
      const own = await readFrom(db.streams, await iteratorOf(db.streams, arn, shard.ShardId!))
      const numbers = own.map((record) => BigInt(record.dynamodb!.SequenceNumber!))
      expect(numbers.length).toBeGreaterThan(0)
      expect(numbers[0]).toBeGreaterThanOrEqual(BigInt(range.StartingSequenceNumber!))
      expect(numbers.at(-1)).toBeLessThanOrEqual(BigInt(range.EndingSequenceNumber ?? 10n ** 40n))
    }
  })

  it('end: a closed one has no next iterator', async () => {
    const arn = await arnOf(db)
    const shards = await shardsOf(db.streams, arn)
    const nextOf = async (id: string) => {
      const iterator = await iteratorOf(db.streams, arn, id)
      return (await db.streams.send(new GetRecordsCommand({ ShardIterator: iterator }))).NextShardIterator
    }
    expect(await nextOf(shards[0]!.ShardId!)).toBeUndefined()
    expect(await nextOf(shards.at(-1)!.ShardId!)).toBeDefined()
  })

  it('answer at most 1 MiB at a time, and always a record', async () => {
    const arn = await arnOf(db)
    const shards = await shardsOf(db.streams, arn)
    const latest = await Promise.all(
      shards.slice(-3).map((shard) => iteratorOf(db.streams, arn, shard.ShardId!, { type: 'LATEST' })),
    )
    for (let sk = 0; sk < 5; sk += 1) await db.put({ ...key('large', sk), v: { S: 'x'.repeat(300 * 1024) } })
    const sizes: number[] = []
    for (let iterator of latest)
      for (let page = 0; page < 4; page += 1) {
        const answer = await db.streams.send(new GetRecordsCommand({ ShardIterator: iterator }))
        if (answer.Records!.length > 0) sizes.push(answer.Records!.length)
        iterator = answer.NextShardIterator!
      }
    expect(sizes).toEqual([3, 2])
  })

  it('number records so that text order is not their order', async () => {
    for (let batch = 0; batch < 44; batch += 1)
      await db.writeBatch(Array.from({ length: 25 }, (_, sk) => ({ PutRequest: { Item: key(`many${batch}`, sk) } })))
    const numbers = (await readStream(db.streams, await arnOf(db))).map((record) => record.dynamodb!.SequenceNumber!)
    expect(new Set(numbers.map((number) => number.length))).toEqual(new Set([21, 22]))
    expect(new Set(numbers).size).toBe(numbers.length)
  })
})

describe('the embedded DynamoDB over time', () => {
  let now = Date.parse('2026-03-01T10:00:00.900Z')
  const start = () => inFolder((dir) => startDynamoDb({ dir, now: () => now, ttlSweepMs: hourMs }))
  const db = useDynamoDb(start, withStream())
  it('deletes what has expired as the service itself', async () => {
    await db.client.send(
      new UpdateTimeToLiveCommand({
        TableName: db.table,
        TimeToLiveSpecification: { Enabled: true, AttributeName: 'expires' },
      }),
    )
    await db.put(expiring(1, now + hourMs))
    await db.put(expiring(2, now + 3 * hourMs))
    await db.put(expiring(3, now - 6 * 365 * 24 * hourMs))
    await db.put({ ...key('ttl', 4), expires: { S: '1' } })
    now += 2 * hourMs
    expect(await db.running.sweep()).toBe(1)
    expect(await db.running.sweep()).toBe(0)
    const records = await readStream(db.streams, await arnOf(db))
    expect(records).toHaveLength(5)
    expect(records.at(-1)).toMatchObject({
      eventName: 'REMOVE',
      userIdentity: { Type: 'Service', PrincipalId: 'dynamodb.amazonaws.com' },
      dynamodb: { Keys: key('ttl', 1), ApproximateCreationDateTime: new Date('2026-03-01T12:00:00Z') },
    })
    expect(records[0]?.userIdentity).toBeUndefined()
    const left = await Promise.all([1, 2, 3, 4].map((sk) => db.get(key('ttl', sk))))
    expect(fold(records)).toEqual(tableOf(left.filter((item) => item !== undefined)))
  })

  it('lets an iterator expire after 15 minutes', async () => {
    const arn = await arnOf(db)
    const [shard] = await shardsOf(db.streams, arn)
    const iterator = await iteratorOf(db.streams, arn, shard!.ShardId!)
    now += hourMs / 4
    expect(await readFrom(db.streams, iterator)).toHaveLength(5)
    now += 1
    await expect(readFrom(db.streams, iterator)).rejects.toMatchObject({ name: 'ExpiredIteratorException' })
  })

  it('forgets records after 24 hours and says so', async () => {
    const arn = await arnOf(db)
    const [shard] = await shardsOf(db.streams, arn)
    const last = (await readStream(db.streams, arn)).at(-1)!.dynamodb!.SequenceNumber!
    now += 24 * hourMs - hourMs / 3
    const early = await iteratorOf(db.streams, arn, shard!.ShardId!, { type: 'AT_SEQUENCE_NUMBER', number: last })
    now += hourMs / 6
    await db.put(key('late'))
    const trimmed = { name: 'TrimmedDataAccessException' }
    await expect(readFrom(db.streams, early)).rejects.toMatchObject(trimmed)
    const gone = iteratorOf(db.streams, arn, shard!.ShardId!, { type: 'AT_SEQUENCE_NUMBER', number: last })
    await expect(gone).rejects.toMatchObject(trimmed)
    expect((await readStream(db.streams, arn)).map((record) => record.dynamodb?.Keys)).toEqual([key('late')])
  })

  it('forgets a closed shard 24 hours later', async () => {
    const arn = await arnOf(db)
    await db.running.split(db.table)
    expect(await shardsOf(db.streams, arn)).toHaveLength(3)
    now += 24 * hourMs + 1
    expect(await shardsOf(db.streams, arn)).toHaveLength(2)
  })
})
