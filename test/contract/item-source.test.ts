import { type AttributeValue, DynamoDBClient, PutItemCommand } from '@aws-sdk/client-dynamodb'
import { sample } from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startDynamoDb } from '../../local/dynamodb/server.ts'
import { listen, readBody, sendJson } from '../../local/http.ts'
import { toArray } from '../../shared/bounded.ts'
import { createItemSource } from '../../shared/clouds/aws/item-source.ts'
import { createMemoryItems } from '../../shared/clouds/memory/items.ts'
import { NotFoundError, UnavailableError } from '../../shared/errors.ts'
import { itemToJson, parseItem } from '../../shared/features/attribute-json.ts'
import type { ItemSource } from '../../shared/features/deps.ts'
import { encodeItem, type Item } from '../../shared/features/item.ts'
import { awsOptions, inFolder } from '../support/contract-target.ts'
import { item as anyItem } from '../support/dynamo-values.ts'
import { createTable } from '../support/dynamodb.ts'

type Opened = { source: ItemSource; put(table: string, item: Item): Promise<void>; close(): Promise<void> }
const tables = { both: { partition: 'pk', sort: 'sk' }, single: { partition: 'id' } }

const openMemory = async (): Promise<Opened> => {
  const source = createMemoryItems(tables)
  return { source, put: async (table, item) => void source.put(table, item), close: async () => undefined }
}

const openEmbedded = async (): Promise<Opened> => {
  const running = await inFolder((dir) => startDynamoDb({ dir }))
  const client = new DynamoDBClient(awsOptions(running.url))
  await createTable(client, { TableName: 'both' })
  await createTable(client, {
    TableName: 'single',
    KeySchema: [{ AttributeName: 'id', KeyType: 'HASH' }],
    AttributeDefinitions: [{ AttributeName: 'id', AttributeType: 'B' }],
  })
  return {
    source: createItemSource(client),
    put: async (table, item) =>
      void (await client.send(
        new PutItemCommand({ TableName: table, Item: item satisfies Record<string, AttributeValue> }),
      )),
    close: async () => {
      client.destroy()
      await running.close()
    },
  }
}

const hex = (items: Item[]): string[] => items.map((item) => encodeItem(item).toString('hex')).sort()
const keyOf = (pk: string, sk: number): Item => ({ pk: { S: pk }, sk: { N: String(sk) } })

