/**
 * TransactWriteItems and TransactGetItems. The locks of all keys are held throughout, so nothing conflicts; every item
 * is evaluated before anything is written, and what is written is one commit.
 */
import { hash } from 'node:crypto'
import { itemBytes } from './attribute-values.ts'
import { act, type LevelOperation, tableOf, validate } from './dynalite.ts'
import type { Engine } from './engine.ts'
import { type Evaluated, evaluate } from './overlay.ts'
import { invalid, type Item, refusal, ServiceError } from './wire.ts'
import { type ConditionFailure, lockName, type WriteData } from './writes.ts'

const itemsMax = 100
const bytesMax = 4 * 2 ** 20
const tokenLifeMs = 10 * 60_000
const tokenPrefix = 'lifeboat-token~'

// ConditionCheck is a DeleteItem whose operations are thrown away.
const operations: Record<string, string> = {
  Put: 'PutItem',
  Update: 'UpdateItem',
  Delete: 'DeleteItem',
  ConditionCheck: 'DeleteItem',
}
const members = [
  'TableName',
  'Item',
  'Key',
  'UpdateExpression',
  'ConditionExpression',
  'ExpressionAttributeNames',
  'ExpressionAttributeValues',
]

type WriteInput = {
  TransactItems?: Record<string, Record<string, unknown> & ConditionFailure>[]
  ClientRequestToken?: string
}
type GetInput = { TransactItems?: { Get?: Record<string, unknown> }[] }
type Part = { kind: string; operation: string; data: WriteData; lock: string; wantsItem: boolean }
type Token = { digest: string; at: number }
type Reason = { Code: string; Message?: string; Item?: Item }

const checkCount = (items: unknown[] | undefined): void => {
  if (!items || items.length < 1 || items.length > itemsMax)
    throw invalid(
      "1 validation error detected: Value at 'transactItems' failed to satisfy constraint: " +
        `Member must have length between 1 and ${itemsMax}`,
    )
}

const checkDistinct = (locks: string[]): void => {
  if (new Set(locks).size < locks.length)
    throw invalid('Transaction request cannot include multiple operations on one item')
}

const parsePart = async (
  engine: Engine,
  item: Record<string, Record<string, unknown> & ConditionFailure>,
): Promise<Part> => {
  const [[kind, request] = ['', {}], ...others] = Object.entries(item).filter(([, value]) => value)
  const operation = operations[kind]
  if (!operation || others.length > 0)
    throw invalid('TransactItems can only contain one of Check, Put, Update or Delete')
  if (kind === 'ConditionCheck' && !request['ConditionExpression'])
    throw invalid('The ConditionExpression of a ConditionCheck must not be null')
  const body = Object.fromEntries(members.filter((name) => name in request).map((name) => [name, request[name]]))
  const data = validate(engine.store, operation, body) as WriteData
  const table = await tableOf(engine.store, data.TableName)
  const wantsItem = request.ReturnValuesOnConditionCheckFailure === 'ALL_OLD'
  return { kind, operation, data, lock: lockName(table, data), wantsItem }
}

const toReason = ({ error, found }: Evaluated, wantsItem: boolean): Reason => {
  if (!error) return { Code: 'None' }
  const failed = error.code === 'ConditionalCheckFailedException'
  return {
    Code: failed ? 'ConditionalCheckFailed' : 'ValidationError',
    Message: error.body.message ?? '',
    ...(failed && wantsItem && found && { Item: found }),
  }
}

const cancel = (reasons: Reason[]): ServiceError => {
  const codes = reasons.map((reason) => reason.Code).join(', ')
  return refusal(
    'TransactionCanceledException',
    `Transaction cancelled, please refer cancellation reasons for specific reasons [${codes}]`,
    { CancellationReasons: reasons },
  )
}

/** True where the same request was done within the last ten minutes; throws where the token was another request's. */
const wasDone = async (engine: Engine, token: string, digest: string): Promise<boolean> => {
  const known = (await engine.store.db.get(tokenPrefix + token)) as Token | undefined
  if (!known || known.at < engine.now() - tokenLifeMs) return false
  if (known.digest !== digest)
    throw refusal('IdempotentParameterMismatchException', 'The token was used with other parameters')
  return true
}

const transactWrite =
  (engine: Engine) =>
  async (body: WriteInput): Promise<unknown> => {
    checkCount(body.TransactItems)
    const token = body.ClientRequestToken
    if (token !== undefined && (token.length < 1 || token.length > 36))
      throw invalid("Value at 'clientRequestToken' failed to satisfy constraint: length between 1 and 36")
    const digest = hash('sha256', JSON.stringify(body.TransactItems))
    const parts: Part[] = []
    for (const item of body.TransactItems ?? []) parts.push(await parsePart(engine, item))
    const locks = parts.map((part) => part.lock)
    checkDistinct(locks)
    return engine.locks.hold(token === undefined ? locks : [...locks, `token/${token}`], async () => {
      if (token !== undefined && (await wasDone(engine, token, digest))) return {}
      const results: Evaluated[] = []
      for (const part of parts) results.push(await evaluate(engine.store, part.operation, part.data))
      if (results.some((result) => result.error))
        throw cancel(results.map((result, index) => toReason(result, parts[index]?.wantsItem ?? false)))
      const writes = results.filter((_, index) => parts[index]?.kind !== 'ConditionCheck')
      const changes = writes.flatMap((result) => result.changes)
      if (changes.reduce((total, { after }) => total + (after ? itemBytes(after) : 0), 0) > bytesMax)
        throw invalid('Collection size of the transaction exceeded the maximum of 4 MB')
      const done: LevelOperation[] =
        token === undefined ? [] : [{ type: 'put', key: tokenPrefix + token, value: { digest, at: engine.now() } }]
      await engine.commits.submit({ operations: [...writes.flatMap((result) => result.operations), ...done], changes })
      return {}
    })
  }

const transactGet =
  (engine: Engine) =>
  async (body: GetInput): Promise<unknown> => {
    checkCount(body.TransactItems)
    const gets: { data: WriteData; lock: string }[] = []
    for (const { Get: get } of body.TransactItems ?? []) {
      if (!get) throw invalid('TransactItems can only contain Get')
      const data = validate(engine.store, 'GetItem', { ...get, ConsistentRead: true }) as WriteData
      gets.push({ data, lock: lockName(await tableOf(engine.store, data.TableName), data) })
    }
    const locks = gets.map((get) => get.lock)
    checkDistinct(locks)
    return engine.locks.hold(locks, async () => ({
      Responses: await Promise.all(gets.map(({ data }) => act(engine.store, 'GetItem', data))),
    }))
  }

/** Forgets the tokens that no longer make a request idempotent. */
export const dropOldTokens = async (engine: Engine): Promise<void> => {
  const range = { gte: tokenPrefix, lt: `${tokenPrefix}\u00ff` }
  const old: LevelOperation[] = []
  for await (const [key, value] of engine.store.db.iterator(range))
    if ((value as Token).at < engine.now() - tokenLifeMs) old.push({ type: 'del', key })
  if (old.length > 0) await engine.store.db.batch(old)
}

export const createTransactions = (engine: Engine) => ({
  TransactWriteItems: transactWrite(engine),
  TransactGetItems: transactGet(engine),
})
