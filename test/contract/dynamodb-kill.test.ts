import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DescribeTableCommand, DynamoDBClient, ScanCommand } from '@aws-sdk/client-dynamodb'
import { DynamoDBStreamsClient } from '@aws-sdk/client-dynamodb-streams'
import { afterAll, describe, expect, it } from 'vitest'
import { startService } from '../../local/service-process.ts'
import { awsOptions } from '../support/contract-target.ts'
import { callsOf, createTable, type Item, key } from '../support/dynamodb.ts'
import { fold, readStream, tableOf, withStream } from '../support/dynamodb-streams.ts'

const rounds = 10
const table = 'killed'
const dir = mkdtempSync(join(tmpdir(), 'lifeboat-kill-'))

const start = async () => {
  const service = await startService({ service: 'dynamodb', dir, logFile: join(dir, 'dynamodb.log') })
  const client = new DynamoDBClient(awsOptions(service.url))
  return { service, client, streams: new DynamoDBStreamsClient(awsOptions(service.url)), ...callsOf(client, table) }
}

type Server = Awaited<ReturnType<typeof start>>
type Acknowledged = { latest: Map<string, number>; attempted: Map<string, number> }

const scan = async (client: DynamoDBClient): Promise<Item[]> => {
  const items: Item[] = []
  let from: Item | undefined
  do {
    const page = await client.send(new ScanCommand({ TableName: table, ...(from && { ExclusiveStartKey: from }) }))
    items.push(...(page.Items ?? []))
    from = page.LastEvaluatedKey
  } while (from)
  return items
}

/** Each writer has keys of its own, so that what it was last answered for a key is what must be there, or a later attempt. */
const write = async (server: Server, writer: number, round: number, known: Acknowledged): Promise<void> => {
  for (let count = 0; ; count += 1) {
    const version = round * 1_000_000 + count
    const pair = [`w${writer}-${count % 7}-left`, `w${writer}-${count % 7}-right`]
    const isPair = count % 3 === 0
    const names = isPair ? pair : [`w${writer}-${count % 5}-single`]
    const items = names.map((name) => ({ ...key(name), version: { N: String(version) } }))
    for (const name of names) known.attempted.set(name, version)
    try {
      if (isPair) await server.transact(items.map((Item) => ({ Put: { TableName: table, Item } })))
      else await server.put(items[0]!)
    } catch {
      return
    }
    for (const name of names) known.latest.set(name, version)
  }
}

const versionsOf = (items: Item[]): Map<string, number> =>
  new Map(items.map((item) => [item['pk']!.S!, Number(item['version']!.N)]))

const streamOf = async (server: Server) => {
  const { Table: described } = await server.client.send(new DescribeTableCommand({ TableName: table }))
  return readStream(server.streams, described!.LatestStreamArn!)
}

describe('the embedded DynamoDB, killed while it writes', () => {
  afterAll(() => rmSync(dir, { recursive: true }))

  it('has what it acknowledged, no half transaction, and a record for exactly what is there', async () => {
    const known: Acknowledged = { latest: new Map(), attempted: new Map() }
    let server = await start()
    await createTable(server.client, { ...withStream(), TableName: table })
    let unacknowledged = 0
    for (let round = 1; round <= rounds; round += 1) {
      const writers = Array.from({ length: 8 }, (_, writer) => write(server, writer, round, known))
      await new Promise((resolve) => setTimeout(resolve, 60 + Math.random() * 250))
      await server.service.kill()
      await Promise.all(writers)
      server.client.destroy()
      server.streams.destroy()

      server = await start()
      const items = await scan(server.client)
      const versions = versionsOf(items)
      for (const [name, version] of versions) {
        const [least, most] = [known.latest.get(name) ?? 0, known.attempted.get(name) ?? 0]
        expect([name, version >= least, version <= most]).toEqual([name, true, true])
        if (version > least) unacknowledged += 1
        known.latest.set(name, version)
        known.attempted.set(name, version)
      }
      expect([...known.latest.keys()].filter((name) => !versions.has(name))).toEqual([])
      const lefts = [...versions].filter(([name]) => name.endsWith('-left'))
      expect(lefts.map(([name, version]) => [name, versions.get(name.replace('left', 'right')), version])).toEqual(
        lefts.map(([name, version]) => [name, version, version]),
      )
      expect(fold(await streamOf(server))).toEqual(tableOf(items))
    }
    const records = await streamOf(server)
    const numbers = records.map((record) => BigInt(record.dynamodb!.SequenceNumber!))
    expect(numbers.every((number, index) => index === 0 || number > numbers[index - 1]!)).toBe(true)
    console.log(`${rounds} kills: ${records.length} records, ${unacknowledged} writes there without their answer`)
    server.client.destroy()
    server.streams.destroy()
    await server.service.stop()
  }, 120_000)
})
