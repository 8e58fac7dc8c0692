import { type AttributeValue, DynamoDBClient, PutItemCommand, UpdateTableCommand } from '@aws-sdk/client-dynamodb'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startDynamoDb } from '../../local/dynamodb/server.ts'
import type { TableAbout, TableScan } from '../../shared/backfill/deps.ts'
import { createTableScan } from '../../shared/clouds/aws/table-scan.ts'
import { createMemoryItems } from '../../shared/clouds/memory/items.ts'
import { createMemoryTableScan } from '../../shared/clouds/memory/table-scan.ts'
import { NotFoundError } from '../../shared/errors.ts'
import { encodeItem, type Item } from '../../shared/features/item.ts'
import { awsOptions, inFolder } from '../support/contract-target.ts'
import { createTable } from '../support/dynamodb.ts'

type Opened = {
  scan: TableScan
  put(item: Item): Promise<void>
  stream(isEnabled: boolean): Promise<void>
  close(): Promise<void>
}

const openMemory = async (): Promise<Opened> => {
  const items = createMemoryItems({ both: { partition: 'pk', sort: 'sk' } })
  const about: Omit<TableAbout, 'items' | 'bytes'> = {}
  const scan = createMemoryTableScan(items, about)
  return {
    scan: { ...scan, about: async (table) => ({ ...(await scan.about(table)), ...about }) },
    put: async (item) => void items.put('both', item),
    stream: async (isEnabled) => {
      if (isEnabled) about.streamArn = 'arn'
      else delete about.streamArn
    },
    close: async () => undefined,
  }
}

const openEmbedded = async (): Promise<Opened> => {
  const running = await inFolder((dir) => startDynamoDb({ dir }))
  const client = new DynamoDBClient(awsOptions(running.url))
  await createTable(client, { TableName: 'both' })
  return {
    scan: createTableScan(client),
    put: async (item) =>
      void (await client.send(
        new PutItemCommand({ TableName: 'both', Item: item satisfies Record<string, AttributeValue> }),
      )),
    stream: async (isEnabled) => {
      const StreamSpecification = {
        StreamEnabled: isEnabled,
        ...(isEnabled ? { StreamViewType: 'NEW_AND_OLD_IMAGES' as const } : {}),
      }
      await client.send(new UpdateTableCommand({ TableName: 'both', StreamSpecification }))
    },
    close: async () => {
      client.destroy()
      await running.close()
    },
  }
}

const itemOf = (index: number): Item => ({
  pk: { S: `p${index % 40}` },
  sk: { N: String(index) },
  n: { N: '12345678901234567890123456789012345678' },
  text: { S: 'x'.repeat(200) },
})
const idOf = (item: Item): string => encodeItem(item).toString('hex')

describe.each([
  ['memory', openMemory],
  ['DynamoDB, embedded', openEmbedded],
])('a scan of a table: %s', (_name, open) => {
  let opened: Opened
  const items = Array.from({ length: 120 }, (_, index) => itemOf(index))
  beforeAll(async () => {
    opened = await open()
    for (const item of items) await opened.put(item)
  })
  afterAll(async () => opened.close())

  it.each([1, 3])('in %i segments gives every item once, a page at a time', async (segments) => {
    const found: string[] = []
    let readUnits = 0
    for (let segment = 0; segment < segments; segment += 1) {
      let from: Item | undefined
      do {
        const page = await opened.scan.page('both', { segment, segments, from, itemsMax: 7 })
        expect(page.items.length).toBeLessThanOrEqual(7)
        expect(page.bytes).toBeGreaterThanOrEqual(page.items.length * 200)
        found.push(...page.items.map(idOf))
        readUnits += page.readUnits
        from = page.next
      } while (from)
    }
    expect(found.toSorted()).toEqual(items.map(idOf).toSorted())
    expect(readUnits).toBeGreaterThanOrEqual((120 * 240) / 4096)
  })

  it('says how many items there are, and which stream is enabled', async () => {
    // Counted lately, and not at this moment.
    await expect.poll(async () => (await opened.scan.about('both')).items).toBe(120)
    await opened.stream(false).catch(() => undefined)
    expect((await opened.scan.about('both')).streamArn).toBeUndefined()
    await opened.stream(true)
    expect((await opened.scan.about('both')).streamArn).toMatch(/^arn/)
    await opened.stream(false)
    expect((await opened.scan.about('both')).streamArn).toBeUndefined()
  })

  it('knows no table that is not there', async () => {
    await expect(opened.scan.about('none')).rejects.toThrow(NotFoundError)
    await expect(opened.scan.page('none', { segment: 0, segments: 1, itemsMax: 1 })).rejects.toThrow(NotFoundError)
  })
})
