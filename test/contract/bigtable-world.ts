import { type status } from '@grpc/grpc-js'
import { expect } from 'vitest'
import { type BigtableApi, brief, bytes, tableNameOf } from '../support/bigtable.ts'

type Json = Record<string, unknown>

/** What the parts of the contract work with; each test makes a table of its own. */
export type World = {
  api: BigtableApi
  /** A new table's id, with families `f` and `g`. */
  newTable: () => Promise<string>
  mutate: (table: string, key: string, ...mutations: Json[]) => Promise<Json>
  /** Whether the predicate matched. */
  check: (table: string, key: string, request: Json) => Promise<unknown>
  rows: (table: string, request?: Json) => Promise<Record<string, string[]>>
}

export const refusal = (code: status): unknown => expect.objectContaining({ code })

/** `connected` is asked at each call, since a suite is described before its server runs. */
export const createWorld = (connected: () => BigtableApi): World => {
  const api: BigtableApi = {
    call: (...call) => connected().call(...call),
    stream: (...call) => connected().stream(...call),
    read: (...call) => connected().read(...call),
    createTable: (...call) => connected().createTable(...call),
    modify: (...call) => connected().modify(...call),
    close: () => connected().close(),
  }
  let last = 0
  return {
    api,
    newTable: async () => {
      last += 1
      const id = `t${last}`
      await api.createTable(id, {})
      for (const family of ['f', 'g']) await api.modify(id, [{ id: family, create: {} }])
      return id
    },
    mutate: (table, key, ...mutations) =>
      api.call('data', 'MutateRow', { tableName: tableNameOf(table), rowKey: bytes(key), mutations }),
    check: async (table, key, request) => {
      const asked = { tableName: tableNameOf(table), rowKey: bytes(key), ...request }
      return (await api.call('data', 'CheckAndMutateRow', asked))['predicateMatched'] ?? false
    },
    rows: async (table, request) => brief(await api.read(table, request)),
  }
}
