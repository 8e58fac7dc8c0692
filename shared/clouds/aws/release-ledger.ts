import { createHash } from 'node:crypto'
import {
  ConditionalCheckFailedException,
  type DynamoDBClient,
  PutItemCommand,
  UpdateItemCommand,
} from '@aws-sdk/client-dynamodb'
import type { Chain, MemberRow, ReleaseLedger, ReleaseRow } from '../../weights/ledger.ts'
import { translated } from './errors.ts'
import { getItem, type Item, keyOf, N, numberOf, queryItems, rowOf, S, stringOf } from './ledger-table.ts'

/** Releases and their members: `m#<hash of bucket and prefix>` release | request | <trace>; chains: `h#<hash>` chain. */

const hash = (...fields: string[]): string =>
  createHash('sha256').update(JSON.stringify(fields)).digest('hex').slice(0, 32)
const pkOf = (bucket: string, prefix: string): string => `m#${hash(bucket, prefix)}`

const releaseOf = (item: Item): ReleaseRow => {
  const version = stringOf(item, 'version')
  const waiting = stringOf(item, 'waiting')
  const again = numberOf(item, 'again')
  const wanting = item['wanting']?.SS
  return {
    bucket: stringOf(item, 'bucket') ?? '',
    prefix: stringOf(item, 'prefix') ?? '',
    model: stringOf(item, 'model') ?? '',
    ...(version === undefined ? {} : { version }),
    touchedAt: numberOf(item, 'touchedAt') ?? 0,
    done: item['done']?.SS ?? [],
    ...(waiting === undefined ? {} : { waiting }),
    ...(again === undefined ? {} : { again }),
    ...(wanting === undefined ? {} : { wanting }),
  }
}

const unlessConditionFails = async (work: Promise<unknown>): Promise<void> => {
  try {
    await work
  } catch (error) {
    if (!(error instanceof ConditionalCheckFailedException)) throw error
  }
}

/** A late duplicate, of this plan or another, must not hide that the object version is sealed or ended by now. */
const memberCondition = (member: MemberRow) => {
  if (member.state === 'protected' || member.state === 'sealed') return {}
  const values: Item = { ':protected': S('protected'), ':sealed': S('sealed') }
  const unsealed = 'attribute_not_exists(pk) OR (NOT #state IN (:protected, :sealed)'
  const ExpressionAttributeNames = { '#state': 'state' }
  if (member.state !== 'copying')
    return { ConditionExpression: `${unsealed})`, ExpressionAttributeNames, ExpressionAttributeValues: values }
  return {
    ConditionExpression: `${unsealed} AND (#state = :copying OR planId <> :plan))`,
    ExpressionAttributeNames,
    ExpressionAttributeValues: { ...values, ':copying': S('copying'), ':plan': S(member.planId) },
  }
}

const putMember = async (client: DynamoDBClient, table: string, member: MemberRow): Promise<void> => {
  const Item = {
    ...keyOf({ pk: pkOf(member.bucket, member.prefix), sk: member.traceId }),
    v: N(1),
    state: S(member.state),
    planId: S(member.planId),
    row: S(JSON.stringify(member)),
  }
  await unlessConditionFails(client.send(new PutItemCommand({ TableName: table, Item, ...memberCondition(member) })))
}

const openRelease = async (
  client: DynamoDBClient,
  table: string,
  member: MemberRow,
  release: { model: string; version?: string },
  now: number,
): Promise<void> => {
  const fields: Item = {
    bucket: S(member.bucket),
    prefix: S(member.prefix),
    model: S(release.model),
    ...(release.version === undefined ? {} : { version: S(release.version) }),
    touchedAt: N(now),
    pending: S('release'),
    since: S(new Date(member.lastModified).toISOString()),
    v: N(1),
  }
  const names = Object.keys(fields)
  await client.send(
    new UpdateItemCommand({
      TableName: table,
      Key: keyOf({ pk: pkOf(member.bucket, member.prefix), sk: 'release' }),
      UpdateExpression: `SET ${names.map((_, index) => `#f${index} = :f${index}`).join(', ')}`,
      ExpressionAttributeNames: Object.fromEntries(names.map((name, index) => [`#f${index}`, name])),
      ExpressionAttributeValues: Object.fromEntries(names.map((name, index) => [`:f${index}`, fields[name] ?? S('')])),
    }),
  )
}

const updateRelease = async (
  client: DynamoDBClient,
  table: string,
  Key: Item,
  change: Parameters<ReleaseLedger['update']>[2],
): Promise<void> => {
  const { again } = change
  const isSame = again === undefined ? 'attribute_not_exists(again)' : 'again = :again'
  const same: Item = again === undefined ? {} : { ':again': N(again) }
  const send = async (expression: string, values: Item, condition?: string): Promise<void> =>
    unlessConditionFails(
      client.send(
        new UpdateItemCommand({
          TableName: table,
          Key,
          UpdateExpression: expression,
          ...(Object.keys(values).length === 0 ? {} : { ExpressionAttributeValues: values }),
          ...(condition === undefined ? {} : { ConditionExpression: condition }),
        }),
      ),
    )
  if (change.done !== undefined)
    await send('ADD done :done REMOVE waiting', { ':done': { SS: [change.done] }, ...same }, isSame)
  if (change.waiting !== undefined) await send('SET waiting = :waiting', { ':waiting': S(change.waiting) })
  if (change.closeIf !== undefined)
    await send(
      'REMOVE pending, since',
      { ':touched': N(change.closeIf), ...same },
      `touchedAt = :touched AND ${isSame}`,
    )
}

