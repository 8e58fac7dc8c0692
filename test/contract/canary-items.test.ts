import { DescribeTableCommand, UpdateTableCommand } from '@aws-sdk/client-dynamodb'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { startDynamoDb } from '../../local/dynamodb/server.ts'
import { createCanaryItems } from '../../shared/clouds/aws/canary-items.ts'
import { canaryKey, placeCanaries } from '../../shared/proof/canary.ts'
import type { CanaryItems } from '../../shared/proof/lag-deps.ts'
import type { Placement } from '../../shared/proof/lag-state.ts'
import { inFolder } from '../support/contract-target.ts'
import { createTable, key, useDynamoDb } from '../support/dynamodb.ts'
import { readFrom, iteratorOf, withStream } from '../support/dynamodb-streams.ts'

const canary = { partition: 'canary', sort: '0' }

const at = (pk: string) => ({ pk: { S: pk }, sk: { N: '0' } })

describe('canaries on the embedded DynamoDB', () => {
  const db = useDynamoDb(() => inFolder((dir) => startDynamoDb({ dir })), withStream())
  const items = (): CanaryItems => createCanaryItems(db.client, db.streams)
  const arnOf = async (table = db.table): Promise<string> =>
    (await db.client.send(new DescribeTableCommand({ TableName: table }))).Table!.LatestStreamArn!
  const place = async (before?: Placement): Promise<Placement> => {
    const streamArn = await arnOf()
    const open = await items().openShards(streamArn)
    const clock = { now: () => Date.now() }
    const table = { name: db.table, streamArn, open, canary, endMs: Date.now() + 20_000 }
    return placeCanaries({ items: items(), clock, wait: () => sleep(5) }, table, before)
  }

  it('knows the keys of a table with their types', async () => {
    expect(await items().keys(db.table)).toEqual({
      partition: { name: 'pk', type: 'S' },
      sort: { name: 'sk', type: 'N' },
    })
    const table = await createTable(db.client, {
      KeySchema: [{ AttributeName: 'id', KeyType: 'HASH' }],
      AttributeDefinitions: [{ AttributeName: 'id', AttributeType: 'B' }],
    })
    expect(await items().keys(table)).toEqual({ partition: { name: 'id', type: 'B' } })
    await expect(items().keys('none')).rejects.toBeInstanceOf(Error)
  })

  it('sets the time of a canary and nothing else, and leaves an item alone that is none', async () => {
    expect(await items().write(db.table, at('mine'), 1)).toBe(true)
    expect(await items().write(db.table, at('mine'), 2)).toBe(true)
    expect(await db.get(at('mine'))).toEqual({ ...at('mine'), lifeboatCanary: { N: '2' } })
    await db.put({ ...at('theirs'), score: { N: '1' } })
    expect(await items().write(db.table, at('theirs'), 3)).toBe(false)
    expect(await db.get(at('theirs'))).toEqual({ ...at('theirs'), score: { N: '1' } })
  })

  it('are put on every open shard, and on those that follow a split', async () => {
    const seen = async (placement: Placement): Promise<void> => {
      const streamArn = await arnOf()
      const open = await items().openShards(streamArn)
      expect(Object.keys(placement.shards).sort()).toEqual(open.sort())
      const keys = await items().keys(db.table)
      for (const [shardId, number] of Object.entries(placement.shards)) {
        const iterator = await iteratorOf(db.streams, streamArn, shardId, { type: 'LATEST' })
        await items().write(db.table, canaryKey(keys, canary, number).item, Date.now())
        expect(await readFrom(db.streams, iterator)).toHaveLength(1)
      }
    }
    const first = await place()
    await seen(first)
    await db.running.split(db.table)
    await db.running.split(db.table)
    const second = await place(first)
    expect(Object.keys(second.shards)).toHaveLength(3)
    await seen(second)
    expect(await place(second)).toEqual(second)
  })

  it('follow from now on, page by page', async () => {
    const streamArn = await arnOf()
    const [shardId = ''] = await items().openShards(streamArn)
    const poll = await items().follow(streamArn, [shardId])
    expect(await poll()).toEqual([])
    for (let number = 0; number < 40; number += 1) await db.put(key(`f${number}`))
    const found = await poll()
    expect(found.length).toBeGreaterThan(0)
    expect(found[0]).toMatchObject({ shardId, key: { sk: { N: '0' } } })
    expect(await poll()).toEqual([])
  })

  it('find more shards than are described at a time', async () => {
    const table = await createTable(db.client, withStream())
    for (let count = 0; count < 60; count += 1) await db.running.split(table)
    expect(await items().openShards(await arnOf(table))).toHaveLength(61)
  })

  it('find no open shard in a stream that is disabled, and say where there is none', async () => {
    const table = await createTable(db.client, withStream())
    const streamArn = await arnOf(table)
    expect(await items().openShards(streamArn)).toHaveLength(1)
    await db.client.send(new UpdateTableCommand({ TableName: table, StreamSpecification: { StreamEnabled: false } }))
    expect(await items().openShards(streamArn)).toEqual([])
    await expect(items().openShards(streamArn.replace(table, 'none'))).rejects.toThrow('none')
  })
})
