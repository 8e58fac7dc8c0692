import { join } from 'node:path'
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite'

/** Metadata in SQLite. Keys are BLOBs of UTF-8, because S3 lists in the order of these bytes. */
export type Store = {
  all<Row>(sql: string, ...values: SQLInputValue[]): Row[]
  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- SQLite has no types: the caller names the row
  get<Row>(sql: string, ...values: SQLInputValue[]): Row | undefined
  run(sql: string, ...values: SQLInputValue[]): void
  /** All or nothing; `work` is synchronous, so nothing of another request gets in between. */
  transaction<T>(work: () => T): T
  close(): void
}

const schema = `
  CREATE TABLE IF NOT EXISTS ranks (last INTEGER NOT NULL);
  INSERT INTO ranks SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM ranks);
  CREATE TABLE IF NOT EXISTS buckets (
    name TEXT PRIMARY KEY, created INTEGER NOT NULL, region TEXT NOT NULL, versioning TEXT,
    eventBridge INTEGER NOT NULL DEFAULT 0, queues TEXT NOT NULL DEFAULT '[]'
  ) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS versions (
    id INTEGER PRIMARY KEY AUTOINCREMENT, bucket TEXT NOT NULL, key BLOB NOT NULL, version TEXT NOT NULL,
    rank INTEGER NOT NULL, latest INTEGER NOT NULL, marker INTEGER NOT NULL, modified INTEGER NOT NULL,
    size INTEGER NOT NULL, etag TEXT NOT NULL, about TEXT NOT NULL, tags TEXT NOT NULL,
    algorithm TEXT, checksumType TEXT, checksum TEXT, partsCount INTEGER,
    UNIQUE (bucket, key, version)
  );
  CREATE UNIQUE INDEX IF NOT EXISTS versionsLatest ON versions (bucket, key) WHERE latest = 1;
  CREATE INDEX IF NOT EXISTS versionsRank ON versions (bucket, key, rank DESC);
  CREATE TABLE IF NOT EXISTS versionParts (
    version INTEGER NOT NULL, number INTEGER NOT NULL, body TEXT NOT NULL, size INTEGER NOT NULL, checksum TEXT,
    PRIMARY KEY (version, number)
  ) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS uploads (
    id TEXT PRIMARY KEY, bucket TEXT NOT NULL, key BLOB NOT NULL, rank INTEGER NOT NULL, initiated INTEGER NOT NULL,
    about TEXT NOT NULL, tags TEXT NOT NULL, algorithm TEXT, checksumType TEXT, declared INTEGER NOT NULL
  ) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS uploadsKey ON uploads (bucket, key, rank);
  CREATE TABLE IF NOT EXISTS uploadParts (
    upload TEXT NOT NULL, number INTEGER NOT NULL, body TEXT NOT NULL, size INTEGER NOT NULL, etag TEXT NOT NULL,
    checksum TEXT, modified INTEGER NOT NULL, PRIMARY KEY (upload, number)
  ) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, message TEXT NOT NULL);
`

/**
 * Opens `dir`/s3.sqlite for this process alone. With the write-ahead log and synchronous=OFF a commit is in the page
 * cache: it survives SIGKILL of the process, not a power cut.
 */
export const openStore = (dir: string): Store => {
  const database = new DatabaseSync(join(dir, 's3.sqlite'), { timeout: 5000 })
  database.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;')
  database.exec(schema)
  const statements = new Map<string, StatementSync>()
  const prepare = (sql: string): StatementSync => {
    const known = statements.get(sql)
    if (known) return known
    const statement = database.prepare(sql)
    statements.set(sql, statement)
    return statement
  }
  return {
    all: <Row>(sql: string, ...values: SQLInputValue[]) => prepare(sql).all(...values) as Row[],
    // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- as above
    get: <Row>(sql: string, ...values: SQLInputValue[]) => prepare(sql).get(...values) as Row | undefined,
    run: (sql, ...values) => void prepare(sql).run(...values),
    transaction: (work) => {
      database.exec('BEGIN IMMEDIATE')
      try {
        const result = work()
        database.exec('COMMIT')
        return result
      } catch (error) {
        database.exec('ROLLBACK')
        throw error
      }
    },
    close: () => database.close(),
  }
}

/** The next number of one counter that orders everything: versions by creation, events by happening. */
export const nextRank = (store: Store): number =>
  store.get<{ last: number }>('UPDATE ranks SET last = last + 1 RETURNING last')?.last ?? 0
