import { randomUUID } from 'node:crypto'
import {
  DynamoDBClient,
  GetItemCommand,
  TransactGetItemsCommand,
  TransactWriteItemsCommand,
} from '@aws-sdk/client-dynamodb'
import { describe, expect, it } from 'vitest'
import { startDynamoDb } from '../../local/dynamodb/server.ts'
import { expectBugs, inFolder, awsOptions, motoTargets, type Target } from '../support/contract-target.ts'
import { key, useDynamoDb } from '../support/dynamodb.ts'

const startEmbedded = () => inFolder((dir) => startDynamoDb({ dir }))
const embedded: Target = { name: 'embedded', start: startEmbedded }
const moto = motoTargets([
  // looks at what is written only, and not at what is checked
  'refuses one item twice in a transaction',
  // ignores ClientRequestToken
  'does a transaction once for one token',
  // answers ValidationException of the whole
  'names the item of a transaction that cannot be updated',
  // ignores ProjectionExpression in TransactGetItems
  'reads a transaction',
])

for (const target of [embedded, ...moto]) {
  describe(`DynamoDB transactions on ${target.name}`, () => {
    expectBugs(target)
    const db = useDynamoDb(() => target.start())

    it('writes a transaction whole', async () => {
      await db.put({ ...key('tx', 1), v: { N: '1' } })
      await db.put({ ...key('tx', 2), v: { N: '2' } })
      await db.put({ ...key('tx', 4), v: { N: '4' } })
      await db.transact([
        {
          Update: {
            TableName: db.table,
            Key: key('tx', 1),
            UpdateExpression: 'SET v = v + :ten',
            ExpressionAttributeValues: { ':ten': { N: '10' } },
          },
        },
        { Delete: { TableName: db.table, Key: key('tx', 2) } },
        { Put: { TableName: db.table, Item: { ...key('tx', 3), v: { N: '3' } } } },
        { ConditionCheck: { TableName: db.table, Key: key('tx', 4), ConditionExpression: 'attribute_exists(pk)' } },
      ])
      expect(await db.get(key('tx', 1))).toEqual({ ...key('tx', 1), v: { N: '11' } })
      expect(await db.get(key('tx', 2))).toBeUndefined()
      expect(await db.get(key('tx', 3))).toEqual({ ...key('tx', 3), v: { N: '3' } })
      expect(await db.get(key('tx', 4))).toEqual({ ...key('tx', 4), v: { N: '4' } })
    })

    it('cancels a transaction whole and says why, item by item', async () => {
      const there = { ...key('cancel', 2), v: { N: '2' } }
      await db.put(there)
      const failure = await db
        .transact([
          { Put: { TableName: db.table, Item: key('cancel', 1) } },
          {
            Put: {
              TableName: db.table,
              Item: key('cancel', 2),
              ConditionExpression: 'attribute_not_exists(pk)',
              ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
            },
          },
          {
            ConditionCheck: { TableName: db.table, Key: key('cancel', 3), ConditionExpression: 'attribute_exists(pk)' },
          },
          { Delete: { TableName: db.table, Key: key('cancel', 4) } },
        ])
        .catch((error: unknown) => error)
      expect(failure).toMatchObject({
        name: 'TransactionCanceledException',
        CancellationReasons: [
          { Code: 'None' },
          { Code: 'ConditionalCheckFailed', Item: there },
          { Code: 'ConditionalCheckFailed' },
          { Code: 'None' },
        ],
      })
      expect(await db.get(key('cancel', 1))).toBeUndefined()
      expect(await db.get(key('cancel', 2))).toEqual(there)
    })

    it('does not write what a transaction only checks', async () => {
      const absent = { TableName: db.table, Key: key('check', 1), ConditionExpression: 'attribute_not_exists(pk)' }
      await db.transact([{ ConditionCheck: absent }, { Put: { TableName: db.table, Item: key('check', 2) } }])
      expect(await db.get(key('check', 1))).toBeUndefined()
      expect(await db.get(key('check', 2))).toEqual(key('check', 2))
    })

    it('refuses one item twice in a transaction', async () => {
      const twice = db.transact([
        { Put: { TableName: db.table, Item: key('twice') } },
        {
          ConditionCheck: {
            TableName: db.table,
            Key: { pk: { S: 'twice' }, sk: { N: '0.0' } },
            ConditionExpression: 'attribute_exists(pk)',
          },
        },
      ])
      await expect(twice).rejects.toMatchObject({ name: 'ValidationException' })
    })

    it('takes 100 items in a transaction and not 101', async () => {
      const puts = (count: number) =>
        Array.from({ length: count }, (_, sk) => ({ Put: { TableName: db.table, Item: key('hundred', sk) } }))
      await db.transact(puts(100))
      expect(await db.get(key('hundred', 99))).toEqual(key('hundred', 99))
      await expect(db.transact(puts(101))).rejects.toMatchObject({ name: 'ValidationException' })
    })

    it('does a transaction once for one token', async () => {
      const token = randomUUID()
      const add = (amount: string) => [
        {
          Update: {
            TableName: db.table,
            Key: key('token'),
            UpdateExpression: 'ADD n :n',
            ExpressionAttributeValues: { ':n': { N: amount } },
          },
        },
      ]
      await db.transact(add('1'), token)
      await db.transact(add('1'), token)
      expect((await db.get(key('token')))?.['n']).toEqual({ N: '1' })
      await expect(db.transact(add('2'), token)).rejects.toMatchObject({ name: 'IdempotentParameterMismatchException' })
      await db.transact(add('1'))
      expect((await db.get(key('token')))?.['n']).toEqual({ N: '2' })
    })

    it('names the item of a transaction that cannot be updated', async () => {
      await db.put({ ...key('mistype'), v: { S: 'text' } })
      const failure = db.transact([
        { Put: { TableName: db.table, Item: key('mistype', 1) } },
        {
          Update: {
            TableName: db.table,
            Key: key('mistype'),
            UpdateExpression: 'ADD v :one',
            ExpressionAttributeValues: { ':one': { N: '1' } },
          },
        },
      ])
      await expect(failure).rejects.toMatchObject({
        name: 'TransactionCanceledException',
        CancellationReasons: [{ Code: 'None' }, { Code: 'ValidationError' }],
      })
      expect(await db.get(key('mistype', 1))).toBeUndefined()
    })

    it('reads a transaction', async () => {
      await db.put({ ...key('tx-get', 1), v: { N: '1' }, w: { N: '2' } })
      const { Responses: responses } = await db.client.send(
        new TransactGetItemsCommand({
          TransactItems: [
            { Get: { TableName: db.table, Key: key('tx-get', 1), ProjectionExpression: 'v' } },
            { Get: { TableName: db.table, Key: key('tx-get', 2) } },
          ],
        }),
      )
      expect(responses).toEqual([{ Item: { v: { N: '1' } } }, {}])
    })
  })
}

describe('DynamoDB transactions on the embedded one alone', () => {
  const db = useDynamoDb(startEmbedded)

  it('does a transaction once whose first reply is lost', async () => {
    const retrying = new DynamoDBClient({ ...awsOptions(db.running.url), maxAttempts: 3 })
    db.running.faults.push({ path: 'POST /', times: 1, cut: 'after' })
    await retrying.send(
      new TransactWriteItemsCommand({
        TransactItems: [
          {
            Update: {
              TableName: db.table,
              Key: key('lost'),
              UpdateExpression: 'ADD n :one',
              ExpressionAttributeValues: { ':one': { N: '1' } },
            },
          },
        ],
      }),
    )
    const { Item: item } = await retrying.send(new GetItemCommand({ TableName: db.table, Key: key('lost') }))
    expect(item?.['n']).toEqual({ N: '1' })
    expect(db.running.faults[0]?.times ?? 0).toBe(0)
    retrying.destroy()
  })
})
