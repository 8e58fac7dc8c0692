import { createMemoryItems } from '../../shared/clouds/memory/items.ts'
import { createMemoryQuarantine } from '../../shared/clouds/memory/quarantine.ts'
import { createMemoryTelemetry } from '../../shared/clouds/memory/telemetry.ts'
import { parseConfig } from '../../shared/config.ts'
import { applyChanges } from '../../shared/features/apply.ts'
import type { JsonItem } from '../../shared/features/attribute-json.ts'
import type { RowStore } from '../../shared/features/row-store.ts'

/** Rows as the functions write them, from the records of a stream. */

const account = '111122223333'
const streamOf = (table: string): string =>
  `arn:aws:dynamodb:us-east-1:${account}:table/${table}/stream/2026-01-01T00:00:00.000`

/** A source table `users` kept as `users-copy`, with the keys user and at; and `flags`, with the key id. */
export const rowsConfig = {
  formatVersion: 1,
  source: { account, region: 'us-east-1' },
  replica: { project: 'my-project', bucket: 'replica', bigtableInstance: 'features', appProfile: 'lifeboat' },
  tables: [
    { name: 'users', target: 'users-copy', streams: [{ arn: streamOf('users'), epoch: 1 }] },
    { name: 'flags', streams: [{ arn: streamOf('flags'), epoch: 1 }] },
  ],
}
export const rowsTables = ['users-copy', 'flags']

const keyNames = { users: { partition: 'user', sort: 'at' }, flags: { partition: 'id' } } as const

/** `time` is RFC 3339; an item that is undefined was not there. */
export type Put = { table?: 'users' | 'flags'; time: string; before?: JsonItem; after?: JsonItem }

/** The sequence number of the n-th change. */
export const sequenceOf = (position: number): string => `4000000000000000000${String(position).padStart(4, '0')}`

const recordOf = ({ table = 'users', time, before, after }: Put, position: number): unknown => {
  const item = after ?? before ?? {}
  const names: string[] = Object.values(keyNames[table])
  const image = before ? 'MODIFY' : 'INSERT'
  return {
    eventName: after ? image : 'REMOVE',
    eventSourceARN: streamOf(table),
    dynamodb: {
      ApproximateCreationDateTime: Date.parse(time) / 1000,
      Keys: Object.fromEntries(Object.entries(item).filter(([name]) => names.includes(name))),
      ...(after && { NewImage: after }),
      ...(before && { OldImage: before }),
      SequenceNumber: sequenceOf(position),
    },
  }
}

/** Applies the changes, each in a batch of its own as a slow stream brings them. */
export const applyPuts = async (rows: RowStore, puts: readonly Put[]): Promise<void> => {
  const deps = {
    config: parseConfig(JSON.stringify(rowsConfig), { stage: 'local', file: 'lifeboat.yml' }),
    rows,
    source: createMemoryItems(keyNames),
    quarantine: createMemoryQuarantine(),
    telemetry: createMemoryTelemetry(),
    clock: { now: () => Date.parse('2026-05-03T10:00:00Z') },
    random: { next: () => 0.5, hex: (bytes: number) => 'ab'.repeat(bytes) },
  }
  for (const [index, put] of puts.entries()) {
    const applied = await applyChanges(deps, [recordOf(put, index + 1)], { remainingMs: () => 60_000 })
    if (applied.applied !== 1) throw new Error(`not applied: ${JSON.stringify(applied)}`)
  }
}
