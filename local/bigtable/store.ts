import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { ColumnFamily } from './wire.ts'

/** A family keeps its number for life; one that is made anew under an old name has another, so old cells stay gone. */
export type Family = { number: number; settings: ColumnFamily }
/** `splits` are hex. `names` and `numbers` are the two ways to find a family. */
export type Table = {
  id: number
  name: string
  families: Map<string, Family>
  names: Map<number, string>
  nextFamily: number
  splits: string[]
  isProtected: boolean
}
/** Rows from `start` on and before `end`; no `end` means to the last row. */
export type KeyRange = { start: Buffer; end?: Buffer }
export type StoredBytes = { key: Buffer; cells: Buffer }
/** An instance, cluster or app profile, as JSON under its full name. */
export type Resource = { name: string; body: unknown }

export type Store = {
  table(name: string): Table | undefined
  tables(): Table[]
  createTable(table: Omit<Table, 'id' | 'names'>): Table
  saveTable(table: Table): void
  deleteTable(table: Table): void
  get(table: Table, key: Buffer): Buffer | undefined
  /** Without cells there is no row. */
  put(table: Table, key: Buffer, cells: Buffer): void
  page(table: Table, range: KeyRange, options: { limit: number; reversed: boolean }): StoredBytes[]
  /** Every row's key in order with its size in bytes. */
  sizes(table: Table): { key: Buffer; size: number }[]
  dropRange(table: Table, range: KeyRange): void
  /** All that `work` writes is kept, or nothing where it throws. */
  transaction<T>(work: () => T): T
  /** Resolves when all that was written before is on record, which is what an answer must wait for. */
  settled(): Promise<void> | undefined
  resource(name: string): unknown
  resources(prefix: string): Resource[]
  putResource(resource: Resource): void
  deleteResource(name: string): boolean
  close(): void
}

// Not WITHOUT ROWID: a search would then read the whole of every large row that it compares its key with.
const SCHEMA = `
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = OFF;
  CREATE TABLE IF NOT EXISTS tables (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, meta TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS rows (
    id INTEGER PRIMARY KEY, table_id INTEGER NOT NULL, key BLOB NOT NULL, cells BLOB NOT NULL
  );
  CREATE UNIQUE INDEX IF NOT EXISTS rows_by_key ON rows (table_id, key);
  CREATE TABLE IF NOT EXISTS resources (name TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
`

const prepare = (db: DatabaseSync) => ({
  tables: db.prepare('SELECT id, name, meta FROM tables ORDER BY name'),
  createTable: db.prepare('INSERT INTO tables (name, meta) VALUES (?, ?)'),
  saveTable: db.prepare('UPDATE tables SET meta = ? WHERE id = ?'),
  deleteTable: db.prepare('DELETE FROM tables WHERE id = ?'),
  deleteRows: db.prepare('DELETE FROM rows WHERE table_id = ?'),
  get: db.prepare('SELECT cells FROM rows WHERE table_id = ? AND key = ?'),
  put: db.prepare(
    'INSERT INTO rows (table_id, key, cells) VALUES (?, ?, ?) ON CONFLICT (table_id, key) DO UPDATE SET cells = excluded.cells',
  ),
  drop: db.prepare('DELETE FROM rows WHERE table_id = ? AND key = ?'),
  from: db.prepare('SELECT key, cells FROM rows WHERE table_id = ? AND key >= ? ORDER BY key LIMIT ?'),
  between: db.prepare('SELECT key, cells FROM rows WHERE table_id = ? AND key >= ? AND key < ? ORDER BY key LIMIT ?'),
  fromDown: db.prepare('SELECT key, cells FROM rows WHERE table_id = ? AND key >= ? ORDER BY key DESC LIMIT ?'),
  betweenDown: db.prepare(
    'SELECT key, cells FROM rows WHERE table_id = ? AND key >= ? AND key < ? ORDER BY key DESC LIMIT ?',
  ),
  sizes: db.prepare('SELECT key, length(cells) AS size FROM rows WHERE table_id = ? ORDER BY key'),
  dropFrom: db.prepare('DELETE FROM rows WHERE table_id = ? AND key >= ?'),
  dropBetween: db.prepare('DELETE FROM rows WHERE table_id = ? AND key >= ? AND key < ?'),
  resource: db.prepare('SELECT body FROM resources WHERE name = ?'),
  resources: db.prepare('SELECT name, body FROM resources ORDER BY name'),
  putResource: db.prepare('INSERT INTO resources VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET body = excluded.body'),
  deleteResource: db.prepare('DELETE FROM resources WHERE name = ?'),
  begin: db.prepare('BEGIN IMMEDIATE'),
  commit: db.prepare('COMMIT'),
  rollback: db.prepare('ROLLBACK'),
})

const toBuffer = (bytes: unknown): Buffer => {
  const { buffer, byteOffset, byteLength } = bytes as Uint8Array
  return Buffer.from(buffer, byteOffset, byteLength)
}

