import { createMemoryItems } from '../../shared/clouds/memory/items.ts'
import { createMemoryQuarantine } from '../../shared/clouds/memory/quarantine.ts'
import { createMemoryTelemetry } from '../../shared/clouds/memory/telemetry.ts'
import { parseConfig } from '../../shared/config.ts'
import { applyChanges } from '../../shared/features/apply.ts'
import type { JsonItem } from '../../shared/features/attribute-json.ts'
import { encodeRowKey } from '../../shared/features/row-key.ts'
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

export type Json = Record<string, unknown>
export const jsonOf = (text: string): Json => JSON.parse(text) as Json
export const S = (text: string) => ({ S: text })
export const N = (text: string) => ({ N: text })
export const user = (name: string, at: string, rest: Record<string, Json> = {}) => ({
  user: S(name),
  at: N(at),
  ...rest,
})

/** 10:00 is when the stream begins; alice changes twice in one second, bob is deleted, carol comes late. */
export const story: Put[] = [
  { time: '2026-05-01T10:00:00Z', after: user('zed', '1') },
  { time: '2026-05-01T10:00:05Z', after: user('alice', '17', { plan: S('free') }) },
  {
    time: '2026-05-01T10:00:05Z',
    before: user('alice', '17', { plan: S('free') }),
    after: user('alice', '17', { plan: S('trial') }),
  },
  {
    time: '2026-05-01T11:00:00Z',
    before: user('alice', '17', { plan: S('trial') }),
    after: user('alice', '17', { plan: S('paid') }),
  },
  { time: '2026-05-01T10:30:00Z', after: user('bob', '2', { plan: S('free') }) },
  { time: '2026-05-01T12:00:00Z', before: user('bob', '2', { plan: S('free') }) },
  { time: '2026-05-02T09:00:00Z', after: user('alice', '18', { score: N('0.10000000000000000001') }) },
]

/** The key of each line that a scan prints. */
export const keysOf = (stdout: string): string[] =>
  stdout
    .split('\n')
    .filter(Boolean)
    .map((line) => line.split('  ')[0] ?? '')

/** Keys of the table users as a scan prints them, in its order. */
export const inOrder = (...keys: [string, string][]): string[] => {
  const all = keys.map(([partition, sort]) => {
    const key = { partition: S(partition), sort: N(sort) }
    return { text: `S:${partition},N:${sort}`, hex: encodeRowKey(key).toString('hex') }
  })
  return all.sort((left, right) => (left.hex < right.hex ? -1 : 1)).map(({ text }) => text)
}

/** Puts a value that is none into the row of users. */
export const damage = async (rows: RowStore, key: Buffer): Promise<void> => {
  const [row] = await rows.read('users-copy', [key])
  const { version, time } = row!.marker!
  const written = { key, cells: new Map([['plan', Buffer.from('?')]]), marker: { version, time, tombstone: false } }
  if (!(await rows.replaceIf('users-copy', written, version))) throw new Error('the row changed')
}
