import {
  type AttributeValue,
  DeleteItemCommand,
  DynamoDBClient,
  PutItemCommand,
  ScanCommand,
  type TransactWriteItem,
  TransactWriteItemsCommand,
  UpdateItemCommand,
} from '@aws-sdk/client-dynamodb'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startDynamoDb } from '../../local/dynamodb/server.ts'
import { awsOptions, inFolder, motoTargets, type Running } from '../support/contract-target.ts'
import { createTable, type Item, key } from '../support/dynamodb.ts'

const operations = 500
const [moto] = motoTargets([])

type Random = <T>(choices: readonly T[]) => T

const randomOf = (seed: number): Random => {
  let state = seed
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  return (choices) => choices[Math.floor(next() * choices.length)]!
}

const scalars: AttributeValue[] = [
  { N: '0' },
  { N: '-1.5' },
  { N: '7' },
  { N: '123456789012345678901234567890' },
  { S: '' },
  { S: 'x' },
  { S: 'xyz' },
  { B: new Uint8Array([1, 2]) },
  { BOOL: true },
  { NULL: true },
]
const values: AttributeValue[] = [
  ...scalars,
  { L: [{ N: '1' }, { S: 'q' }] },
  { M: { a: { N: '2' }, b: { M: {} } } },
  { SS: ['a', 'b'] },
  { NS: ['1', '2.5'] },
]

type Condition = { ConditionExpression?: string; ExpressionAttributeValues?: Item }

// To moto NULL is equal to what is missing, and true to 1.
const comparable = values.filter((value) => !value.NULL && !value.BOOL)

const conditionOf = (random: Random): Condition =>
  random<() => Condition>([
    () => ({}),
    () => ({}),
    () => ({}),
    () => ({}),
    () => ({}),
    () => ({}),
    () => ({ ConditionExpression: 'attribute_not_exists(pk)' }),
    () => ({ ConditionExpression: 'attribute_exists(pk)' }),
    () => ({ ConditionExpression: 'attribute_exists(v) AND NOT attribute_exists(w)' }),
    () => ({
      ConditionExpression: 'attribute_not_exists(pk) OR v = :x',
      ExpressionAttributeValues: { ':x': random(comparable) },
    }),
    () => ({
      ConditionExpression: 'attribute_type(v, :x)',
      ExpressionAttributeValues: { ':x': { S: random(['N', 'S', 'M', 'SS']) } },
    }),
    () => ({ ConditionExpression: 'n < :x', ExpressionAttributeValues: { ':x': { N: random(['3', '-2', '10']) } } }),
    () => ({
      ConditionExpression: 'n BETWEEN :x AND :y',
      ExpressionAttributeValues: { ':x': { N: '1' }, ':y': { N: '5' } },
    }),
    () => ({
      ConditionExpression: 'v IN (:x, :y)',
      ExpressionAttributeValues: { ':x': random(comparable), ':y': { S: '' } },
    }),
    () => ({ ConditionExpression: 'v <> :x', ExpressionAttributeValues: { ':x': random(comparable) } }),
    () => ({
      ConditionExpression: 'contains(v, :x)',
      ExpressionAttributeValues: { ':x': random([{ S: 'x' }, { S: 'a' }]) },
    }),
    () => ({ ConditionExpression: 'begins_with(v, :x)', ExpressionAttributeValues: { ':x': { S: 'x' } } }),
  ])()

const updateOf = (random: Random): { UpdateExpression: string; ExpressionAttributeValues?: Item } =>
  random([
    { UpdateExpression: 'SET v = :v', ExpressionAttributeValues: { ':v': random(values) } },
    {
      UpdateExpression: 'SET w = if_not_exists(w, :v), n = if_not_exists(n, :zero) + :step',
      ExpressionAttributeValues: { ':v': random(values), ':zero': { N: '0' }, ':step': { N: random(['1', '-2.5']) } },
    },
    { UpdateExpression: 'REMOVE v, w' },
    {
      UpdateExpression: 'ADD n :step, tags :tags',
      ExpressionAttributeValues: { ':step': { N: '2' }, ':tags': { SS: ['q', 'r'] } },
    },
    { UpdateExpression: 'SET v = n' },
  ])

const keyOf = (random: Random): Item => key(random(['a', 'b']), random([0, 1, 2]))

const itemOf = (random: Random): Item => ({
  ...keyOf(random),
  ...(random([true, false]) && { v: random(values) }),
  ...(random([true, false, false]) && { n: { N: random(['1', '4', '-8']) } }),
})

const mergeValues = (
  update: { ExpressionAttributeValues?: Item },
  condition: Condition,
): { ExpressionAttributeValues?: Item } => {
  const merged = { ...update.ExpressionAttributeValues, ...condition.ExpressionAttributeValues }
  return Object.keys(merged).length > 0 ? { ExpressionAttributeValues: merged } : {}
}

type Command = PutItemCommand | DeleteItemCommand | UpdateItemCommand | TransactWriteItemsCommand
type Operation = (table: string) => Command

