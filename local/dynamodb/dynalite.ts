/**
 * dynalite 4.0.0 as a library: its validations, its actions and its LevelDB store, called directly and not through its
 * HTTP server, so that a write can be looked at before it happens (overlay.ts) and many become one atomic batch.
 */
import { createRequire } from 'node:module'
import { type ErrorBody, type Item, ServiceError } from './wire.ts'

export type KeySchema = { AttributeName: string; KeyType: 'HASH' | 'RANGE' }[]
export type Table = {
  TableName: string
  TableArn: string
  TableStatus: 'CREATING' | 'ACTIVE' | 'UPDATING' | 'DELETING'
  KeySchema: KeySchema
  GlobalSecondaryIndexes?: { IndexStatus: string }[]
}

export type Callback<T> = (error?: Error | null, value?: T) => void
export type LevelOperation = { type: 'put'; key: string; value: unknown } | { type: 'del'; key: string }
type Range = { gte: string; lt: string }

/** One of dynalite's keyspaces, its keys without the prefix. */
export type SubStore = {
  lock(key: string, run: (release: <T>(callback: Callback<T>) => Callback<T>) => void): void
  get(key: string, callback: Callback<Item>): void
  put(key: string, value: Item, callback: Callback<void>): void
  del(key: string, callback: Callback<void>): void
}
export type Store = {
  db: {
    open(): Promise<void>
    close(): Promise<void>
    get(key: string): Promise<unknown>
    batch(operations: LevelOperation[]): Promise<void>
    clear(range: Range): Promise<void>
    iterator(range: Range): AsyncIterable<[string, unknown]>
    keys(range: Range): AsyncIterable<string>
  }
  tableDb: { awsRegion: string; awsAccountId: string }
  getTable(name: string, checkStatus: boolean, callback: Callback<Table>): void
  getItemDb(table: string): SubStore
  getIndexDb(type: string, table: string, index: string): SubStore
}

type Action = (store: Store, data: unknown, callback: Callback<unknown>) => void
type Rules = { types: unknown; custom?: unknown }
type Validations = {
  checkTypes(data: unknown, types: unknown): Record<string, unknown>
  checkValidations(data: unknown, types: unknown, custom: unknown, store: Store): void
}
type Database = {
  create(options: Record<string, unknown>): Store
  createKey(item: Item, table: Table): string
  validateKey(key: Item, table: Table): Error | undefined
  validateItem(item: Item, table: Table): Error | undefined
  mapPaths(paths: unknown[], item: Item): Item
}

const load = createRequire(import.meta.url)
const database = load('dynalite/db') as Database
const validations = load('dynalite/validations') as Validations

const fileOf = (operation: string): string => operation.charAt(0).toLowerCase() + operation.slice(1)

/** dynalite's refusals as ours; anything else is a defect and goes on as it is. */
export const toServiceError = (error: unknown): Error => {
  const refused = error as { statusCode?: number; body?: ErrorBody }
  if (refused.statusCode && refused.body) return new ServiceError(refused.statusCode, refused.body, { cause: error })
  return error instanceof Error ? error : new Error('dynalite failed', { cause: error })
}

/** A request body checked and normalised: unknown members gone, numbers canonical, expressions parsed. The body is used up. */
export const validate = (store: Store, operation: string, body: unknown): Record<string, unknown> => {
  const rules = load(`dynalite/validations/${fileOf(operation)}`) as Rules
  try {
    const data = validations.checkTypes(body, rules.types)
    validations.checkValidations(data, rules.types, rules.custom, store)
    return data
  } catch (error) {
    throw toServiceError(error)
  }
}

/** Runs an action on validated data. */
export const act = <T>(store: Store, operation: string, data: unknown): Promise<T> => {
  const action = load(`dynalite/actions/${fileOf(operation)}`) as Action
  return new Promise((resolve, reject) => {
    action(store, data, (error, output) => (error ? reject(toServiceError(error)) : resolve(output as T)))
  })
}

/** The table's description; throws ResourceNotFoundException, with `active` also where it is being made or deleted. */
export const tableOf = (store: Store, name: string, active = true): Promise<Table> =>
  new Promise((resolve, reject) => {
    store.getTable(name, active, (error, table) => (table ? resolve(table) : reject(toServiceError(error))))
  })

/** Whether there is such a table, in whatever status. */
export const hasTable = async (store: Store, name: string): Promise<boolean> => {
  try {
    await tableOf(store, name, false)
    return true
  } catch (error) {
    if (error instanceof ServiceError && error.code === 'ResourceNotFoundException') return false
    throw error
  }
}

/** The store's own key of an item or of a key alone; throws ValidationException where it does not fit the table. */
export const storeKey = (table: Table, of: { item: Item } | { key: Item }): string => {
  const refused = 'item' in of ? database.validateItem(of.item, table) : database.validateKey(of.key, table)
  if (refused) throw toServiceError(refused)
  return database.createKey('item' in of ? of.item : of.key, table)
}

/** The parts of an item that a parsed projection names. */
export const project = (paths: unknown[], item: Item): Item => database.mapPaths(paths, item)

const range = (prefix: string): Range => ({ gte: prefix, lt: `${prefix}\u00ff` })

/** Reads every key of the table. */
export const countItems = async (store: Store, table: string): Promise<number> => {
  let count = 0
  for await (const _ of store.db.keys(range(`item-${table}~`))) count += 1
  return count
}

/** Ends what a kill left half done: tables stay neither in creation nor in deletion. */
const heal = async (store: Store): Promise<void> => {
  for await (const [key, value] of store.db.iterator(range('table~'))) {
    const table = value as Table
    if (table.TableStatus === 'ACTIVE') continue
    if (table.TableStatus === 'DELETING') {
      const name = table.TableName
      for (const prefix of [`item-${name}~`, `index-local~${name}~`, `index-global~${name}~`, `tag-${name}~`])
        await store.db.clear(range(prefix))
      await store.db.batch([{ type: 'del', key }])
      continue
    }
    for (const index of table.GlobalSecondaryIndexes ?? []) index.IndexStatus = 'ACTIVE'
    await store.db.batch([{ type: 'put', key, value: { ...table, TableStatus: 'ACTIVE' } }])
  }
}

/** Opens the LevelDB store in `path` (made where it is not). */
export const openStore = async (path: string, region: string, account: string): Promise<Store> => {
  const store = database.create({ path, createTableMs: 0, updateTableMs: 0, deleteTableMs: 0 })
  await store.db.open()
  store.tableDb.awsRegion = region
  store.tableDb.awsAccountId = account
  await heal(store)
  return store
}
