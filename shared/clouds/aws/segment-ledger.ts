import { type DynamoDBClient, type TransactWriteItem, UpdateItemCommand } from '@aws-sdk/client-dynamodb'
import type { DigestLedger, ObjectRow, Piece, SegmentLedger, SegmentRow } from '../../weights/ledger.ts'
import { UnavailableError } from '../../errors.ts'
import { translated } from './errors.ts'
import { getItem, keyOf, N, numberOf, queryItems, rowOf, S, stringOf, transact } from './ledger-table.ts'
import { ifDone, objectKey, segmentsPerCounterDefault, shardKey, shardsOf } from './object-ledger.ts'

/** The units of an object's plan: `s#<trace>#<plan>` <offset> | digest#<offset>, each counted in one transaction. */

const unitKeptSeconds = 60 * 86_400

const unitsKey = (traceId: string, planId: string): string => `s#${traceId}#${planId}`
const offsetKey = (offset: number): string => String(offset).padStart(16, '0')

/** `left` of the object, one unit up or down, while the plan is this one and still copying. */
const countObject = (table: string, traceId: string, planId: string, by: 1 | -1): TransactWriteItem => ({
  Update: {
    TableName: table,
    Key: keyOf(objectKey(traceId)),
    UpdateExpression: by > 0 ? 'ADD #left :by REMOVE #cursor' : 'ADD #left :by',
    ConditionExpression: 'planId = :plan AND #state = :copying',
    ExpressionAttributeNames: { '#left': 'left', '#state': 'state', ...(by > 0 ? { '#cursor': 'cursor' } : {}) },
    ExpressionAttributeValues: { ':by': N(by), ':plan': S(planId), ':copying': S('copying') },
  },
})

const putUnit = (table: string, key: { pk: string; sk: string }, row: unknown): TransactWriteItem => ({
  Put: {
    TableName: table,
    Item: {
      ...keyOf(key),
      v: N(1),
      row: S(JSON.stringify(row)),
      expiresAt: N(Math.floor(Date.now() / 1000) + unitKeptSeconds),
    },
    ConditionExpression: 'attribute_not_exists(pk)',
  },
})

const outcome = (failed: number | undefined): 'counted' | 'already' | 'stale' =>
  failed === undefined ? 'counted' : failed === 0 ? 'already' : 'stale'

/** Undefined for a small plan, and for one that no longer counts: the object's own condition then says so. */
const shardOf = async (
  client: DynamoDBClient,
  table: string,
  row: { traceId: string; planId: string; index: number },
  segmentsPerCounter: number,
): Promise<number | undefined> => {
  const item = await getItem(client, table, objectKey(row.traceId))
  if (!item || stringOf(item, 'planId') !== row.planId || stringOf(item, 'state') !== 'copying') return undefined
  const shards = shardsOf(rowOf<ObjectRow>(item).segments, segmentsPerCounter)
  return shards > 0 ? row.index % shards : undefined
}

/**
 * Takes a finished counter of a large plan off the object's own count. Called by whoever finished it and again by the
 * stream, so a crash between the two leaves nothing uncounted.
 */
export const collapseCounter = async (
  client: DynamoDBClient,
  table: string,
  traceId: string,
  planId: string,
  shard: number,
): Promise<void> => {
  await transact(client, [
    {
      Update: {
        TableName: table,
        Key: keyOf(shardKey(traceId, planId, shard)),
        UpdateExpression: 'SET counted = :yes, #state = :done',
        ConditionExpression: '#left = :zero AND attribute_not_exists(counted)',
        ExpressionAttributeNames: { '#left': 'left', '#state': 'state' },
        ExpressionAttributeValues: { ':zero': N(0), ':yes': { BOOL: true }, ':done': S('done') },
      },
    },
    countObject(table, traceId, planId, -1),
  ])
}

const updateShard = (
  table: string,
  row: { traceId: string; planId: string },
  shard: number,
  change: { update: string; condition: string; by: 1 | -1 },
): TransactWriteItem => ({
  Update: {
    TableName: table,
    Key: keyOf(shardKey(row.traceId, row.planId, shard)),
    UpdateExpression: change.update,
    ConditionExpression: change.condition,
    ExpressionAttributeNames: { '#left': 'left', '#state': 'state' },
    ExpressionAttributeValues: { ':by': N(change.by), ':copying': S('copying') },
  },
})

const reopenTriesMax = 5

/**
 * Whether the counter is off the object's own count already decides what one unit more means, so the transaction stands
 * on it: another one that reopens or finishes may be faster.
 */
