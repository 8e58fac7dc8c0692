import { status } from '@grpc/grpc-js'
import { ApiError, exists, invalid, notFound, notImplemented } from './api-error.ts'
import type { Unary } from './calls.ts'
import { checkRule } from './garbage.ts'
import { afterPrefix } from './ranges.ts'
import type { Family, Store, Table } from './store.ts'
import type { ColumnFamily, CreateTableRequest, ModifyColumnFamiliesRequest, TableMessage } from './wire.ts'

const requireTable = (store: Store, name: string | undefined): Table => {
  const table = store.table(name ?? '')
  if (!table) throw notFound(`table "${name ?? ''}" not found`)
  return table
}

const toFamily = (number: number, settings: ColumnFamily): Family => {
  if (settings.valueType) throw notImplemented('families of a value type')
  if (settings.gcRule) checkRule(settings.gcRule)
  return { number, settings: { gcRule: settings.gcRule ?? null } }
}

const requireFamilyName = (name: string | undefined): string => {
  if (name === undefined || !/^[-_.a-zA-Z0-9]{1,64}$/.test(name))
    throw invalid(`a family's name is 1 to 64 of [-_.a-zA-Z0-9]: "${name ?? ''}"`)
  return name
}

const toMessage = (table: Table): TableMessage => ({
  name: table.name,
  columnFamilies: Object.fromEntries(Array.from(table.families, ([name, { settings }]) => [name, settings])),
  granularity: 'MILLIS',
  deletionProtection: table.isProtected,
})

const createTable = (store: Store, request: CreateTableRequest): TableMessage => {
  const { parent = '', tableId = '', table, initialSplits = [] } = request
  if (!/^projects\/[^/]+\/instances\/[^/]+$/.test(parent)) throw invalid(`no parent of a table: "${parent}"`)
  if (!/^[_a-zA-Z0-9][-_.a-zA-Z0-9]{0,49}$/.test(tableId)) throw invalid(`no table id: "${tableId}"`)
  if (table?.changeStreamConfig) throw notImplemented('change streams')
  const name = `${parent}/tables/${tableId}`
  if (store.table(name)) throw exists(`table "${name}" already exists`)
  const families = Object.entries(table?.columnFamilies ?? {}).map(([family, settings], number): [string, Family] => [
    requireFamilyName(family),
    toFamily(number, settings),
  ])
  const splits = initialSplits.map(({ key = Buffer.alloc(0) }) => key).sort((a, b) => Buffer.compare(a, b))
  const created = store.createTable({
    name,
    families: new Map(families),
    nextFamily: families.length,
    splits: splits.filter((split) => split.length > 0).map((split) => split.toString('hex')),
    isProtected: table?.deletionProtection === true,
  })
  return toMessage(created)
}

const listTables = (
  store: Store,
  { parent = '', pageSize = 0, pageToken = '' }: { parent?: string; pageSize?: number; pageToken?: string },
): { tables: TableMessage[]; nextPageToken?: string } => {
  const found = store.tables().filter(({ name }) => name.startsWith(`${parent}/tables/`) && name > pageToken)
  const page = pageSize > 0 ? found.slice(0, pageSize) : found
  const last = page.length < found.length ? page.at(-1) : undefined
  return { tables: page.map(({ name }) => ({ name })), ...(last && { nextPageToken: last.name }) }
}

/** All modifications or, where one is refused, none. A family's cells go with it, and stay gone when it is made anew. */
const modifyFamilies = (store: Store, request: ModifyColumnFamiliesRequest): TableMessage => {
  const table = requireTable(store, request.name)
  const families = new Map(table.families)
  let { nextFamily } = table
  for (const { id, mod, create, update } of request.modifications ?? []) {
    const name = requireFamilyName(id)
    const family = families.get(name)
    if (mod === 'create' && create) {
      if (family) throw exists(`family "${name}" already exists`)
      families.set(name, toFamily(nextFamily, create))
      nextFamily += 1
    } else if (!family) throw notFound(`no such family "${name}"`)
    else if (mod === 'update' && update) families.set(name, toFamily(family.number, update))
    else if (mod === 'drop') {
      if (table.isProtected) throw new ApiError(status.FAILED_PRECONDITION, `table "${table.name}" is protected`)
      families.delete(name)
    } else throw invalid(`a modification of "${name}" without a kind`)
  }
  const modified = { ...table, families, nextFamily }
  store.saveTable(modified)
  return toMessage(modified)
}

const dropRowRange = (
  store: Store,
  request: { name?: string; rowKeyPrefix?: Buffer; deleteAllDataFromTable?: boolean },
): object => {
  const table = requireTable(store, request.name)
  if (request.deleteAllDataFromTable) store.dropRange(table, { start: Buffer.alloc(0) })
  else {
    const prefix = request.rowKeyPrefix
    if (!prefix || prefix.length === 0) throw invalid('missing row key prefix')
    const end = afterPrefix(prefix)
    store.dropRange(table, { start: prefix, ...(end && { end }) })
  }
  return {}
}

/** Tables and families; no snapshots, backups, views, IAM, change streams or consistency tokens. */
export const createTableApi = (store: Store): { unary: Record<string, Unary> } => ({
  unary: {
    CreateTable: (request: CreateTableRequest) => createTable(store, request),
    ListTables: (request: object) => listTables(store, request),
    GetTable: (request: { name?: string }) => toMessage(requireTable(store, request.name)),
    DeleteTable: (request: { name?: string }) => {
      const table = requireTable(store, request.name)
      if (table.isProtected) throw new ApiError(status.FAILED_PRECONDITION, `table "${table.name}" is protected`)
      store.transaction(() => store.deleteTable(table))
      return {}
    },
    ModifyColumnFamilies: (request: ModifyColumnFamiliesRequest) => modifyFamilies(store, request),
    DropRowRange: (request: object) => dropRowRange(store, request),
  },
})
