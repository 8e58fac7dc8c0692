import type { Config } from '../shared/config.ts'
import { configSchema } from '../shared/config-schema.ts'
import type { BlobStat, BlobStore } from '../shared/ports.ts'
import { inContext } from '../shared/weights/restore-read.ts'
import { type CliContext, findConfig, type GlobalOptions } from './context.ts'
import { createCounter } from './progress.ts'

/** The replica as the commands of on-call read it: it counts aloud, and knows by which rules it was written. */

/** The same store; every name that is listed and every record that is read is counted on stderr. */
const counted = (store: BlobStore, add: (count: number) => void): BlobStore => ({
  ...store,
  read: (name, options) => {
    add(1)
    return store.read(name, options)
  },
  async *list(prefix) {
    for await (const stat of store.list(prefix)) {
      add(1)
      yield stat
    }
  },
})

/** Above any configuration. */
const configBytesMax = 4 * 2 ** 20

/** The configuration that the AWS side last put into the replica; undefined where there is none that this program reads. */
const copiedConfig = async (store: BlobStore): Promise<Config | undefined> => {
  let newest: BlobStat | undefined
  for await (const stat of store.list('config/')) if (!newest || stat.createdAt > newest.createdAt) newest = stat
  const body = newest && (await store.read(newest.name, { bytesMax: configBytesMax }))
  if (!body) return undefined
  try {
    return configSchema.safeParse(JSON.parse(new TextDecoder().decode(body))).data
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}

/** Runs `work` on a record that the AWS side wrote: one that cannot be read is damage and no fault of the user's. */
export const asStored = async <T>(work: Promise<T>): Promise<T> => {
  try {
    return await work
  } catch (error) {
    throw inContext('the replica', error)
  }
}

export type ReplicaView = {
  store: BlobStore
  url: string
  /** The user's configuration, or with --replica or without a file the copy in the replica. */
  config: Config | undefined
}

/** Opens the replica; without a configuration on this machine the rules are those that the replica has a copy of. */
export const viewReplica = async (context: CliContext, options: GlobalOptions): Promise<ReplicaView> => {
  const opened = await context.openReplica(options)
  const counter = createCounter(context, { label: 'records', silent: Boolean(options.quiet || options.json) })
  const store = counted(opened.store, (count) => counter.add(count))
  const own = options.replica === undefined ? await findConfig(context, options) : undefined
  return { store, url: opened.url, config: own ?? (await copiedConfig(store)) }
}
