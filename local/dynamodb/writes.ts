/** PutItem, UpdateItem, DeleteItem and BatchWriteItem. */
import { storeKey, type Table, tableOf, validate } from './dynalite.ts'
import type { Engine } from './engine.ts'
import { evaluate } from './overlay.ts'
import { invalid, type Item, ServiceError } from './wire.ts'

const batchMax = 25

export type WriteData = { TableName: string; Item?: Item; Key?: Item }
type BatchData = { RequestItems: Record<string, { PutRequest?: { Item: Item }; DeleteRequest?: { Key: Item } }[]> }
export type ConditionFailure = { ReturnValuesOnConditionCheckFailure?: string }

/** The name to lock an item by; throws ValidationException where the key does not fit the table. */
export const lockName = (table: Table, data: { Item?: Item; Key?: Item }): string =>
  `item/${table.TableName}/${storeKey(table, data.Item ? { item: data.Item } : { key: data.Key ?? {} })}`

const withItem = (error: ServiceError, item: Item | undefined): ServiceError =>
  item && error.code === 'ConditionalCheckFailedException'
    ? new ServiceError(error.status, { ...error.body, Item: item }, { cause: error })
    : error

const writeOne =
  (engine: Engine, operation: 'PutItem' | 'UpdateItem' | 'DeleteItem') =>
  async (body: ConditionFailure): Promise<unknown> => {
    const wantsItem = body.ReturnValuesOnConditionCheckFailure === 'ALL_OLD'
    const data = validate(engine.store, operation, body) as WriteData
    const table = await tableOf(engine.store, data.TableName)
    return engine.locks.hold([lockName(table, data)], async () => {
      const evaluated = await evaluate(engine.store, operation, data)
      if (evaluated.error) throw wantsItem ? withItem(evaluated.error, evaluated.found) : evaluated.error
      await engine.commits.submit(evaluated)
      return evaluated.output
    })
  }

const writeBatch =
  (engine: Engine) =>
  async (body: unknown): Promise<unknown> => {
    const data = validate(engine.store, 'BatchWriteItem', body) as BatchData
    const requests = Object.entries(data.RequestItems)
    if (requests.reduce((total, [, list]) => total + list.length, 0) > batchMax)
      throw invalid('Too many items requested for the BatchWriteItem call')
    const names: string[] = []
    for (const [name, list] of requests) {
      const table = await tableOf(engine.store, name)
      for (const request of list) names.push(lockName(table, { ...request.PutRequest, ...request.DeleteRequest }))
    }
    return engine.locks.hold(names, async () => {
      const evaluated = await evaluate(engine.store, 'BatchWriteItem', data)
      if (evaluated.error) throw evaluated.error
      await engine.commits.submit(evaluated)
      return evaluated.output
    })
  }

export const createWrites = (engine: Engine) => ({
  PutItem: writeOne(engine, 'PutItem'),
  UpdateItem: writeOne(engine, 'UpdateItem'),
  DeleteItem: writeOne(engine, 'DeleteItem'),
  BatchWriteItem: writeBatch(engine),
})
