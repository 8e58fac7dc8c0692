import { beforeEach, describe, expect, test } from 'vitest'
import { createMemoryBlobStore, type MemoryBlobStore } from '../../shared/clouds/memory/blob-store.ts'
import { runCli } from '../support/cli.ts'
import { writeReplica, writeTroubles } from '../support/cli-replica.ts'
import { beat, tableBeat } from '../support/heartbeat.ts'
import { noise, writeObject, writePending } from '../support/replica.ts'

type Answer = { code: number; lost: string; totals: Record<string, unknown>; [field: string]: unknown }

let store: MemoryBlobStore
beforeEach(() => {
  store = createMemoryBlobStore()
})

const cli = (...args: string[]) => runCli(['rpo', ...args], { store, columns: 80 })
const answer = async (...args: string[]): Promise<Answer> => {
  const { code, stdout } = await runCli(['rpo', '--json', ...args], { store })
  return { ...(JSON.parse(stdout) as Omit<Answer, 'code'>), code } as Answer
}

const mebibyte = 2 ** 20
/** The newest change was announced first. */
const writeLate = async (): Promise<void> => {
  const plans = [
    { key: 'new/1/b', planId: 'bb', plannedAt: '2026-05-03T08:30:00Z', lastModified: '2026-05-03T08:29:00Z' },
    { key: 'new/1/a', planId: 'aa', plannedAt: '2026-05-03T09:30:00Z', lastModified: '2026-05-02T10:00:00Z' },
    { key: 'new/1/c', planId: 'cc', plannedAt: '2026-05-03T09:59:00Z', lastModified: '2026-05-03T09:58:00Z' },
  ]
  for (const plan of plans) await writePending(store, { ...plan, size: mebibyte })
}

test('nothing but what the heartbeat cannot know yet', async () => {
  await writeReplica(store)
  await beat(store)
  expect(await cli()).toEqual({
    code: 0,
    stderr: '',
    stdout: `\
If AWS were gone for good now, nothing would be lost but changes of the last 1m 12s
objects    none that was announced
rows       users: changes after 2026-05-03T09:58:48.000Z (30s behind)
not known  changes of the last 42s, since the heartbeat at 2026-05-03T09:59:18.000Z
`,
  })
  expect(await answer()).toMatchObject({ schema: 1, code: 0, lost: 'nothing', unknownSeconds: 42, objects: [] })
})

test('exact objects, bytes, oldest change and rows behind', async () => {
  await writeReplica(store)
  await writeTroubles(store)
  await writeLate()
  await beat(store, {
    objects: {
      deadLetters: 1,
      queues: [{ name: 'objects', messages: 3, oldestSeconds: 125 }],
      lagSeconds: null,
      unknown: ['x'],
    },
    tables: [
      tableBeat('users', { lagSeconds: 300, quarantined: 2 }),
      tableBeat('flags', { lagSeconds: null, featureTime: null, unknown: ['no canary came'] }),
    ],
  })
  const { code, stdout } = await cli('--limit', '2')
  expect(code).toBe(1)
  expect(stdout).toBe(`\
If AWS were gone for good now, this would be lost:
objects    3 versions, 3.0 MiB, the oldest changed 1d ago
           object               version     size  changed     announced
           s3://models/new/1/a  v1       1.0 MiB  1d ago      30m ago
           s3://models/new/1/b  v1       1.0 MiB  1h 31m ago  1h 30m ago
           and 1 more: --limit shows them
refused    1 version: "lifeboat ls --failed" has the reasons
releases   llama@3 (s3://models) is not whole: shard 2 is missing
queues     4 messages not worked off, the oldest of 2m 5s; dead letters 1
rows       users: changes after 2026-05-03T09:58:48.000Z (5m behind), and 2 changes in quarantine
           flags: unknown how late: no canary came
not known  changes of the last 42s, since the heartbeat at 2026-05-03T09:59:18.000Z
           how late objects are: x
`)
  expect(await answer('--limit', '1')).toMatchObject({
    lost: 'something',
    totals: {
      objects: 3,
      bytes: 3 * mebibyte,
      oldestChangeAt: '2026-05-02T10:00:00Z',
      refused: 1,
      waiting: 1,
      messages: 4,
    },
    objects: [{ bucket: 'models', key: 'new/1/a', version: 'v1', bytes: mebibyte, plannedAt: '2026-05-03T09:30:00Z' }],
    tables: [
      { table: 'users', changesAfter: '2026-05-03T09:58:48.000Z', lagSeconds: 300, quarantined: 2 },
      { table: 'flags', changesAfter: null, lagSeconds: null },
    ],
  })
  expect((await answer())['objects']).toHaveLength(3)
})

