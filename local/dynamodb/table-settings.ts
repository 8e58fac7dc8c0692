import type { DatabaseSync } from 'node:sqlite'

/** What dynalite has no place for. `timeToLive` is the attribute's name; times in ms. */
export type TableSettings = {
  timeToLive?: string
  deletionProtection?: boolean
  tableClass?: string
  serverSideEncryption?: { type: string; key?: string }
  pointInTimeRecoverySince?: number
}
export type SettingsStore = {
  all(): [table: string, settings: TableSettings][]
  get(table: string): TableSettings
  set(table: string, settings: TableSettings): void
  delete(table: string): void
}

export const createTableSettings = (database: DatabaseSync): SettingsStore => {
  database.exec('CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, body TEXT NOT NULL)')
  const put = database.prepare('INSERT OR REPLACE INTO settings (name, body) VALUES (?, ?)')
  const drop = database.prepare('DELETE FROM settings WHERE name = ?')
  const rows = database.prepare('SELECT name, body FROM settings').all()
  const settings = new Map(rows.map((row) => [String(row['name']), JSON.parse(String(row['body'])) as TableSettings]))
  return {
    all: () => [...settings],
    get: (table) => settings.get(table) ?? {},
    set: (table, value) => {
      settings.set(table, value)
      put.run(table, JSON.stringify(value))
    },
    delete: (table) => {
      settings.delete(table)
      drop.run(table)
    },
  }
}