describe.each([
  ['memory', openMemory],
  ['DynamoDB, embedded', openEmbedded],
])('a source of items: %s', (_name, open) => {
  let opened: Opened
  beforeAll(async () => {
    opened = await open()
  })
  afterAll(async () => opened.close())

  it('knows the names of the keys', async () => {
    expect(await opened.source.keys('both')).toEqual({ partition: 'pk', sort: 'sk' })
    expect(await opened.source.keys('single')).toEqual({ partition: 'id' })
  })

  it('gives an item of any types back as it is', async () => {
    const items = sample(anyItem, { seed: 3, numRuns: 60 })
      .filter((item) => !JSON.stringify(itemToJson(item)).includes('__proto__'))
      .map((item, index) => parseItem({ ...item, ...keyOf('all', index) }))
    for (const item of items) await opened.put('both', item)
    for (const [index, item] of items.entries())
      expect(encodeItem((await opened.source.get('both', keyOf('all', index)))!)).toEqual(encodeItem(item))
    expect(hex(await toArray(opened.source.scan('both')))).toEqual(hex(items))
  })

  it('keeps numbers of 38 digits and binary keys', async () => {
    const item: Item = { id: { B: new Uint8Array([0, 255, 1]) }, n: { N: '12345678901234567890123456789012345678' } }
    await opened.put('single', item)
    expect(await opened.source.get('single', { id: { B: new Uint8Array([0, 255, 1]) } })).toEqual(item)
    expect(await opened.source.get('single', { id: { B: new Uint8Array([0, 255]) } })).toBeUndefined()
  })

  it('scans more than a page', async () => {
    for (let index = 0; index < 30; index += 1)
      await opened.put('both', { ...keyOf('large', index), text: { S: 'x'.repeat(100_000) } })
    const found = await toArray(opened.source.scan('both'))
    expect(found.filter(({ pk }) => pk && 'S' in pk && pk.S === 'large')).toHaveLength(30)
  })

  it('goes on behind the key where pages were left, whatever became of it', async () => {
    const found: Item[] = []
    let from: Item | undefined
    for (let pages = 0; pages < 100; pages += 1) {
      let left: Item | undefined
      for await (const { items, next } of opened.source.pages('both', from)) {
        found.push(...items)
        left = next
        break
      }
      from = left && (JSON.parse(JSON.stringify(left)) as Item)
      if (!from) break
    }
    expect(from).toBeUndefined()
    expect(hex(found)).toEqual(hex(await toArray(opened.source.scan('both'))))
    expect(await opened.source.roughCount('both')).toBeGreaterThanOrEqual(0)
    const pages = await toArray(opened.source.pages('single', { id: { B: new Uint8Array([0, 255, 1]) } }))
    expect(pages).toEqual([{ items: [] }])
  })

  it('throws NotFoundError for a table that is not there', async () => {
    await expect(opened.source.keys('missing')).rejects.toThrow(NotFoundError)
    await expect(opened.source.get('missing', keyOf('a', 1))).rejects.toThrow(NotFoundError)
    await expect(toArray(opened.source.scan('missing'))).rejects.toThrow(NotFoundError)
    await expect(toArray(opened.source.pages('missing'))).rejects.toThrow(NotFoundError)
  })
})

describe('a source of items on DynamoDB', () => {
  type Answer = { status: number; body: string }
  const withAnswers = async (
    answers: (target: string) => Answer,
    work: (source: ItemSource, targets: string[]) => Promise<void>,
  ): Promise<void> => {
    const targets: string[] = []
    const server = await listen({
      handle: async (request, response) => {
        await readBody(request)
        const target = String(request.headers['x-amz-target']).replace(/^.*\./, '')
        targets.push(target)
        const { status, body } = answers(target)
        response.writeHead(status, { 'content-type': 'application/x-amz-json-1.0' }).end(body)
      },
      onFault: (response, status) => sendJson(response, status, {}),
    })
    const client = new DynamoDBClient(awsOptions(server.url))
    try {
      await work(createItemSource(client), targets)
    } finally {
      client.destroy()
      await server.close()
    }
  }

  it('loses no attribute, whatever its name', async () => {
    const body = '{"Item":{"pk":{"S":"a"},"__proto__":{"M":{"__proto__":{"N":"1"},"constructor":{"NULL":true}}}}}'
    await withAnswers(
      () => ({ status: 200, body }),
      async (source) => {
        const item = await source.get('both', { pk: { S: 'a' } })
        expect(JSON.stringify(itemToJson(item!))).toBe(JSON.stringify((JSON.parse(body) as { Item: object }).Item))
      },
    )
  })

  it('asks once for the keys of a table, and again after a failure', async () => {
    let isUp = false
    const described = '{"Table":{"KeySchema":[{"AttributeName":"pk","KeyType":"HASH"}]}}'
    await withAnswers(
      () => (isUp ? { status: 200, body: described } : { status: 500, body: '{}' }),
      async (source, targets) => {
        await expect(source.keys('t')).rejects.toThrow(UnavailableError)
        isUp = true
        expect(await Promise.all([source.keys('t'), source.keys('t')])).toEqual([
          { partition: 'pk' },
          { partition: 'pk' },
        ])
        expect(await source.keys('t')).toEqual({ partition: 'pk' })
        expect(targets).toEqual(['DescribeTable', 'DescribeTable'])
      },
    )
  })
})