test('what was sealed since is not lost', async () => {
  await writeTroubles(store)
  await beat(store)
  await writePending(store, { key: 'w', planId: 'ab', plannedAt: '2026-05-03T08:30:00Z' })
  expect((await answer()).totals).toMatchObject({ objects: 1, refused: 1 })
  await writeObject(store, { key: 'w', bytes: noise(10, 1) })
  await writeObject(store, { key: 'evil\u001b[2Jname', version: 'v9', bytes: noise(10, 1) })
  expect((await answer()).totals).toMatchObject({ objects: 0, bytes: 0, oldestChangeAt: null, refused: 0 })
})

describe('the exit code', () => {
  const queues = [{ name: 'objects', messages: 1, oldestSeconds: null }]
  test.each<[string, string, number, Parameters<typeof beat>[1]]>([
    ['a message in a queue', 'something', 1, { objects: { queues } }],
    ['a dead letter', 'something', 1, { objects: { deadLetters: 1 } }],
    ['a quarantined change', 'something', 1, { tables: [tableBeat('users', { quarantined: 1 })] }],
    ['rows later than a heartbeat', 'something', 1, { tables: [tableBeat('users', { lagSeconds: 61 })] }],
    ['rows as late as a heartbeat', 'nothing', 0, { tables: [tableBeat('users', { lagSeconds: 60 })] }],
    ['rows of unknown lag', 'unknown', 1, { tables: [tableBeat('users', { lagSeconds: null })] }],
    ['objects of unknown lag', 'unknown', 1, { objects: { lagSeconds: null } }],
    ['a stale heartbeat', 'unknown', 1, { at: '2026-05-03T09:56:59.000Z' }],
    ['a heartbeat that is not yet stale', 'nothing', 0, { at: '2026-05-03T09:57:00.000Z' }],
  ])('of %s: %s', async (_what, lost, code, change) => {
    await beat(store, change)
    expect(await answer()).toMatchObject({ lost, code })
  })

  test('of no heartbeat is 1, of a damaged record 5', async () => {
    const { code, stdout } = await cli()
    expect(code).toBe(1)
    expect(stdout).toBe(`\
If AWS were gone for good now, nothing known would be lost, but not all is known:
objects    none that was announced
not known  queues, tables and what was not yet announced: there is no heartbeat in the replica
`)
    await writeLate()
    store.corrupt(
      store.names().find((name) => name.startsWith('pending/'))!,
      () => Buffer.from('{'),
    )
    expect(await cli()).toMatchObject({ code: 5, stdout: '' })
  })
})

test('a message in a dead-letter queue is counted once', async () => {
  await writeReplica(store)
  await beat(store, {
    objects: {
      deadLetters: 1,
      queues: [
        { name: 'objects', messages: 2, oldestSeconds: 60 },
        { name: 'lifeboat-prod-objects-dead', messages: 1, oldestSeconds: 60 },
      ],
    },
  })
  const { stdout } = await cli()
  expect(stdout).toContain('queues     3 messages not worked off, the oldest of 1m; dead letters 1\n')
})
