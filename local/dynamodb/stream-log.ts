import type { DatabaseSync } from 'node:sqlite'
import type { StreamCatalog } from './stream-catalog.ts'

/** `at` in ms; `body` is the record as GetRecords answers it. */
export type LogEntry = { counter: number; shard: string; at: number; body: string }

/**
 * The stream records. An entry is written before the change it tells of, and can be read only once that change is
 * in the table: up to `committed()`.
 */
export type StreamLog = {
  committed(): number
  /** The next counter, for a record or for the edge of a shard. */
  next(): number
  append(entries: LogEntry[]): void
  commit(counter: number): void
  /** Drops what was appended and not committed. */
  rollBack(): void
  /** Committed entries of a shard after `after`, oldest first. */
  read(shard: string, after: number, limit: number): { counter: number; body: string }[]
  /** Drops entries older than `before` (ms), closed shards that are empty by then, and disabled streams without shards. */
  trim(before: number): void
  count(): number
}

const schema = `
  CREATE TABLE IF NOT EXISTS records (counter INTEGER PRIMARY KEY, shard TEXT NOT NULL, at INTEGER NOT NULL, body TEXT NOT NULL);
  CREATE INDEX IF NOT EXISTS records_by_shard ON records (shard, counter);
  CREATE INDEX IF NOT EXISTS records_by_age ON records (at);
`

/** `committed` is the counter that the table's store last confirmed; what is above it belongs to writes that never happened. */
export const createStreamLog = (
  database: DatabaseSync,
  catalog: StreamCatalog,
  committedAtStart: number,
): StreamLog => {
  database.exec(schema)
  const insert = database.prepare('INSERT INTO records (counter, shard, at, body) VALUES (?, ?, ?, ?)')
  const select = database.prepare(
    'SELECT counter, body FROM records WHERE shard = ? AND counter > ? AND counter <= ? ORDER BY counter LIMIT ?',
  )
  const discard = database.prepare('DELETE FROM records WHERE counter > ?')
  const oldest = database.prepare('SELECT min(at) AS at FROM records')
  const old = database.prepare('SELECT shard, max(counter) AS last FROM records WHERE at < ? GROUP BY shard')
  const expire = database.prepare('DELETE FROM records WHERE shard = ? AND counter <= ?')
  const count = database.prepare('SELECT count(*) AS count FROM records')
  let committed = committedAtStart
  discard.run(committed)
  let last = Math.max(committed, catalog.highest())

  const inTransaction = (work: () => void): void => {
    database.exec('BEGIN')
    try {
      work()
      database.exec('COMMIT')
    } catch (error) {
      database.exec('ROLLBACK')
      throw error
    }
  }
  return {
    committed: () => committed,
    next: () => (last += 1),
    append: (entries) =>
      inTransaction(() => {
        for (const entry of entries) insert.run(entry.counter, entry.shard, entry.at, entry.body)
      }),
    commit: (counter) => {
      committed = counter
    },
    rollBack: () => {
      discard.run(committed)
    },
    read: (shard, after, limit) =>
      select
        .all(shard, after, committed, limit)
        .map((row) => ({ counter: Number(row['counter']), body: String(row['body']) })),
    trim: (before) => {
      // Asked at every read: only the index of ages is looked at where nothing is old.
      const isOld = Number(oldest.get()?.['at'] ?? before) < before
      const rows = isOld ? old.all(before) : []
      const ended = new Map(rows.map((row) => [String(row['shard']), Number(row['last'])]))
      for (const stream of catalog.all()) {
        for (const shard of stream.shards) {
          const end = ended.get(shard.id)
          if (end !== undefined) {
            expire.run(shard.id, end)
            shard.trimmed = end
            catalog.saveShard(stream, shard)
          }
          if (shard.closedAt !== undefined && shard.closedAt < before) catalog.removeShard(stream, shard)
        }
        if (stream.disabledAt !== undefined && stream.shards.length === 0) catalog.remove(stream)
      }
    },
    count: () => Number(count.get()?.['count'] ?? 0),
  }
}
