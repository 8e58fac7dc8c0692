import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { type CommitQueue, committedKey, createCommitQueue } from './commit-queue.ts'
import { hasTable, openStore, type Store } from './dynalite.ts'
import { createKeyLocks, type KeyLocks } from './key-locks.ts'
import { createStreamCatalog, type StreamCatalog } from './stream-catalog.ts'
import { createStreamLog, type StreamLog } from './stream-log.ts'
import { createTableSettings, type SettingsStore } from './table-settings.ts'

export type Engine = {
  store: Store
  locks: KeyLocks
  commits: CommitQueue
  catalog: StreamCatalog
  log: StreamLog
  settings: SettingsStore
  now: () => number
  region: string
  close(): Promise<void>
}

/** A kill between the deletion of a table and that of its stream leaves the stream open. */
const closeOrphans = async (store: Store, catalog: StreamCatalog, log: StreamLog, now: () => number): Promise<void> => {
  for (const stream of catalog.all()) {
    const open = stream.disabledAt === undefined
    if (open && !(await hasTable(store, stream.table))) catalog.disable(stream, now(), log.next())
  }
}

/** Opens (or makes) the tables in `dir`/dynalite and the streams in `dir`/streams.sqlite. */
export const openEngine = async (options: {
  dir: string
  now: () => number
  region: string
  account: string
}): Promise<Engine> => {
  const { dir, now, region, account } = options
  mkdirSync(dir, { recursive: true })
  const store = await openStore(join(dir, 'dynalite'), region, account)
  const database = new DatabaseSync(join(dir, 'streams.sqlite'))
  // A kill of the process loses nothing that was written; only a crash of the machine would.
  database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF')
  const catalog = createStreamCatalog(database)
  const log = createStreamLog(database, catalog, Number((await store.db.get(committedKey)) ?? 0))
  await closeOrphans(store, catalog, log, now)
  return {
    store,
    locks: createKeyLocks(),
    commits: createCommitQueue({ store, catalog, log, now, region }),
    catalog,
    log,
    settings: createTableSettings(database),
    now,
    region,
    close: async () => {
      await store.db.close()
      database.close()
    },
  }
}
