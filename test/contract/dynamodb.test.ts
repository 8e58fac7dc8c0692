import {
  BatchGetItemCommand,
  DeleteItemCommand,
  GetItemCommand,
  PutItemCommand,
  QueryCommand,
  ScanCommand,
  UpdateItemCommand,
} from '@aws-sdk/client-dynamodb'
import { describe, expect, it } from 'vitest'
import { startDynamoDb } from '../../local/dynamodb/server.ts'
import { expectBugs, inFolder, motoTargets, type Target } from '../support/contract-target.ts'
import { key, useDynamoDb, withIndex, type Item } from '../support/dynamodb.ts'

const startEmbedded = () => inFolder((dir) => startDynamoDb({ dir }))
const embedded: Target = { name: 'embedded', start: startEmbedded }
const moto = motoTargets([
  // takes a put and a delete of one item
  'refuses a batch with one item twice',
  // counts no more than it likes
  'refuses a batch of 26 items',
  // answers 500
  'finds what differs in type, and what is not there, neither less nor equal',
])

const colored = (sk: number, color: string) => ({ ...key('index', sk), color: { S: color } })

const names = (pages: { Items?: Item[] | undefined }[]) =>
  pages
    .flatMap((page) => page.Items ?? [])
    .map((item) => `${item['pk']?.S} ${item['sk']?.N}`)
    .toSorted()

