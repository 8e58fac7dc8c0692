import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

export type Json = Record<string, unknown>
/** `metadata` as the API knows it; all of `meta` is what a GET answers, apart from links. */
export type Retention = { mode: 'Locked' | 'Unlocked'; retainUntilTime: string }
export type ObjectMeta = Json & {
  name: string
  bucket: string
  generation: string
  metageneration: string
  size: string
  crc32c: string
  md5Hash?: string
  contentType?: string
  cacheControl?: string
  contentEncoding?: string
  componentCount?: number
  metadata?: Record<string, string>
  retention?: Retention
  timeDeleted?: string
}
export type ObjectRow = { generation: number; live: boolean; file: string; meta: ObjectMeta }
export type BucketMeta = Json & { name: string; metageneration: string }
/** A resumable upload: what its first request said; `result` is the resource once it is complete. */
export type Session = {
  id: string
  bucket: string
  name: string
  file: string
  principal: string
  query: string
  meta: Json
  result?: ObjectMeta
}
/** A place in the list of a bucket: strictly after this generation of this name. */
export type Cursor = { name: string; generation: number }

export type MetadataStore = {
  bucket(name: string): BucketMeta | undefined
  buckets(): BucketMeta[]
  putBucket(meta: BucketMeta): void
  deleteBucket(name: string): void
  isEmpty(bucket: string): boolean
  live(bucket: string, name: string): ObjectRow | undefined
  version(bucket: string, name: string, generation: number): ObjectRow | undefined
  /** In UTF-8 byte order of the names, then by generation. */
  list(bucket: string, after: Cursor, versions: boolean): Iterable<ObjectRow>
  /** The next generation: microseconds of the clock, never one that was given before. */
  nextGeneration(nowMs: number): number
  /** All in one transaction: `row` becomes live, `retired` noncurrent, `dropped` goes. */
  apply(change: { put?: ObjectRow; retire?: ObjectRow; drop?: ObjectRow; session?: Session }): void
  putSession(session: Session): void
  session(id: string): Session | undefined
  deleteSession(id: string): void
  files(): Set<string>
  close(): void
}

const SCHEMA = `
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = OFF;
  CREATE TABLE IF NOT EXISTS buckets (name TEXT PRIMARY KEY, meta TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS objects (
    generation INTEGER PRIMARY KEY AUTOINCREMENT, bucket TEXT NOT NULL, name TEXT NOT NULL,
    live INTEGER NOT NULL, file TEXT NOT NULL, meta TEXT NOT NULL);
  CREATE UNIQUE INDEX IF NOT EXISTS by_name ON objects (bucket, name, generation);
  CREATE UNIQUE INDEX IF NOT EXISTS live_by_name ON objects (bucket, name) WHERE live = 1;
  CREATE TABLE IF NOT EXISTS sessions (id TEXT PRIMARY KEY, session TEXT NOT NULL);
`

const toRow = (raw: Record<string, unknown> | undefined): ObjectRow | undefined =>
  raw && {
    generation: raw['generation'] as number,
    live: raw['live'] === 1,
    file: raw['file'] as string,
    meta: JSON.parse(raw['meta'] as string) as ObjectMeta,
  }

const toBucket = (raw: Record<string, unknown> | undefined): BucketMeta | undefined =>
  raw && (JSON.parse(raw['meta'] as string) as BucketMeta)

const toSession = (raw: Record<string, unknown> | undefined): Session | undefined =>
  raw && (JSON.parse(raw['session'] as string) as Session)