const reopenSharded = async (
  client: DynamoDBClient,
  table: string,
  row: { traceId: string; planId: string },
  shard: number,
  gone: TransactWriteItem,
): Promise<void> => {
  for (let tries = 0; tries < reopenTriesMax; tries += 1) {
    const item = await getItem(client, table, shardKey(row.traceId, row.planId, shard))
    const isCounted = item?.['counted'] !== undefined
    const condition = isCounted ? 'attribute_exists(counted)' : 'attribute_not_exists(counted)'
    const update = 'SET #state = :copying ADD #left :by REMOVE counted'
    const failed = await transact(client, [
      gone,
      updateShard(table, row, shard, { update, condition, by: 1 }),
      ...(isCounted ? [countObject(table, row.traceId, row.planId, 1)] : []),
    ])
    if (failed !== 1) return
  }
  throw new UnavailableError(`ledger reopen ${row.traceId}: counter ${shard} kept changing`)
}

const finishSharded = async (
  client: DynamoDBClient,
  table: string,
  row: SegmentRow,
  shard: number,
  put: TransactWriteItem,
): Promise<'counted' | 'already' | 'stale'> => {
  const finished = updateShard(table, row, shard, { update: 'ADD #left :by', condition: '#state = :copying', by: -1 })
  const result = outcome(await transact(client, [put, finished]))
  const item = await getItem(client, table, shardKey(row.traceId, row.planId, shard))
  if (item && numberOf(item, 'left') === 0) await collapseCounter(client, table, row.traceId, row.planId, shard)
  return result
}

const deleteUnit = (table: string, key: { pk: string; sk: string }): TransactWriteItem => ({
  Delete: { TableName: table, Key: keyOf(key), ConditionExpression: 'attribute_exists(pk)' },
})

export const createSegmentLedger = (
  client: DynamoDBClient,
  table: string,
  segmentsPerCounter = segmentsPerCounterDefault,
): SegmentLedger => ({
  get: async (traceId, planId, offset) => {
    const item = await getItem(client, table, { pk: unitsKey(traceId, planId), sk: offsetKey(offset) })
    return item && rowOf<SegmentRow>(item)
  },
  finish: async (row) => {
    const put = putUnit(table, { pk: unitsKey(row.traceId, row.planId), sk: offsetKey(row.offset) }, row)
    const shard = await shardOf(client, table, row, segmentsPerCounter)
    if (shard !== undefined) return finishSharded(client, table, row, shard, put)
    return outcome(await transact(client, [put, countObject(table, row.traceId, row.planId, -1)]))
  },
  reopen: async ({ traceId, planId, offset, index }) => {
    const gone = deleteUnit(table, { pk: unitsKey(traceId, planId), sk: offsetKey(offset) })
    const shard = await shardOf(client, table, { traceId, planId, index }, segmentsPerCounter)
    if (shard === undefined) await transact(client, [gone, countObject(table, traceId, planId, 1)])
    else await reopenSharded(client, table, { traceId, planId }, shard, gone)
  },
  list: async function* list(traceId, planId, from = 0, to = Number.MAX_SAFE_INTEGER) {
    const items = queryItems(client, {
      TableName: table,
      ConsistentRead: true,
      KeyConditionExpression: 'pk = :pk AND sk BETWEEN :from AND :to',
      // A segment that begins before `from` may reach past it.
      ExpressionAttributeValues: {
        ':pk': S(unitsKey(traceId, planId)),
        ':from': S(offsetKey(Math.max(0, from - 2 ** 29))),
        ':to': S(offsetKey(to)),
      },
    })
    for await (const item of items) {
      const row = rowOf<SegmentRow>(item)
      if (row.offset + row.size > from && row.offset < to) yield row
    }
  },
})

export const createDigestLedger = (client: DynamoDBClient, table: string): DigestLedger => ({
  begin: async (traceId, planId, count) =>
    translated('ledger begin digests', async () =>
      ifDone(() =>
        client.send(
          new UpdateItemCommand({
            TableName: table,
            Key: keyOf(objectKey(traceId)),
            UpdateExpression: 'SET phase = :digest, #left = :count',
            ConditionExpression: 'planId = :plan AND phase = :copy AND #left = :zero AND #state = :copying',
            ExpressionAttributeNames: { '#left': 'left', '#state': 'state' },
            ExpressionAttributeValues: {
              ':plan': S(planId),
              ':copy': S('copy'),
              ':digest': S('digest'),
              ':count': N(count),
              ':zero': N(0),
              ':copying': S('copying'),
            },
          }),
        ),
      ),
    ),
  finish: async (traceId, planId, piece) => {
    const put = putUnit(table, { pk: unitsKey(traceId, planId), sk: `digest#${offsetKey(piece.start)}` }, piece)
    return outcome(await transact(client, [put, countObject(table, traceId, planId, -1)]))
  },
  list: async function* list(traceId, planId) {
    const items = queryItems(client, {
      TableName: table,
      ConsistentRead: true,
      KeyConditionExpression: 'pk = :pk AND begins_with(sk, :digest)',
      ExpressionAttributeValues: { ':pk': S(unitsKey(traceId, planId)), ':digest': S('digest#') },
    })
    for await (const item of items) yield rowOf<Piece>(item)
  },
})
