import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

/** How far a mapping has come in a shard: the last sequence number that needs no more work, and whether it is finished. */
export type Checkpoint = { sequenceNumber: string | undefined; done: boolean }
export type Checkpoints = {
  get(mapping: string, streamArn: string, shardId: string): Checkpoint
  set(mapping: string, streamArn: string, shardId: string, checkpoint: Checkpoint): void
  close(): void
}

/** Kept in `dir`/checkpoints.sqlite; a kill loses nothing that `set` returned from. */
export const openCheckpoints = (dir: string): Checkpoints => {
  mkdirSync(dir, { recursive: true })
  const database = new DatabaseSync(join(dir, 'checkpoints.sqlite'))
  database.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;
    CREATE TABLE IF NOT EXISTS checkpoints (mapping TEXT, stream TEXT, shard TEXT, sequence TEXT, done INTEGER NOT NULL,
      PRIMARY KEY (mapping, stream, shard)) STRICT`)
  const read = database.prepare('SELECT sequence, done FROM checkpoints WHERE mapping = ? AND stream = ? AND shard = ?')
  const write = database.prepare('INSERT OR REPLACE INTO checkpoints VALUES (?, ?, ?, ?, ?)')
  return {
    get: (mapping, streamArn, shardId) => {
      const row = read.get(mapping, streamArn, shardId)
      return {
        sequenceNumber: row?.['sequence'] === null ? undefined : (row?.['sequence'] as string | undefined),
        done: row?.['done'] === 1,
      }
    },
    set: (mapping, streamArn, shardId, { sequenceNumber, done }) => {
      write.run(mapping, streamArn, shardId, sequenceNumber ?? null, done ? 1 : 0)
    },
    close: () => database.close(),
  }
}