export const createReleaseLedger = (client: DynamoDBClient, table: string): ReleaseLedger => ({
  touch: async (member, release, now) =>
    translated('ledger touch release', async () => {
      await putMember(client, table, member)
      await openRelease(client, table, member, release, now)
    }),
  members: async (bucket, prefix) => {
    const members: MemberRow[] = []
    const items = queryItems(client, {
      TableName: table,
      ConsistentRead: true,
      KeyConditionExpression: 'pk = :pk',
      ExpressionAttributeValues: { ':pk': S(pkOf(bucket, prefix)) },
    })
    for await (const item of items) if (item['row']) members.push(rowOf<MemberRow>(item))
    return members
  },
  get: async (bucket, prefix) => {
    const item = await getItem(client, table, { pk: pkOf(bucket, prefix), sk: 'release' })
    return item && releaseOf(item)
  },
  update: async (bucket, prefix, change) =>
    translated('ledger update release', () =>
      updateRelease(client, table, keyOf({ pk: pkOf(bucket, prefix), sk: 'release' }), change),
    ),
  reopen: async (bucket, prefix, cause, now, wanting) =>
    translated('ledger reopen release', async () =>
      unlessConditionFails(
        client.send(
          new UpdateItemCommand({
            TableName: table,
            Key: keyOf({ pk: pkOf(bucket, prefix), sk: 'release' }),
            UpdateExpression: `ADD again :one${wanting === undefined ? '' : ', wanting :wanting'} SET pending = :release, since = if_not_exists(since, :now), cause = :cause REMOVE done`,
            ConditionExpression: 'attribute_exists(pk) AND (attribute_not_exists(cause) OR cause <> :cause)',
            ExpressionAttributeValues: {
              ':one': N(1),
              ...(wanting === undefined ? {} : { ':wanting': { SS: [wanting] } }),
              ':cause': S(cause),
              ':release': S('release'),
              ':now': S(new Date(now).toISOString()),
            },
          }),
        ),
      ),
    ),
  request: async (bucket, prefix, now) => {
    // The stream's filter is for rows that are copied and have nothing left: an order to evaluate looks like one.
    const fields = { bucket: S(bucket), prefix: S(prefix), state: S('copying'), left: N(0), at: N(now), v: N(1) }
    const Item = { ...keyOf({ pk: pkOf(bucket, prefix), sk: 'request' }), ...fields }
    await translated('ledger request', () => client.send(new PutItemCommand({ TableName: table, Item })))
  },
  open: async function* open() {
    const items = queryItems(client, {
      TableName: table,
      IndexName: 'pending',
      KeyConditionExpression: 'pending = :release',
      ExpressionAttributeValues: { ':release': S('release') },
    })
    for await (const item of items) yield releaseOf(item)
  },
})

const keyFor = (chain: string): Item => keyOf({ pk: `h#${hash(chain)}`, sk: 'chain' })

export const createChain = (client: DynamoDBClient, table: string): Chain => {
  return {
    next: async (chain) =>
      translated('ledger chain', async () => {
        const output = await client.send(
          new UpdateItemCommand({
            TableName: table,
            Key: keyFor(chain),
            UpdateExpression: 'ADD reserved :one',
            ExpressionAttributeValues: { ':one': N(1) },
            ReturnValues: 'ALL_NEW',
          }),
        )
        const item = output.Attributes ?? {}
        const info = stringOf(item, 'info')
        return {
          sequence: numberOf(item, 'reserved') ?? 1,
          previousDigest: stringOf(item, 'digest') ?? null,
          ...(info === undefined ? {} : { previous: JSON.parse(info) as Record<string, string> }),
        }
      }),
    newest: async (chain) => {
      const item = await getItem(client, table, { pk: `h#${hash(chain)}`, sk: 'chain' })
      const digest = item && stringOf(item, 'digest')
      if (!item || digest === undefined) return undefined
      const info = JSON.parse(stringOf(item, 'info') ?? '{}') as Record<string, string>
      return { sequence: numberOf(item, 'digestSequence') ?? 0, digest, info }
    },
    advance: async (chain, sequence, digest, info) =>
      translated('ledger chain', async () =>
        unlessConditionFails(
          client.send(
            new UpdateItemCommand({
              TableName: table,
              Key: keyFor(chain),
              UpdateExpression: 'SET digest = :digest, digestSequence = :sequence, info = :info',
              ConditionExpression: 'attribute_not_exists(digestSequence) OR digestSequence < :sequence',
              ExpressionAttributeValues: {
                ':digest': S(digest),
                ':sequence': N(sequence),
                ':info': S(JSON.stringify(info ?? {})),
              },
            }),
          ),
        ),
      ),
  }
}
