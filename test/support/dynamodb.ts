import { randomUUID } from 'node:crypto'
import {
  type AttributeValue,
  BatchWriteItemCommand,
  CreateTableCommand,
  type CreateTableCommandInput,
  DescribeTableCommand,
  DynamoDBClient,
  GetItemCommand,
  PutItemCommand,
  type TransactWriteItem,
  TransactWriteItemsCommand,
} from '@aws-sdk/client-dynamodb'
import { DynamoDBStreamsClient } from '@aws-sdk/client-dynamodb-streams'
import { afterAll, beforeAll } from 'vitest'
import { awsOptions, type Running } from './contract-target.ts'

export type Item = Record<string, AttributeValue>

export const key = (pk: string, sk = 0): Item => ({ pk: { S: pk }, sk: { N: String(sk) } })

export const one: Item = { ':one': { N: '1' } }

/** Makes a table with the key `pk` (S) and `sk` (N) and waits until it is there; resolves to its name. */
export const createTable = async (
  client: DynamoDBClient,
  options: Partial<CreateTableCommandInput> = {},
): Promise<string> => {
  const name = options.TableName ?? `t-${randomUUID()}`
  await client.send(
    new CreateTableCommand({
      BillingMode: 'PAY_PER_REQUEST',
      KeySchema: [
        { AttributeName: 'pk', KeyType: 'HASH' },
        { AttributeName: 'sk', KeyType: 'RANGE' },
      ],
      AttributeDefinitions: [
        { AttributeName: 'pk', AttributeType: 'S' },
        { AttributeName: 'sk', AttributeType: 'N' },
      ],
      ...options,
      TableName: name,
    }),
  )
  for (;;) {
    const { Table: table } = await client.send(new DescribeTableCommand({ TableName: name }))
    if (table?.TableStatus === 'ACTIVE') return name
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

export const withIndex: Partial<CreateTableCommandInput> = {
  AttributeDefinitions: [
    { AttributeName: 'pk', AttributeType: 'S' },
    { AttributeName: 'sk', AttributeType: 'N' },
    { AttributeName: 'color', AttributeType: 'S' },
  ],
  GlobalSecondaryIndexes: [
    {
      IndexName: 'by-color',
      KeySchema: [{ AttributeName: 'color', KeyType: 'HASH' }],
      Projection: { ProjectionType: 'ALL' },
    },
  ],
}

/** The calls that most tests make, on one table. */
export const callsOf = (client: DynamoDBClient, table: string) => ({
  get: async (of: Item): Promise<Item | undefined> =>
    (await client.send(new GetItemCommand({ TableName: table, Key: of, ConsistentRead: true }))).Item,
  put: (item: Item) => client.send(new PutItemCommand({ TableName: table, Item: item })),
  writeBatch: (requests: { PutRequest?: { Item: Item }; DeleteRequest?: { Key: Item } }[]) =>
    client.send(new BatchWriteItemCommand({ RequestItems: { [table]: requests } })),
  transact: (items: TransactWriteItem[], token: string = randomUUID()) =>
    client.send(new TransactWriteItemsCommand({ TransactItems: items, ClientRequestToken: token })),
})

export type Db<R extends Running = Running> = {
  running: R
  client: DynamoDBClient
  streams: DynamoDBStreamsClient
  table: string
} & ReturnType<typeof callsOf>

/** A server, clients and a table for the tests of the surrounding `describe`; the members are there once its hooks have run. */
export const useDynamoDb = <R extends Running>(
  start: () => Promise<R>,
  options: Partial<CreateTableCommandInput> = {},
): Db<R> => {
  const db = {} as Db<R>
  beforeAll(async () => {
    const running = await start()
    const client = new DynamoDBClient(awsOptions(running.url))
    const streams = new DynamoDBStreamsClient(awsOptions(running.url))
    const table = await createTable(client, options)
    Object.assign(db, { running, client, streams, table, ...callsOf(client, table) })
  })
  afterAll(async () => {
    db.client.destroy()
    db.streams.destroy()
    await db.running.close()
  })
  return db
}