const prepare = (db: DatabaseSync) => ({
  bucket: db.prepare('SELECT meta FROM buckets WHERE name = ?'),
  buckets: db.prepare('SELECT meta FROM buckets ORDER BY name'),
  putBucket: db.prepare('INSERT INTO buckets VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET meta = excluded.meta'),
  deleteBucket: db.prepare('DELETE FROM buckets WHERE name = ?'),
  any: db.prepare('SELECT 1 FROM objects WHERE bucket = ? LIMIT 1'),
  live: db.prepare('SELECT * FROM objects WHERE bucket = ? AND name = ? AND live = 1'),
  version: db.prepare('SELECT * FROM objects WHERE bucket = ? AND name = ? AND generation = ?'),
  put: db.prepare(
    `INSERT INTO objects (generation, bucket, name, live, file, meta) VALUES (?, ?, ?, ?, ?, ?)
     ON CONFLICT (generation) DO UPDATE SET live = excluded.live, meta = excluded.meta`,
  ),
  drop: db.prepare('DELETE FROM objects WHERE generation = ?'),
  last: db.prepare("SELECT seq FROM sqlite_sequence WHERE name = 'objects'"),
  putSession: db.prepare(
    'INSERT INTO sessions VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET session = excluded.session',
  ),
  session: db.prepare('SELECT session FROM sessions WHERE id = ?'),
  sessions: db.prepare('SELECT session FROM sessions'),
  deleteSession: db.prepare('DELETE FROM sessions WHERE id = ?'),
  files: db.prepare('SELECT file FROM objects'),
  begin: db.prepare('BEGIN IMMEDIATE'),
  commit: db.prepare('COMMIT'),
  rollback: db.prepare('ROLLBACK'),
})

const LIST = `SELECT * FROM objects WHERE bucket = ? AND (name, generation) > (?, ?)`

/**
 * Metadata in SQLite. Nothing is synced to the disk: what was committed survives the death of the process, which is
 * what is promised, though not of the machine.
 */
export const openMetadataStore = (dir: string): MetadataStore => {
  const db = new DatabaseSync(join(dir, 'gcs.sqlite'))
  db.exec(SCHEMA)
  const sql = prepare(db)
  let last = (sql.last.get()?.['seq'] as number | undefined) ?? 0
  const put = (row: ObjectRow): void => {
    const { meta } = row
    sql.put.run(row.generation, meta.bucket, meta.name, row.live ? 1 : 0, row.file, JSON.stringify(meta))
  }
  const putSession = (session: Session): void => {
    sql.putSession.run(session.id, JSON.stringify(session))
  }
  return {
    bucket: (name) => toBucket(sql.bucket.get(name)),
    buckets: () => sql.buckets.all().map((raw) => JSON.parse(raw['meta'] as string) as BucketMeta),
    putBucket: (meta) => void sql.putBucket.run(meta.name, JSON.stringify(meta)),
    deleteBucket: (name) => void sql.deleteBucket.run(name),
    isEmpty: (bucket) => sql.any.get(bucket) === undefined,
    live: (bucket, name) => toRow(sql.live.get(bucket, name)),
    version: (bucket, name, generation) => toRow(sql.version.get(bucket, name, generation)),
    list: function* (bucket, after, versions) {
      const statement = db.prepare(`${LIST} ${versions ? '' : 'AND live = 1'} ORDER BY name, generation`)
      for (const raw of statement.iterate(bucket, after.name, after.generation)) {
        const row = toRow(raw)
        if (row) yield row
      }
    },
    nextGeneration: (nowMs) => {
      last = Math.max(last + 1, nowMs * 1000)
      return last
    },
    apply: ({ put: row, retire, drop, session }) => {
      sql.begin.run()
      try {
        if (retire) put({ ...retire, live: false })
        if (drop) sql.drop.run(drop.generation)
        if (row) put(row)
        if (session) putSession(session)
        sql.commit.run()
      } catch (error) {
        sql.rollback.run()
        throw error
      }
    },
    putSession,
    session: (id) => toSession(sql.session.get(id)),
    deleteSession: (id) => void sql.deleteSession.run(id),
    files: () => {
      const sessions = sql.sessions.all().map((raw) => JSON.parse(raw['session'] as string) as Session)
      const open = sessions.filter((session) => !session.result).map((session) => session.file)
      return new Set([...sql.files.all().map((raw) => raw['file'] as string), ...open])
    },
    close: () => db.close(),
  }
}
