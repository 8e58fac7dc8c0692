import {
  DeleteItemCommand,
  DescribeTableCommand,
  type StreamViewType,
  UpdateItemCommand,
  UpdateTableCommand,
} from '@aws-sdk/client-dynamodb'
import { DescribeStreamCommand, GetRecordsCommand, ListStreamsCommand } from '@aws-sdk/client-dynamodb-streams'
import { describe, expect, it } from 'vitest'
import { startDynamoDb } from '../../local/dynamodb/server.ts'
import { expectBugs, inFolder, motoTargets, type Target } from '../support/contract-target.ts'
import { callsOf, createTable, type Db, key, one, useDynamoDb } from '../support/dynamodb.ts'
import { iteratorOf, type Place, readFrom, readStream, shardsOf, withStream } from '../support/dynamodb-streams.ts'

const embedded: Target = { name: 'embedded', start: () => inFolder((dir) => startDynamoDb({ dir })) }
const moto = motoTargets([
  // records an insert without the update, and a change with it
  'records an update that makes an item as one insert',
  // gives microseconds
  'gives the time of a change in whole seconds',
  // compares sets as lists
  'records nothing for a write that changes nothing',
  // finds a stream by its table's name alone
  'refuses a stream that is not there',
  // answers ResourceInUseException, and fails at the first write to a table whose stream was disabled
  'gives a stream that is enabled again another ARN',
])

const arnOf = async (db: Db, table: string): Promise<string> => {
  const { Table: described } = await db.client.send(new DescribeTableCommand({ TableName: table }))
  return described!.LatestStreamArn!
}

/** A table of its own with a stream, since the order of a whole stream is what most of these look at. */
const freshTable = async (db: Db, view?: StreamViewType) => {
  const table = await createTable(db.client, withStream(view))
  const arn = await arnOf(db, table)
  const update = (sk: number) =>
    db.client.send(
      new UpdateItemCommand({
        TableName: table,
        Key: key('a', sk),
        UpdateExpression: 'ADD n :one',
        ExpressionAttributeValues: one,
      }),
    )
  const remove = (sk: number) => db.client.send(new DeleteItemCommand({ TableName: table, Key: key('a', sk) }))
  return { table, arn, update, remove, ...callsOf(db.client, table), read: () => readStream(db.streams, arn) }
}