const toMeta = ({ families, nextFamily, splits, isProtected }: Omit<Table, 'id' | 'names'>): string =>
  JSON.stringify({ families: [...families], nextFamily, splits, isProtected })

type Meta = Pick<Table, 'nextFamily' | 'splits' | 'isProtected'> & { families: [string, Family][] }

const namesOf = (families: Map<string, Family>): Map<number, string> =>
  new Map(Array.from(families, ([name, { number }]) => [number, name]))

const toTable = (raw: Record<string, unknown>): Table => {
  const meta = JSON.parse(raw['meta'] as string) as Meta
  const families = new Map(meta.families)
  return { ...meta, id: raw['id'] as number, name: raw['name'] as string, families, names: namesOf(families) }
}

const openTables = (sql: ReturnType<typeof prepare>) => {
  const tables = new Map(sql.tables.all().map((raw) => [raw['name'] as string, toTable(raw)]))
  return {
    table: (name: string) => tables.get(name),
    tables: () => [...tables.values()].sort((a, b) => (a.name < b.name ? -1 : 1)),
    createTable: (made: Omit<Table, 'id' | 'names'>): Table => {
      const { lastInsertRowid } = sql.createTable.run(made.name, toMeta(made))
      const table: Table = { ...made, id: Number(lastInsertRowid), names: namesOf(made.families) }
      tables.set(table.name, table)
      return table
    },
    saveTable: (table: Table): void => {
      sql.saveTable.run(toMeta(table), table.id)
      tables.set(table.name, { ...table, names: namesOf(table.families) })
    },
    deleteTable: (table: Table): void => {
      sql.deleteTable.run(table.id)
      sql.deleteRows.run(table.id)
      tables.delete(table.name)
    },
  }
}

/**
 * What is written in one turn of the event loop shares a commit, since a commit of its own is most of what a write
 * costs.
 */
const openGroupCommit = (sql: ReturnType<typeof prepare>) => {
  let pending: PromiseWithResolvers<void> | undefined
  const commit = (): void => {
    if (!pending) return
    const { resolve, reject } = pending
    pending = undefined
    try {
      sql.commit.run()
      resolve()
    } catch (error) {
      reject(error)
    }
  }
  return {
    /** Before every write of a row. */
    join: (): void => {
      if (pending) return
      sql.begin.run()
      pending = Promise.withResolvers()
      // A failed commit is for those who wait for it; where nobody does, nobody was told that it was written.
      pending.promise.catch(() => undefined)
      setImmediate(commit)
    },
    commit,
    settled: () => pending?.promise,
  }
}

/**
 * Everything is in one SQLite file, tables' settings in memory too. Nothing is synced to the disk: what was committed
 * survives the death of the process, which is what is promised, though not of the machine.
 */
export const openStore = (dir: string): Store => {
  const db = new DatabaseSync(join(dir, 'bigtable.sqlite'))
  db.exec(SCHEMA)
  const sql = prepare(db)
  const group = openGroupCommit(sql)
  return {
    ...openTables(sql),
    settled: group.settled,
    get: (table, key) => {
      const raw = sql.get.get(table.id, key)
      return raw && toBuffer(raw['cells'])
    },
    put: (table, key, cells) => {
      group.join()
      if (cells.length === 0) sql.drop.run(table.id, key)
      else sql.put.run(table.id, key, cells)
    },
    page: (table, { start, end }, { limit, reversed }) => {
      const rows = end
        ? (reversed ? sql.betweenDown : sql.between).all(table.id, start, end, limit)
        : (reversed ? sql.fromDown : sql.from).all(table.id, start, limit)
      return rows.map((raw) => ({ key: toBuffer(raw['key']), cells: toBuffer(raw['cells']) }))
    },
    sizes: (table) =>
      sql.sizes.all(table.id).map((raw) => ({ key: toBuffer(raw['key']), size: raw['size'] as number })),
    dropRange: (table, { start, end }) => {
      group.join()
      if (end) sql.dropBetween.run(table.id, start, end)
      else sql.dropFrom.run(table.id, start)
    },
    transaction: (work) => {
      group.commit()
      sql.begin.run()
      try {
        const result = work()
        sql.commit.run()
        return result
      } catch (error) {
        sql.rollback.run()
        throw error
      }
    },
    resource: (name) => {
      const raw = sql.resource.get(name)
      return raw && (JSON.parse(raw['body'] as string) as unknown)
    },
    resources: (prefix) =>
      sql.resources
        .all()
        .map((raw) => ({ name: raw['name'] as string, body: JSON.parse(raw['body'] as string) as unknown }))
        .filter(({ name }) => name.startsWith(prefix) && !name.slice(prefix.length).includes('/')),
    putResource: ({ name, body }) => void sql.putResource.run(name, JSON.stringify(body)),
    deleteResource: (name) => sql.deleteResource.run(name).changes > 0,
    close: () => {
      group.commit()
      db.close()
    },
  }
}
