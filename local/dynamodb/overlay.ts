import { itemBytes } from './attribute-values.ts'
import { type Expression, fulfilled, matches } from './conditions.ts'
import { act, type LevelOperation, type Store, type SubStore } from './dynalite.ts'
import { invalid, type Item, refusal, ServiceError } from './wire.ts'

const itemBytesMax = 400 * 1024

/** `before` or `after` is absent where the item is not there. */
export type ItemChange = { table: string; before?: Item; after?: Item }
/** What a write would do. `found` is the item as it was; with `error`, nothing is to be done. `looked` once it was looked up. */
export type Evaluated = {
  output?: Record<string, unknown>
  error?: ServiceError
  found?: Item
  looked?: true
  operations: LevelOperation[]
  changes: ItemChange[]
}

type Writes = Pick<Evaluated, 'operations'> & { put(key: string, value: Item): void; delete(key: string): void }

const recorder = (real: SubStore, prefix: string, writes: Writes): SubStore => ({
  // The caller holds the lock of every key that the action can touch.
  lock: (_key, run) => run((callback) => callback),
  get: (key, callback) => real.get(key, callback),
  put: (key, value, callback) => {
    writes.operations.push({ type: 'put', key: prefix + key, value })
    writes.put(key, value)
    callback()
  },
  del: (key, callback) => {
    writes.operations.push({ type: 'del', key: prefix + key })
    writes.delete(key)
    callback()
  },
})

/** dynalite's store with its writes recorded in place of done, prefixed as `getSubDb` of dynalite/db prefixes them. */
const overlay = (store: Store, result: Evaluated): Store => {
  const ignore = { operations: result.operations, put: () => undefined, delete: () => undefined }
  const itemStore = (table: string): SubStore => {
    const real = store.getItemDb(table)
    const before = new Map<string, Item>()
    const change = (key: string, after?: Item): void => {
      const old = before.get(key)
      result.changes.push({ table, ...(old && { before: old }), ...(after && { after }) })
    }
    const get: SubStore['get'] = (key, callback) =>
      real.get(key, (error, item) => {
        result.looked = true
        if (item) before.set(key, item)
        if (item) result.found = item
        callback(error, item)
      })
    return recorder({ ...real, get }, `item-${table}~`, { operations: result.operations, put: change, delete: change })
  }
  return {
    ...store,
    getItemDb: itemStore,
    getIndexDb: (type, table, index) =>
      recorder(store.getIndexDb(type, table, index), `index-${type.toLowerCase()}~${table}~${index}~`, ignore),
  }
}

type WriteData = { _condition?: { expression: Expression } }

const conditionFailed = (): ServiceError => refusal('ConditionalCheckFailedException', 'The conditional request failed')

/** Runs a write on validated data without writing; a refusal comes back as `error`, a defect is thrown. */
export const evaluate = async (store: Store, operation: string, data: object): Promise<Evaluated> => {
  const result: Evaluated = { operations: [], changes: [] }
  const { _condition: condition } = data as WriteData
  const unconditional = condition ? { ...data, _condition: { ...condition, expression: fulfilled } } : data
  try {
    result.output = await act(overlay(store, result), operation, unconditional)
    if (result.changes.some((change) => change.after && itemBytes(change.after) > itemBytesMax))
      throw invalid('Item size has exceeded the maximum allowed size')
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error
    result.error = error
  }
  // A condition comes before what the write itself finds wrong with the item.
  if (result.looked && condition && !matches(result.found ?? {}, condition.expression)) result.error = conditionFailed()
  return result
}
