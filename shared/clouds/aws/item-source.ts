import {
  DescribeTableCommand,
  type DynamoDBClient,
  GetItemCommand,
  ResourceNotFoundException,
  ScanCommand,
  type TableDescription,
} from '@aws-sdk/client-dynamodb'
import { buffer } from 'node:stream/consumers'
import type { Readable } from 'node:stream'
import { InvalidInputError, NotFoundError } from '../../errors.ts'
import { parseItem } from '../../features/attribute-json.ts'
import type { ItemPage, ItemSource } from '../../features/deps.ts'
import type { Item } from '../../features/item.ts'
import { translated } from './errors.ts'

type Command = GetItemCommand | ScanCommand
type Answer = { Item?: unknown; Items?: unknown[]; LastEvaluatedKey?: unknown }

export const called = <T>(operation: string, table: string, call: () => Promise<T>): Promise<T> =>
  translated(`${operation} ${table}`, async () => {
    try {
      return await call()
    } catch (error) {
      if (!(error instanceof ResourceNotFoundException)) throw error
      throw new NotFoundError(`${operation} ${table}: there is no such table`, { cause: error })
    }
  })

/**
 * Keeps the answer's own JSON: the SDK assigns every attribute to a plain object, and so loses one named `__proto__`.
 * https://github.com/aws/aws-sdk-js-v3 puts its deserializer in the step of this name, above what has a low priority.
 */
export const keepAnswer = (command: Command): (() => Answer) => {
  let text = ''
  // The stack of a command takes middleware of its own inputs and outputs only; this one looks at neither.
  const stack = command.middlewareStack as GetItemCommand['middlewareStack']
  stack.add(
    (next) => async (args) => {
      const result = await next(args)
      const response = result.response as { body: Readable | Uint8Array }
      const body = response.body instanceof Uint8Array ? response.body : await buffer(response.body)
      // Before the SDK takes it: it changes the prototype of the bytes it is given.
      text = Buffer.from(body).toString('utf8')
      response.body = body
      return result
    },
    { step: 'deserialize', priority: 'low', name: 'keepAnswer' },
  )
  return () => JSON.parse(text) as Answer
}

const describe = async (client: DynamoDBClient, table: string): Promise<TableDescription | undefined> => {
  const command = new DescribeTableCommand({ TableName: table })
  return (await called('describe table', table, () => client.send(command))).Table
}

const describeKeys = async (client: DynamoDBClient, table: string): ReturnType<ItemSource['keys']> => {
  const description = await describe(client, table)
  const nameOf = (type: 'HASH' | 'RANGE'): string | undefined =>
    description?.KeySchema?.find(({ KeyType }) => KeyType === type)?.AttributeName
  const [partition, sort] = [nameOf('HASH'), nameOf('RANGE')]
  if (partition === undefined) throw new InvalidInputError(`table ${table} answered no partition key`)
  return sort === undefined ? { partition } : { partition, sort }
}

const getItem = async (client: DynamoDBClient, table: string, key: Item): Promise<Item | undefined> => {
  const command = new GetItemCommand({ TableName: table, Key: key, ConsistentRead: true })
  const answer = keepAnswer(command)
  await called('get item of', table, () => client.send(command))
  const { Item: item } = answer()
  return item === undefined ? undefined : parseItem(item, `an item of ${table}`)
}

async function* scanPages(client: DynamoDBClient, table: string, from?: Item): AsyncGenerator<ItemPage> {
  let start = from
  do {
    const command = new ScanCommand({
      TableName: table,
      ConsistentRead: true,
      ...(start === undefined ? {} : { ExclusiveStartKey: start }),
    })
    const answer = keepAnswer(command)
    await called('scan', table, () => client.send(command))
    const { Items: items = [], LastEvaluatedKey: last } = answer()
    start = last === undefined ? undefined : parseItem(last, `the last key of a page of ${table}`)
    const page = { items: items.map((item) => parseItem(item, `an item of ${table}`)) }
    yield start === undefined ? page : { ...page, next: start }
  } while (start !== undefined)
}

async function* scanItems(client: DynamoDBClient, table: string): AsyncGenerator<Item> {
  for await (const { items } of scanPages(client, table)) yield* items
}

/**
 * The tables of DynamoDB. The names of a table's keys are asked for once: a table with other keys has another stream, so
 * another configuration. Numbers stay text from the wire to the item.
 */
export const createItemSource = (dynamodb: DynamoDBClient): ItemSource => {
  const known = new Map<string, ReturnType<ItemSource['keys']>>()
  return {
    keys: (table) => {
      const asked = known.get(table) ?? describeKeys(dynamodb, table)
      known.set(table, asked)
      asked.catch(() => known.delete(table))
      return asked
    },
    get: (table, key) => getItem(dynamodb, table, key),
    scan: (table) => scanItems(dynamodb, table),
    pages: (table, from) => scanPages(dynamodb, table, from),
    roughCount: async (table) => (await describe(dynamodb, table))?.ItemCount ?? 0,
  }
}