for (const target of [embedded, ...moto]) {
  describe(`DynamoDB items on ${target.name}`, () => {
    expectBugs(target)
    const db = useDynamoDb(() => target.start(), withIndex)

    it('keeps every type as it was', async () => {
      const item: Item = {
        ...key('types', -7),
        long: { N: '-1234567890123456789012345678901234567.8' },
        small: { N: '0.00000000000000000000000000000000000001' },
        empty: { S: '' },
        text: { S: 'ünïcödé \u0000 \ud83d\ude00' },
        bytes: { B: new Uint8Array([0, 255, 128]) },
        none: { NULL: true },
        no: { BOOL: false },
        list: { L: [{ N: '1' }, { M: { deep: { SS: ['b', 'a'] } } }, { L: [] }] },
        map: { M: {} },
        numbers: { NS: ['2', '1.5'] },
        blobs: { BS: [new Uint8Array([2]), new Uint8Array([1])] },
      }
      await db.put(item)
      const found = await db.get(key('types', -7))
      expect({ ...found, numbers: undefined, blobs: undefined, list: undefined }).toEqual({
        ...item,
        numbers: undefined,
        blobs: undefined,
        list: undefined,
      })
      expect(found?.['numbers']?.NS?.toSorted()).toEqual(['1.5', '2'])
      expect(found?.['blobs']?.BS?.map((blob) => blob[0]).toSorted()).toEqual([1, 2])
      expect(found?.['list']?.L?.[1]?.M?.['deep']?.SS?.toSorted()).toEqual(['a', 'b'])
    })

    it('writes under a condition only', async () => {
      const item = { ...key('condition'), v: { N: '1' } }
      const condition = { TableName: db.table, ConditionExpression: 'attribute_not_exists(pk)' }
      await db.client.send(new PutItemCommand({ ...condition, Item: item }))
      const again = db.client.send(
        new PutItemCommand({
          ...condition,
          Item: { ...item, v: { N: '2' } },
          ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
        }),
      )
      await expect(again).rejects.toMatchObject({ name: 'ConditionalCheckFailedException', Item: item })
      expect(await db.get(key('condition'))).toEqual(item)
    })

    it('answers a failed condition without the item where it is not asked for', async () => {
      await db.put(key('plain-failure'))
      const failure = await db.client
        .send(
          new DeleteItemCommand({
            TableName: db.table,
            Key: key('plain-failure'),
            ConditionExpression: 'attribute_exists(v)',
          }),
        )
        .catch((error: unknown) => error)
      expect(failure).toMatchObject({ name: 'ConditionalCheckFailedException' })
      expect((failure as { Item?: Item }).Item).toBeUndefined()
    })

    it('updates by expressions', async () => {
      await db.put({
        ...key('update'),
        n: { N: '1' },
        m: { M: { a: { S: 'x' } } },
        tags: { SS: ['a', 'b'] },
        gone: { S: 'g' },
      })
      const { Attributes: updated } = await db.client.send(
        new UpdateItemCommand({
          TableName: db.table,
          Key: key('update'),
          UpdateExpression:
            'SET n = n + :one, #m.b = :s, fresh = if_not_exists(fresh, :one) ADD added :one REMOVE gone DELETE tags :tags',
          ConditionExpression: 'n = :one AND attribute_exists(#m.a)',
          ExpressionAttributeNames: { '#m': 'm' },
          ExpressionAttributeValues: { ':one': { N: '1' }, ':s': { S: 'y' }, ':tags': { SS: ['a'] } },
          ReturnValues: 'ALL_NEW',
        }),
      )
      expect(updated).toEqual({
        ...key('update'),
        n: { N: '2' },
        m: { M: { a: { S: 'x' }, b: { S: 'y' } } },
        tags: { SS: ['b'] },
        fresh: { N: '1' },
        added: { N: '1' },
      })
      expect(await db.get(key('update'))).toEqual(updated)
    })

    it('deletes and answers what was there', async () => {
      const item = { ...key('delete'), v: { S: 'x' } }
      await db.put(item)
      const remove = () =>
        db.client.send(new DeleteItemCommand({ TableName: db.table, Key: key('delete'), ReturnValues: 'ALL_OLD' }))
      expect((await remove()).Attributes).toEqual(item)
      expect((await remove()).Attributes).toBeUndefined()
      expect(await db.get(key('delete'))).toBeUndefined()
    })

    it('writes and reads batches', async () => {
      const items = Array.from({ length: 25 }, (_, sk) => ({ ...key('batch', sk), v: { N: String(sk) } }))
      expect((await db.writeBatch(items.map((Item) => ({ PutRequest: { Item } })))).UnprocessedItems).toEqual({})
      await db.writeBatch([
        { DeleteRequest: { Key: key('batch', 0) } },
        { PutRequest: { Item: { ...key('batch', 1), v: { N: '9' } } } },
      ])
      const read = await db.client.send(
        new BatchGetItemCommand({ RequestItems: { [db.table]: { Keys: items.map((_, sk) => key('batch', sk)) } } }),
      )
      expect(read.Responses?.[db.table]).toHaveLength(24)
    })

    it('refuses a batch with one item twice', async () => {
      const twice = [{ PutRequest: { Item: key('batch', 3) } }, { DeleteRequest: { Key: key('batch', 3) } }]
      await expect(db.writeBatch(twice)).rejects.toMatchObject({ name: 'ValidationException' })
    })

    it('refuses a batch of 26 items', async () => {
      const puts = Array.from({ length: 26 }, (_, sk) => ({ PutRequest: { Item: key('batch-26', sk) } }))
      await expect(db.writeBatch(puts)).rejects.toMatchObject({ name: 'ValidationException' })
    })

    it('pages a query in the order of the sort key', async () => {
      const order = [-20, -3, 0, 7, 100]
      for (const sk of order.toReversed()) await db.put(key('query', sk))
      const found: (string | undefined)[] = []
      let start: Item | undefined
      do {
        const page = await db.client.send(
          new QueryCommand({
            TableName: db.table,
            KeyConditionExpression: 'pk = :pk AND sk > :low',
            ExpressionAttributeValues: { ':pk': { S: 'query' }, ':low': { N: '-10' } },
            Limit: 2,
            ...(start && { ExclusiveStartKey: start }),
          }),
        )
        found.push(...(page.Items ?? []).map((item) => item['sk']?.N))
        start = page.LastEvaluatedKey
      } while (start)
      expect(found).toEqual(['-3', '0', '7', '100'])
    })

    it('keeps an index in step', async () => {
      await db.put(colored(1, 'red'))
      await db.put(colored(2, 'red'))
      await db.transact([
        { Put: { TableName: db.table, Item: colored(2, 'blue') } },
        { Put: { TableName: db.table, Item: colored(3, 'blue') } },
      ])
      const of = async (color: string) => {
        const { Items: items } = await db.client.send(
          new QueryCommand({
            TableName: db.table,
            IndexName: 'by-color',
            KeyConditionExpression: 'color = :c',
            ExpressionAttributeValues: { ':c': { S: color } },
          }),
        )
        return items?.map((item) => item['sk']?.N).toSorted()
      }
      expect([await of('red'), await of('blue')]).toEqual([['1'], ['2', '3']])
    })

    const holds = async (condition: string, values: Item = {}): Promise<boolean> => {
      const { Items: items } = await db.client.send(
        new QueryCommand({
          TableName: db.table,
          KeyConditionExpression: 'pk = :pk',
          FilterExpression: condition,
          ExpressionAttributeValues: { ':pk': { S: 'compare' }, ...values },
          ProjectionExpression: 'nothing',
        }),
      )
      return JSON.stringify(items) === JSON.stringify([{ nothing: { S: '' } }])
    }

    it('compares what conditions name by type and value', async () => {
      const item: Item = {
        ...key('compare'),
        nothing: { S: '' },
        flag: { BOOL: false },
        pieces: { L: [{ N: '1' }, { M: { a: { S: 'x' } } }] },
        huge: { N: '100000000000000000000000000000000000.5' },
      }
      await db.put(item)
      expect(await holds('nothing IN (:a, :b)', { ':a': { S: 'x' }, ':b': { S: '' } })).toBe(true)
      expect(await holds('attribute_type(flag, :b)', { ':b': { S: 'BOOL' } })).toBe(true)
      expect(await holds('flag = :no', { ':no': { BOOL: false } })).toBe(true)
      expect(await holds('pieces = :l AND size(pieces) = :two', { ':l': item['pieces']!, ':two': { N: '2' } })).toBe(
        true,
      )
      expect(await holds('contains(pieces, :m)', { ':m': { M: { a: { S: 'x' } } } })).toBe(true)
      expect(await holds('pieces[1].a = :x', { ':x': { S: 'x' } })).toBe(true)
      expect(await holds('huge > :n', { ':n': { N: '100000000000000000000000000000000000.4' } })).toBe(true)
    })

    it('finds what differs in type, and what is not there, neither less nor equal', async () => {
      await db.put({ ...key('compare'), nothing: { S: '' }, huge: { N: '1' } })
      expect(await holds('huge < :s', { ':s': { S: 'x' } })).toBe(false)
      expect(await holds('absent <= :s', { ':s': { S: 'x' } })).toBe(false)
      expect(await holds('absent = elsewhere')).toBe(false)
      expect(await holds('absent <> elsewhere')).toBe(true)
    })

    it('scans every item once over parallel segments', async () => {
      const segments = await Promise.all(
        [0, 1, 2].map((segment) =>
          db.client.send(new ScanCommand({ TableName: db.table, Segment: segment, TotalSegments: 3 })),
        ),
      )
      const whole = await db.client.send(new ScanCommand({ TableName: db.table }))
      expect(names(segments)).toEqual(names([whole]))
      expect(whole.Count).toBeGreaterThan(20)
    })

    it('counts the size of an item in bytes of UTF-8', async () => {
      const fits = { ...key('size'), v: { S: 'x'.repeat(390 * 1024) } }
      await db.put(fits)
      const over = { ...key('size'), v: { S: 'ü'.repeat(210 * 1024) } }
      await expect(db.put(over)).rejects.toMatchObject({ name: 'ValidationException' })
      expect((await db.get(key('size')))?.['v']?.S?.length).toBe(390 * 1024)
    })
  })
}

describe('DynamoDB items on the embedded one alone', () => {
  const db = useDynamoDb(startEmbedded, withIndex)

  // moto now and then loses one, so this is not among the tests that run there.
  it('loses no update of many at once', async () => {
    const add = () =>
      db.client.send(
        new UpdateItemCommand({
          TableName: db.table,
          Key: key('counter'),
          UpdateExpression: 'ADD n :one',
          ExpressionAttributeValues: { ':one': { N: '1' } },
        }),
      )
    await Promise.all(Array.from({ length: 40 }, add))
    const { Item: item } = await db.client.send(new GetItemCommand({ TableName: db.table, Key: key('counter') }))
    expect(item?.['n']).toEqual({ N: '40' })
  })

  it('throttles and fails when told to', async () => {
    db.running.faults.push({ path: 'POST /', times: 1, status: 400 }, { path: 'POST /', times: 1, status: 503 })
    const write = () => db.client.send(new PutItemCommand({ TableName: db.table, Item: key('fault') }))
    await expect(write()).rejects.toMatchObject({ name: 'ProvisionedThroughputExceededException' })
    await expect(write()).rejects.toMatchObject({ name: 'ServiceUnavailable' })
    await write()
  })
})
