import { randomBytes } from 'node:crypto'
import type { DatabaseSync } from 'node:sqlite'
import type { KeySchema } from './dynalite.ts'

export type StreamView = 'KEYS_ONLY' | 'NEW_IMAGE' | 'OLD_IMAGE' | 'NEW_AND_OLD_IMAGES'
export const streamViews: readonly string[] = ['KEYS_ONLY', 'NEW_IMAGE', 'OLD_IMAGE', 'NEW_AND_OLD_IMAGES']

/** `first` and `last` are counters (see sequence.ts), inclusive; `last` is there once the shard is closed. Key hashes in [low, high). */
export type Shard = {
  id: string
  parent?: string
  first: number
  last?: number
  closedAt?: number
  low: number
  high: number
  /** Records up to this counter are past the retention. */
  trimmed: number
}
/** Times in ms. */
export type Stream = {
  arn: string
  label: string
  table: string
  view: StreamView
  keySchema: KeySchema
  createdAt: number
  disabledAt?: number
  shards: Shard[]
}

const schema = `
  CREATE TABLE IF NOT EXISTS streams (arn TEXT PRIMARY KEY, position INTEGER NOT NULL, body TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS shards (id TEXT PRIMARY KEY, stream TEXT NOT NULL, position INTEGER NOT NULL, body TEXT NOT NULL);
`
const hashSpace = 2 ** 32

/** The streams and shards: whole in memory, every change written through. Streams of a table are ordered oldest first. */
export type StreamCatalog = {
  /** The highest counter any shard begins or ends with. */
  highest(): number
  all(): Stream[]
  find(arn: string): Stream | undefined
  latest(table: string): Stream | undefined
  /** The stream that takes the table's changes, where there is one. */
  enabled(table: string): Stream | undefined
  create(options: {
    table: string
    arnOf: (label: string) => string
    view: StreamView
    keySchema: KeySchema
    at: number
    first: number
  }): Stream
  disable(stream: Stream, at: number, last: number): void
  /** Closes an open shard and opens `children` that share its key hashes, from `last` + 1 on. */
  split(stream: Stream, shard: Shard, at: number, last: number, children: number): Shard[]
  saveShard(stream: Stream, shard: Shard): void
  remove(stream: Stream): void
  removeShard(stream: Stream, shard: Shard): void
}

const newShardId = (at: number): string => `shardId-${String(at).padStart(20, '0')}-${randomBytes(4).toString('hex')}`

const load = (database: DatabaseSync): Map<string, Stream> => {
  const streams = new Map<string, Stream>()
  for (const row of database.prepare('SELECT body FROM streams ORDER BY position').all()) {
    const stream = JSON.parse(String(row['body'])) as Omit<Stream, 'shards'>
    streams.set(stream.arn, { ...stream, shards: [] })
  }
  for (const row of database.prepare('SELECT stream, body FROM shards ORDER BY position').all())
    streams.get(String(row['stream']))?.shards.push(JSON.parse(String(row['body'])) as Shard)
  return streams
}

export const createStreamCatalog = (database: DatabaseSync): StreamCatalog => {
  database.exec(schema)
  const streams = load(database)
  const putStream = database.prepare('INSERT OR REPLACE INTO streams (arn, position, body) VALUES (?, ?, ?)')
  const putShard = database.prepare('INSERT OR REPLACE INTO shards (id, stream, position, body) VALUES (?, ?, ?, ?)')
  const dropStream = database.prepare('DELETE FROM streams WHERE arn = ?')
  const dropShards = database.prepare('DELETE FROM shards WHERE stream = ?')
  const dropShard = database.prepare('DELETE FROM shards WHERE id = ?')
  const save = (stream: Stream): void => {
    const { shards: _, ...body } = stream
    putStream.run(stream.arn, stream.createdAt, JSON.stringify(body))
  }
  const saveShard = (stream: Stream, shard: Shard): void => {
    putShard.run(shard.id, stream.arn, shard.first, JSON.stringify(shard))
  }
  const open = (stream: Stream, at: number, shard: Omit<Shard, 'id' | 'trimmed'>): Shard => {
    const opened = { id: newShardId(at), trimmed: 0, ...shard }
    stream.shards.push(opened)
    saveShard(stream, opened)
    return opened
  }
  const close = (stream: Stream, shard: Shard, at: number, last: number): void => {
    Object.assign(shard, { last, closedAt: at })
    saveShard(stream, shard)
  }
  const latest = (table: string): Stream | undefined =>
    [...streams.values()].findLast((stream) => stream.table === table)
  return {
    highest: () =>
      Math.max(
        0,
        ...[...streams.values()].flatMap((stream) => stream.shards.map((shard) => shard.last ?? shard.first)),
      ),
    all: () => [...streams.values()],
    find: (arn) => streams.get(arn),
    latest,
    enabled: (table) => {
      const stream = latest(table)
      return stream?.disabledAt === undefined ? stream : undefined
    },
    create: ({ table, arnOf, view, keySchema, at, first }) => {
      const newest = Math.max(0, ...[...streams.values()].map((stream) => stream.createdAt))
      const createdAt = Math.max(at, newest + 1)
      const label = new Date(createdAt).toISOString().replace('Z', '')
      const stream: Stream = { arn: arnOf(label), label, table, view, keySchema, createdAt, shards: [] }
      streams.set(stream.arn, stream)
      save(stream)
      open(stream, at, { first, low: 0, high: hashSpace })
      return stream
    },
    disable: (stream, at, last) => {
      stream.disabledAt = at
      save(stream)
      for (const shard of stream.shards) if (shard.last === undefined) close(stream, shard, at, last)
    },
    split: (stream, shard, at, last, children) => {
      close(stream, shard, at, last)
      const edge = (index: number): number => shard.low + Math.floor(((shard.high - shard.low) * index) / children)
      return Array.from({ length: children }, (_, index) =>
        open(stream, at, { parent: shard.id, first: last + 1, low: edge(index), high: edge(index + 1) }),
      )
    },
    saveShard,
    remove: (stream) => {
      streams.delete(stream.arn)
      dropShards.run(stream.arn)
      dropStream.run(stream.arn)
    },
    removeShard: (stream, shard) => {
      stream.shards = stream.shards.filter((other) => other !== shard)
      dropShard.run(shard.id)
    },
  }
}
