import {
  ConditionalCheckFailedException,
  type DynamoDBClient,
  PutItemCommand,
  UpdateItemCommand,
} from '@aws-sdk/client-dynamodb'
import type { ObjectLedger, ObjectRow } from '../../weights/ledger.ts'
import { translated } from './errors.ts'
import { getItem, type Item, keyOf, N, numberOf, queryItems, rowOf, S, stringOf } from './ledger-table.ts'

/** Objects in flight. Keys: `o#<trace>` object | left#<plan>#<shard>. */

/** One counter takes about 500 transactions a second; above this many segments it is split. */
export const segmentsPerCounterDefault = 1000
const countersMax = 50

export const objectKey = (traceId: string) => ({ pk: `o#${traceId}`, sk: 'object' })
export const shardKey = (traceId: string, planId: string, shard: number) => ({
  pk: `o#${traceId}`,
  sk: `left#${planId}#${shard}`,
})

export const shardsOf = (segments: number, segmentsPerCounter: number): number =>
  segments <= segmentsPerCounter ? 0 : Math.min(countersMax, Math.ceil(segments / segmentsPerCounter))

/** Fields that conditions and filters look at; everything else is in `row`. */
const live = (row: ObjectRow): Item => ({
  state: S(row.state),
  phase: S(row.phase),
  planId: S(row.planId),
  left: N(row.left),
  attempt: N(row.attempt),
  ...(row.cursor === undefined ? {} : { cursor: N(row.cursor) }),
  ...(row.nudgedAt === undefined ? {} : { nudgedAt: N(row.nudgedAt) }),
  ...(row.sentAt === undefined ? {} : { sentAt: N(row.sentAt) }),
  ...(row.manifestDigest === undefined ? {} : { manifestDigest: S(row.manifestDigest) }),
  ...(row.sha256 === undefined ? {} : { sha256: S(row.sha256) }),
  ...(row.reason === undefined ? {} : { reason: S(row.reason) }),
})

const objectOf = (item: Item): ObjectRow => {
  const row = rowOf<ObjectRow>(item)
  const strings = ['manifestDigest', 'sha256', 'reason'] as const
  const numbers = ['cursor', 'nudgedAt', 'nudges', 'seenLeft', 'seenAt', 'sentAt'] as const
  const entries = [
    ...strings.map((name) => [name, stringOf(item, name)] as const),
    ...numbers.map((name) => [name, numberOf(item, name)] as const),
  ].filter(([, value]) => value !== undefined)
  return {
    ...row,
    state: (stringOf(item, 'state') ?? row.state) as ObjectRow['state'],
    phase: (stringOf(item, 'phase') ?? row.phase) as ObjectRow['phase'],
    left: numberOf(item, 'left') ?? row.left,
    ...Object.fromEntries(entries),
  }
}

const pendingOf = (of: 'live' | 'backfill'): string => (of === 'live' ? 'object' : 'backfill')

const putShards = async (client: DynamoDBClient, table: string, row: ObjectRow, shards: number): Promise<void> => {
  for (let shard = 0; shard < shards; shard += 1) {
    const count = Math.floor(row.segments / shards) + (shard < row.segments % shards ? 1 : 0)
    const Item = {
      ...keyOf(shardKey(row.traceId, row.planId, shard)),
      v: N(1),
      state: S('copying'),
      left: N(count),
      traceId: S(row.traceId),
    }
    await client
      .send(new PutItemCommand({ TableName: table, Item, ConditionExpression: 'attribute_not_exists(pk)' }))
      .catch((error: unknown) => {
        if (!(error instanceof ConditionalCheckFailedException)) throw error
      })
  }
}

export const ifDone = async (work: () => Promise<unknown>): Promise<boolean> => {
  try {
    await work()
    return true
  } catch (error) {
    if (error instanceof ConditionalCheckFailedException) return false
    throw error
  }
}

/** A sealed manifest is the truth whatever the row says, and no duplicate that comes to another end may hide it. */
const guardOf = (state: ObjectRow['state']): { condition: string; values: Item } | undefined => {
  if (state === 'copying') return undefined
  if (state === 'protected' || state === 'sealed')
    return {
      condition: ' AND NOT #state IN (:protected, :sealed)',
      values: { ':protected': S('protected'), ':sealed': S('sealed') },
    }
  return { condition: ' AND #state = :copying', values: { ':copying': S('copying') } }
}

export const createObjectLedger = (
  client: DynamoDBClient,
  table: string,
  segmentsPerCounter = segmentsPerCounterDefault,
): ObjectLedger => ({
  get: async (traceId) => {
    const item = await getItem(client, table, objectKey(traceId))
    return item && objectOf(item)
  },
  begin: async (row) =>
    translated('ledger begin', async () => {
      const shards = shardsOf(row.segments, segmentsPerCounter)
      await putShards(client, table, row, shards)
      const left = shards > 0 ? shards : row.left
      const Item = {
        ...keyOf(objectKey(row.traceId)),
        v: N(1),
        traceId: S(row.traceId),
        row: S(JSON.stringify(row)),
        ...live({ ...row, left }),
        pending: S(pendingOf(row.backfill === undefined ? 'live' : 'backfill')),
        since: S(new Date(row.since).toISOString()),
      }
      const unsealed = '#state <> :protected AND #state <> :sealed AND attempt <= :attempt'
      const condition = {
        ConditionExpression: `attribute_not_exists(pk) OR (planId <> :planId AND ${row.repair ? `(attempt < :attempt OR (${unsealed}))` : unsealed})`,
        ExpressionAttributeNames: { '#state': 'state' },
        ExpressionAttributeValues: {
          ':protected': S('protected'),
          ':sealed': S('sealed'),
          ':planId': S(row.planId),
          ':attempt': N(row.attempt),
        },
      }
      return ifDone(() => client.send(new PutItemCommand({ TableName: table, Item, ...condition })))
    }),
  update: async (traceId, planId, change) =>
    translated('ledger update', async () => {
      const fields: Item = {}
      for (const [name, value] of Object.entries(change))
        if (value !== undefined)
          fields[name] =
            typeof value === 'number' ? N(value) : S(typeof value === 'string' ? value : JSON.stringify(value))
      const names = Object.keys(fields)
      const ends = change.state !== undefined && change.state !== 'copying'
      const guard = change.state === undefined ? undefined : guardOf(change.state)
      const set = names.map((_, index) => `#f${index} = :f${index}`).join(', ')
      return ifDone(() =>
        client.send(
          new UpdateItemCommand({
            TableName: table,
            Key: keyOf(objectKey(traceId)),
            UpdateExpression: `SET ${set}${ends ? ' REMOVE pending, since' : ''}`,
            ConditionExpression: `planId = :plan${guard?.condition ?? ''}`,
            ExpressionAttributeNames: {
              ...Object.fromEntries(names.map((name, index) => [`#f${index}`, name])),
              ...(guard ? { '#state': 'state' } : {}),
            },
            ExpressionAttributeValues: {
              ':plan': S(planId),
              ...guard?.values,
              ...Object.fromEntries(names.map((name, index) => [`:f${index}`, fields[name] ?? S('')])),
            },
          }),
        ),
      )
    }),
  pending: async function* pending(of = 'live') {
    const items = queryItems(client, {
      TableName: table,
      IndexName: 'pending',
      KeyConditionExpression: 'pending = :object',
      ExpressionAttributeValues: { ':object': S(pendingOf(of)) },
    })
    for await (const item of items) yield objectOf(item)
  },
})