const writeOf = (random: Random): Operation => {
  const condition = conditionOf(random)
  const update = updateOf(random)
  const item = itemOf(random)
  const at = keyOf(random)
  const both = { ...update, ...condition, ...mergeValues(update, condition) }
  return random<Operation>([
    (table) => new PutItemCommand({ TableName: table, Item: item, ReturnValues: 'ALL_OLD', ...condition }),
    (table) => new DeleteItemCommand({ TableName: table, Key: at, ReturnValues: 'ALL_OLD', ...condition }),
    (table) => new UpdateItemCommand({ TableName: table, Key: at, ReturnValues: 'ALL_NEW', ...both }),
  ])
}

// Updates in a transaction are of a kind that cannot fail by the item's types, which moto answers as one whole refusal.
const transactionOf = (random: Random): Operation => {
  const keys = [key('a', 0), key('a', 1), key('b', 2), key('c', 0)].filter(() => random([true, true, false]))
  const parts = (keys.length > 0 ? keys : [key('c', 1)]).map((at) => {
    const condition = conditionOf(random)
    const item = { ...at, v: random(values) }
    const check = { ConditionExpression: 'attribute_exists(pk)', ...condition }
    const update = { UpdateExpression: 'SET v = :v', ExpressionAttributeValues: { ':v': random(values) } }
    return random<(table: string) => TransactWriteItem>([
      (table) => ({ Put: { TableName: table, Item: item, ...condition } }),
      (table) => ({ Delete: { TableName: table, Key: at, ...condition } }),
      (table) => ({ ConditionCheck: { TableName: table, Key: at, ...check } }),
      (table) => ({
        Update: { TableName: table, Key: at, ...update, ...condition, ...mergeValues(update, condition) },
      }),
    ])
  })
  return (table) => new TransactWriteItemsCommand({ TransactItems: parts.map((part) => part(table)) })
}

// moto answers -5.0 where a sum is -5.
const numberText = (number: string): string => (number.includes('.') ? number.replace(/[.]?0+$/, '') : number)

const stable = (value: unknown): unknown => {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex')
  if (Array.isArray(value)) return value.map(stable)
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1))
  return Object.fromEntries(entries.map(([name, member]) => [name, stableMember(name, member)]))
}

const stableMember = (name: string, member: unknown): unknown => {
  if (name === 'N') return numberText(member as string)
  return name === 'SS' || name === 'NS' ? (member as string[]).toSorted() : stable(member)
}

type Side = { client: DynamoDBClient; table: string; running: Running }

const outcomeOf = async (operation: Operation, { client, table }: Side): Promise<unknown> => {
  try {
    const answer = await client.send(operation(table) as PutItemCommand)
    return stable(answer.Attributes ?? 'done')
  } catch (error) {
    const { name, CancellationReasons: reasons } = error as { name: string; CancellationReasons?: { Code?: string }[] }
    return { refused: name, reasons: reasons?.map((reason) => reason.Code) }
  }
}

const itemsOf = async ({ client, table }: Side): Promise<unknown> => {
  const { Items: items = [] } = await client.send(new ScanCommand({ TableName: table }))
  return items.map((item) => JSON.stringify(stable(item))).toSorted((a, b) => (a < b ? -1 : 1))
}

/** Runs the same operations on both and returns where they first differ, with what is needed to look into it. */
const firstDifference = async (sides: [Side, Side], seed: number, count: number): Promise<string | undefined> => {
  const random = randomOf(seed)
  let refused = 0
  for (let index = 0; index < count; index += 1) {
    const operation = random([true, true, false]) ? writeOf(random) : transactionOf(random)
    const [left, right] = [await outcomeOf(operation, sides[0]), await outcomeOf(operation, sides[1])]
    if (JSON.stringify(left) !== JSON.stringify(right))
      return JSON.stringify({ seed, index, left, right, input: operation(sides[0].table).input })
    if ((left as { refused?: string }).refused) refused += 1
  }
  const [left, right] = [await itemsOf(sides[0]), await itemsOf(sides[1])]
  if (JSON.stringify(left) !== JSON.stringify(right)) return JSON.stringify({ seed, left, right })
  console.log(`seed ${seed}: ${count} operations alike, ${refused} of them refused`)
  return undefined
}

describe.skipIf(!moto)('conditional writes, the embedded DynamoDB against moto', () => {
  const sides: Side[] = []
  beforeAll(async () => {
    const start = async (running: Running): Promise<void> => {
      const client = new DynamoDBClient(awsOptions(running.url))
      sides.push({ client, table: await createTable(client), running })
    }
    await start(await inFolder((dir) => startDynamoDb({ dir })))
    await start(await moto!.start())
    const again = sides[1]!
    sides.push({ ...again, table: await createTable(again.client) })
  })
  afterAll(async () => {
    for (const { client, running } of sides.slice(0, 2)) {
      client.destroy()
      await running.close()
    }
  })

  it('moto agrees with itself', async () => {
    expect(await firstDifference([sides[1]!, sides[2]!], 1, 100)).toBeUndefined()
  })

  it('both do the same', async () => {
    sides[1]!.table = await createTable(sides[1]!.client)
    const seed = Number(process.env['LIFEBOAT_SEED'] ?? 20261121)
    expect(await firstDifference([sides[0]!, sides[1]!], seed, operations)).toBeUndefined()
  }, 60_000)
})