for (const target of [embedded, ...moto]) {
  describe(`DynamoDB Streams on ${target.name}`, () => {
    expectBugs(target)
    const db = useDynamoDb(() => target.start())

    it('records inserts, changes and deletes with their images', async () => {
      const { put, update, remove, read } = await freshTable(db)
      await put({ ...key('a', 1), n: { N: '1' } })
      await update(1)
      await remove(1)
      const records = await read()
      expect(records.map((record) => [record.eventName, record.dynamodb?.OldImage, record.dynamodb?.NewImage])).toEqual(
        [
          ['INSERT', undefined, { ...key('a', 1), n: { N: '1' } }],
          ['MODIFY', { ...key('a', 1), n: { N: '1' } }, { ...key('a', 1), n: { N: '2' } }],
          ['REMOVE', { ...key('a', 1), n: { N: '2' } }, undefined],
        ],
      )
      for (const record of records) {
        expect(record).toMatchObject({ eventSource: 'aws:dynamodb', awsRegion: 'us-east-1' })
        expect(record.dynamodb?.Keys).toEqual(key('a', 1))
        expect(record.dynamodb?.SequenceNumber).toMatch(/^\d{21,40}$/)
      }
      expect(new Set(records.map((record) => record.eventID)).size).toBe(3)
    })

    it('records an update that makes an item as one insert', async () => {
      const { update, read } = await freshTable(db)
      await update(1)
      expect((await read()).map((record) => record.eventName)).toEqual(['INSERT'])
    })

    it('gives the time of a change in whole seconds', async () => {
      const { put, read } = await freshTable(db)
      const before = Date.now()
      await put(key('a', 1))
      const created = (await read())[0]!.dynamodb!.ApproximateCreationDateTime!.getTime()
      expect(created % 1000).toBe(0)
      expect(created).toBeGreaterThan(before - 1000)
      expect(created).toBeLessThanOrEqual(Date.now())
    })

    it('records nothing for a write that changes nothing', async () => {
      const { put, remove, read } = await freshTable(db)
      const item = { ...key('a', 1), tags: { SS: ['a', 'b'] } }
      await put(item)
      await put({ ...item, tags: { SS: ['b', 'a'] } })
      await remove(2)
      await remove(2)
      expect(await read()).toHaveLength(1)
    })

    it('records nothing for a write that is refused', async () => {
      const { table, put, read } = await freshTable(db)
      await put(key('a', 1))
      const refused = new DeleteItemCommand({
        TableName: table,
        Key: key('a', 1),
        ConditionExpression: 'attribute_not_exists(pk)',
      })
      await expect(db.client.send(refused)).rejects.toMatchObject({ name: 'ConditionalCheckFailedException' })
      expect(await read()).toHaveLength(1)
    })

    it.each([
      ['KEYS_ONLY', false, false],
      ['NEW_IMAGE', false, true],
      ['OLD_IMAGE', true, false],
      ['NEW_AND_OLD_IMAGES', true, true],
    ] as const)('gives the images of %s', async (view, hasOld, hasNew) => {
      const { put, read } = await freshTable(db, view)
      await put(key('a', 1))
      await put({ ...key('a', 1), v: { S: 'x' } })
      const change = (await read())[1]?.dynamodb
      expect([change?.OldImage !== undefined, change?.NewImage !== undefined]).toEqual([hasOld, hasNew])
      expect(change?.Keys).toEqual(key('a', 1))
      expect(change?.StreamViewType).toBe(view)
    })

    it('records batches and transactions', async () => {
      const { put, writeBatch, transact, table, read } = await freshTable(db)
      await put(key('a', 1))
      await writeBatch([{ PutRequest: { Item: key('a', 2) } }, { DeleteRequest: { Key: key('a', 1) } }])
      await transact([
        { Put: { TableName: table, Item: key('a', 3) } },
        { ConditionCheck: { TableName: table, Key: key('a', 9), ConditionExpression: 'attribute_not_exists(pk)' } },
        { Delete: { TableName: table, Key: key('a', 2) } },
      ])
      const seen = (await read()).map((record) => `${record.eventName} ${record.dynamodb?.Keys?.['sk']?.N}`)
      expect(seen.toSorted()).toEqual(['INSERT 1', 'INSERT 2', 'INSERT 3', 'REMOVE 1', 'REMOVE 2'])
    })

    it('reads from any place', async () => {
      const { arn, put } = await freshTable(db)
      const write = (n: number) => put({ ...key('a', 1), n: { N: String(n) } })
      const [shard] = await shardsOf(db.streams, arn)
      const id = shard!.ShardId!
      for (const n of [1, 2, 3, 4, 5]) await write(n)
      const from = async (place: Place) =>
        (await readFrom(db.streams, await iteratorOf(db.streams, arn, id, place))).map(
          (record) => record.dynamodb?.NewImage?.['n']?.N,
        )
      expect(await from({ type: 'TRIM_HORIZON' })).toEqual(['1', '2', '3', '4', '5'])
      const third = (await readFrom(db.streams, await iteratorOf(db.streams, arn, id)))[2]?.dynamodb?.SequenceNumber
      expect(await from({ type: 'AT_SEQUENCE_NUMBER', number: third! })).toEqual(['3', '4', '5'])
      expect(await from({ type: 'AFTER_SEQUENCE_NUMBER', number: third! })).toEqual(['4', '5'])
      const latest = await iteratorOf(db.streams, arn, id, { type: 'LATEST' })
      await write(6)
      expect((await readFrom(db.streams, latest)).map((record) => record.dynamodb?.NewImage?.['n']?.N)).toEqual(['6'])
    })

    it('pages by the limit asked for', async () => {
      const { arn, writeBatch } = await freshTable(db)
      await writeBatch(Array.from({ length: 25 }, (_, sk) => ({ PutRequest: { Item: key('a', sk) } })))
      const [shard] = await shardsOf(db.streams, arn)
      const iterator = await iteratorOf(db.streams, arn, shard!.ShardId!)
      const first = await db.streams.send(new GetRecordsCommand({ ShardIterator: iterator, Limit: 10 }))
      expect(first.Records).toHaveLength(10)
      const all = await readFrom(db.streams, iterator, 10)
      const numbers = all.map((record) => BigInt(record.dynamodb!.SequenceNumber!))
      expect(numbers).toHaveLength(25)
      expect(numbers).toEqual([...new Set(numbers)].toSorted((a, b) => (a < b ? -1 : 1)))
    })

    it('lists and describes streams', async () => {
      const { table, arn } = await freshTable(db)
      const { Streams: listed } = await db.streams.send(new ListStreamsCommand({ TableName: table }))
      expect(listed).toEqual([{ StreamArn: arn, StreamLabel: arn.split('/stream/')[1], TableName: table }])
      const { StreamDescription: described } = await db.streams.send(new DescribeStreamCommand({ StreamArn: arn }))
      expect(described).toMatchObject({
        StreamStatus: 'ENABLED',
        StreamViewType: 'NEW_AND_OLD_IMAGES',
        TableName: table,
        KeySchema: [
          { AttributeName: 'pk', KeyType: 'HASH' },
          { AttributeName: 'sk', KeyType: 'RANGE' },
        ],
      })
      expect(described?.Shards?.[0]?.SequenceNumberRange?.StartingSequenceNumber).toMatch(/^\d{21,40}$/)
    })

    it('refuses a stream that is not there', async () => {
      const { arn } = await freshTable(db)
      const nowhere = new DescribeStreamCommand({ StreamArn: `${arn}9` })
      await expect(db.streams.send(nowhere)).rejects.toMatchObject({ name: 'ResourceNotFoundException' })
    })

    it('gives a stream that is enabled again another ARN', async () => {
      const { table, arn, update } = await freshTable(db)
      await update(1)
      const updateTable = (enabled: boolean) =>
        db.client.send(
          new UpdateTableCommand({
            TableName: table,
            StreamSpecification: { StreamEnabled: enabled, ...(enabled && { StreamViewType: 'KEYS_ONLY' }) },
          }),
        )
      await expect(updateTable(true)).rejects.toMatchObject({ name: 'ValidationException' })
      await updateTable(false)
      await update(1)
      expect(await readStream(db.streams, arn)).toHaveLength(1)
      expect((await shardsOf(db.streams, arn))[0]?.SequenceNumberRange?.EndingSequenceNumber).toMatch(/^\d{21,40}$/)
      await updateTable(true)
      const again = await arnOf(db, table)
      expect(again).not.toBe(arn)
      await update(1)
      expect(await readStream(db.streams, again)).toHaveLength(1)
      expect(await readStream(db.streams, arn)).toHaveLength(1)
    })
  })
}
