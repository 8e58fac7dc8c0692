import { DeleteItemCommand, DynamoDBClient, PutItemCommand, UpdateItemCommand } from '@aws-sdk/client-dynamodb'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type LocalStack, startStack } from '../../local/stack.ts'
import { toArray } from '../../shared/bounded.ts'
import { createItemSource } from '../../shared/clouds/aws/item-source.ts'
import { createS3Quarantine } from '../../shared/clouds/aws/quarantine.ts'
import { type BigtableRowStore, createBigtableRowStore } from '../../shared/clouds/gcp/row-store.ts'
import { itemToJson, parseItem } from '../../shared/features/attribute-json.ts'
import { decodeCells, rowItemKey } from '../../shared/features/cells.ts'
import type { ItemSource, Quarantine } from '../../shared/features/deps.ts'
import { encodeItem, type Item, itemDigest } from '../../shared/features/item.ts'
import { item as anyItem } from './dynamo-values.ts'
import { until } from './stack.ts'

/** Rows over real sockets: DynamoDB, its stream, the packaged function, Bigtable, and back through the port. */

export const account = '111122223333'
export const table = 'features'
export const names = { partition: 'pk', sort: 'sk' }
// The label of the stream is not known before there is a table: the stack puts the real one in its place.
/** One text for every test of rows: the stack is packaged once for each configuration. */
export const configText = `formatVersion: 1
source: { account: "${account}", region: us-east-1 }
replica: { project: lifeboat-local, bucket: replica, bigtableInstance: lifeboat-rows }
buckets: [{ name: models }]
tables:
  - name: ${table}
    streams: [{ arn: "arn:aws:dynamodb:us-east-1:${account}:table/${table}/stream/2026-01-01T00:00:00.000", epoch: 1 }]
`
const cacheDir = fileURLToPath(new URL('../../.cache/stack', import.meta.url))

export type RowsStack = {
  stack: LocalStack
  dynamodb: DynamoDBClient
  rows: BigtableRowStore
  source: ItemSource
  quarantine: Quarantine
  put(item: Item): Promise<void>
  /** Sets one attribute. */
  update(key: Item, name: string, value: Item[string]): Promise<void>
  remove(key: Item): Promise<void>
  /** Every key to its item's digest. */
  sourceItems(): Promise<Map<string, string>>
  replicaItems(): Promise<Map<string, string>>
  /** The keys that are not the same on both sides. */
  differences(): Promise<string[]>
  untilEqual(timeoutMs?: number): Promise<true>
  /** The sum of a metric of apply-changes. */
  total(metric: string): number
  stop(): Promise<void>
}

export const keyOf = (pk: string, sk: number): Item => ({ pk: { S: pk }, sk: { N: String(sk) } })
export const idOf = (key: Item): string => encodeItem({ pk: key['pk']!, sk: key['sk']! }).toString('hex')

/** Items that a table with `keyOf` keys can hold; its own keys are to be added. */
export const storable = anyItem
  // The embedded DynamoDB, as the SDK, cannot hold an attribute of this name.
  .filter((item) => !JSON.stringify(itemToJson(item)).includes('__proto__'))
  // It also refuses a number with a plus sign, which is gone from the canonical form.
  .map((item) => parseItem(item))

const sumOfMetric = (dir: string, metric: string): number => {
  const file = join(dir, 'lambda', 'logs', 'lifeboat-local-applyChanges.jsonl')
  const lines = existsSync(file) ? readFileSync(file, 'utf8').split('\n') : []
  return lines
    .filter((line) => line.includes('"_aws"') && line.includes(`"${metric}"`))
    .flatMap((line) => (JSON.parse(line) as Record<string, number | number[]>)[metric] ?? 0)
    .reduce((sum, value) => sum + value, 0)
}

const openReplica = async (rows: BigtableRowStore): Promise<Map<string, string>> => {
  const items = new Map<string, string>()
  for await (const row of rows.scan(table, { start: Buffer.alloc(0) })) {
    if (row.marker?.tombstone !== false) continue
    const { partition, sort } = rowItemKey(row)
    items.set(idOf({ pk: partition, sk: sort! }), itemDigest(decodeCells(row.cells)))
  }
  return items
}

/** Starts a stack with one table over `dir`; `bigtableEndpoint` is written to by the functions in place of the embedded one. */
export const startRowsStack = async (
  dir: string,
  { bigtableEndpoint }: { bigtableEndpoint?: string } = {},
): Promise<RowsStack> => {
  mkdirSync(dir, { recursive: true })
  const configFile = join(dir, 'lifeboat.yml')
  writeFileSync(configFile, configText)
  const stack = await startStack({ dir, configFile, cacheDir, ...(bigtableEndpoint && { bigtableEndpoint }) })
  const { endpoints } = stack.clouds
  const credentials = { accessKeyId: 'test', secretAccessKey: 'test' }
  const dynamodb = new DynamoDBClient({ endpoint: endpoints.dynamodb, region: 'us-east-1', credentials })
  const rows = createBigtableRowStore({
    projectId: 'lifeboat-local',
    instanceId: 'lifeboat-rows',
    endpoint: bigtableEndpoint ?? endpoints.bigtable,
    token: 'lifeboat-rows',
  })
  const source = createItemSource(dynamodb)
  const sourceItems = async (): Promise<Map<string, string>> =>
    new Map((await toArray(source.scan(table))).map((item) => [idOf(item), itemDigest(item)]))
  const replicaItems = (): Promise<Map<string, string>> => openReplica(rows)
  const differences = async (): Promise<string[]> => {
    const [left, right] = [await sourceItems(), await replicaItems()]
    return [...new Set([...left.keys(), ...right.keys()])].filter((id) => left.get(id) !== right.get(id))
  }
  const difference = async (): Promise<string> => `equal tables: ${(await differences()).length} rows differ`
  return {
    stack,
    dynamodb,
    rows,
    source,
    quarantine: createS3Quarantine({ s3: stack.s3, bucket: `lifeboat-local-held-${account}-us-east-1` }),
    put: async (item) => void (await dynamodb.send(new PutItemCommand({ TableName: table, Item: item }))),
    update: async (key, name, value) => {
      const change = {
        UpdateExpression: 'SET #n = :v',
        ExpressionAttributeNames: { '#n': name },
        ExpressionAttributeValues: { ':v': value },
      }
      await dynamodb.send(new UpdateItemCommand({ TableName: table, Key: key, ...change }))
    },
    remove: async (key) => void (await dynamodb.send(new DeleteItemCommand({ TableName: table, Key: key }))),
    sourceItems,
    replicaItems,
    differences,
    untilEqual: (timeoutMs = 90_000) => until(async () => (await differences()).length === 0, difference, timeoutMs),
    total: (metric) => sumOfMetric(dir, metric),
    stop: async () => {
      await rows.close()
      dynamodb.destroy()
      await stack.stop()
    },
  }
}
