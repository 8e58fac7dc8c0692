import { keyHash } from './attribute-values.ts'
import type { LevelOperation, Store } from './dynalite.ts'
import type { ItemChange } from './overlay.ts'
import type { Shard, Stream, StreamCatalog } from './stream-catalog.ts'
import type { LogEntry, StreamLog } from './stream-log.ts'
import { isChange, keysOf, toStreamRecord, type UserIdentity } from './stream-record.ts'

export type Commit = { operations: LevelOperation[]; changes: ItemChange[]; userIdentity?: UserIdentity }

/**
 * Makes writes durable, one group after the other: the stream records into sqlite, then the tables' operations and
 * the counter of the group's last record into LevelDB as one atomic batch. A kill between the two leaves records above
 * that counter, which the next start drops: a write has its record if and only if it happened, and a transaction,
 * being one commit, is there whole or not at all.
 */
export type CommitQueue = {
  /** Resolves when the write is durable and its records can be read. */
  submit(commit: Commit): Promise<void>
  /** Runs between groups, with nothing in flight: for changes of streams and shards. */
  alone<T>(work: () => T | Promise<T>): Promise<T>
}

export const committedKey = 'lifeboat-committed'
const groupSizeMax = 256

type Waiting = { resolve(): void; reject(error: unknown): void } & ({ commit: Commit } | { work: () => Promise<void> })

type Parts = { store: Store; catalog: StreamCatalog; log: StreamLog; now: () => number; region: string }

const shardOf = (stream: Stream, change: ItemChange): Shard => {
  const open = stream.shards.filter((shard) => shard.last === undefined)
  const partitionKey = stream.keySchema.find(({ KeyType: type }) => type === 'HASH')?.AttributeName ?? ''
  const place = keyHash(keysOf(stream, change)[partitionKey] ?? {})
  const shard = open.find(({ low, high }) => low <= place && place < high)
  if (!shard) throw new Error(`no open shard of ${stream.arn} covers the key hash ${place}`)
  return shard
}

const toEntries = ({ catalog, log, region }: Parts, commit: Commit, at: number): LogEntry[] =>
  commit.changes.filter(isChange).flatMap((change) => {
    const stream = catalog.enabled(change.table)
    if (!stream) return []
    const shard = shardOf(stream, change)
    const counter = log.next()
    const { userIdentity } = commit
    const record = toStreamRecord({ stream, change, counter, at, region, ...(userIdentity && { userIdentity }) })
    return [{ counter, shard: shard.id, at, body: JSON.stringify(record) }]
  })

export const createCommitQueue = (parts: Parts): CommitQueue => {
  const { store, log, now } = parts
  const queue: Waiting[] = []
  let running = false

  const write = async (commits: Commit[]): Promise<void> => {
    const at = now()
    const entries = commits.flatMap((commit) => toEntries(parts, commit, at))
    const operations = commits.flatMap((commit) => commit.operations)
    const last = entries.at(-1)?.counter
    if (last === undefined) return store.db.batch(operations)
    try {
      log.append(entries)
      await store.db.batch([...operations, { type: 'put', key: committedKey, value: last }])
    } catch (error) {
      log.rollBack()
      throw error
    }
    log.commit(last)
  }

  const settle = async (waiting: Waiting[], work: () => Promise<void>): Promise<void> => {
    try {
      await work()
      for (const one of waiting) one.resolve()
    } catch (error) {
      for (const one of waiting) one.reject(error)
    }
  }

  const run = async (): Promise<void> => {
    for (let first = queue.shift(); first; first = queue.shift()) {
      if ('work' in first) {
        await settle([first], first.work)
        continue
      }
      const group = [first]
      const commits = [first.commit]
      for (let next = queue[0]; next && 'commit' in next && group.length < groupSizeMax; next = queue[0]) {
        group.push(next)
        commits.push(next.commit)
        queue.shift()
      }
      await settle(group, () => write(commits))
    }
    running = false
  }

  const enqueue = (waiting: Waiting): void => {
    queue.push(waiting)
    if (running) return
    running = true
    void run()
  }
  return {
    submit: (commit) => new Promise((resolve, reject) => enqueue({ commit, resolve, reject })),
    alone: async (work) => {
      let result: { value: Awaited<ReturnType<typeof work>> } | undefined
      await new Promise<void>((resolve, reject) => {
        enqueue({ work: async () => void (result = { value: await work() }), resolve, reject })
      })
      if (!result) throw new Error('work resolved without a result')
      return result.value
    },
  }
}
