import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { InterruptedError } from '../../cli/exit-codes.ts'
import { openBigtableRows } from '../../cli/open-rows.ts'
import { type BigtableServer, startBigtable } from '../../local/bigtable/server.ts'
import { createReplicaTables } from '../../local/replica-rows.ts'
import { createBigtableRowStore } from '../../shared/clouds/gcp/row-store.ts'
import { createMemoryRowStore, type MemoryRowStore } from '../../shared/clouds/memory/row-store.ts'
import { parseConfig } from '../../shared/config.ts'
import { DeniedError } from '../../shared/errors.ts'
import { encodeRowKey, type KeyValue } from '../../shared/features/row-key.ts'
import { applyPuts, type Put, rowsConfig, rowsTables, sequenceOf } from '../support/cli-rows.ts'
import { runCli } from '../support/cli.ts'

const bin = fileURLToPath(new URL('../../cli/lifeboat.mjs', import.meta.url))

type Json = Record<string, unknown>
const jsonOf = (text: string): Json => JSON.parse(text) as Json
const S = (text: string) => ({ S: text })
const N = (text: string) => ({ N: text })
const user = (name: string, at: string, rest: Record<string, Json> = {}) => ({ user: S(name), at: N(at), ...rest })

/** 10:00 is when the stream begins; alice changes twice in one second, bob is deleted, carol comes late. */
const story: Put[] = [
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

let dir: string
let rows: MemoryRowStore
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'lifeboat-cli-rows-'))
  await writeFile(join(dir, 'lifeboat.yml'), JSON.stringify(rowsConfig))
  rows = createMemoryRowStore({ tables: rowsTables })
})
afterEach(() => rm(dir, { recursive: true, force: true }))

const cli = (...args: string[]) => runCli(['rows', ...args], { rows, cwd: dir })
const planAt = async (at: string): Promise<unknown> => {
  const { code, stdout } = await cli('get', 'users', 'user=alice,at=17', '--at', at, '--json')
  const { state, reason, item } = jsonOf(stdout)
  return { code, state, reason, plan: (item as Json | null)?.['plan'] }
}

describe('lifeboat rows get', () => {
  test('an item, typed', async () => {
    await applyPuts(rows, [
      {
        time: '2026-05-01T10:00:00Z',
        after: user('Zoë', '12.30', {
          active: { BOOL: true },
          note: { NULL: true },
          tags: { SS: ['b', 'a'] },
          raw: { B: 'AP8=' },
          nested: { M: { n: N('1.50') } },
          evil: S('\u001b[2J'),
          big: N('12345678901234567890123456789012345678'),
        }),
      },
    ])
    const { code, stdout, stderr } = await cli('get', 'users', 'user=Zoë,at=12.3')
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toBe(
      [
        `users user=S:Zoë,at=N:12.3: present, last change 2026-05-01T10:00:00Z (sequence number ${sequenceOf(1)}, epoch 1)`,
        '',
        'attribute  type  value',
        'user       S     Zoë',
        'at         N     12.3',
        'active     BOOL  true',
        'note       NULL  null',
        'tags       SS    ["a","b"]',
        'raw        B     AP8=',
        'nested     M     {"n":{"N":"1.5"}}',
        'evil       S     \\u{1b}[2J',
        'big        N     12345678901234567890123456789012345678',
        '',
      ].join('\n'),
    )
    const json = jsonOf((await cli('get', 'users', '{"at":{"N":"12.3"},"user":{"S":"Zoë"}}', '--json')).stdout)
    expect(json).toMatchObject({
      schema: 1,
      table: 'users',
      key: { user: S('Zoë'), at: N('12.3') },
      state: 'present',
      at: null,
      reason: null,
      knownFrom: null,
      item: {
        raw: { B: 'AP8=' },
        nested: { M: { n: N('1.5') } },
        big: N('12345678901234567890123456789012345678'),
        evil: S('\u001b[2J'),
      },
      change: { at: '2026-05-01T10:00:00Z' },
    })
  })

  test('a terminal gets values that fit it', async () => {
    await applyPuts(rows, [
      { time: '2026-05-01T10:00:00Z', after: user('a', '1', { long: S('x'.repeat(5000)), wide: S('漢'.repeat(500)) }) },
    ])
    const { stdout } = await runCli(['rows', 'get', 'users', 'user=a,at=1'], { rows, cwd: dir, columns: 60 })
    const table = stdout.split('\n').slice(2)
    expect(table.find((line) => line.startsWith('long'))).toBe(`long       S     ${'x'.repeat(42)}…`)
    expect(table.find((line) => line.startsWith('wide'))).toBe(`wide       S     ${'漢'.repeat(21)}…`)
    expect((await cli('get', 'users', 'user=a,at=1')).stdout).toContain('x'.repeat(5000))
  })

  test('as of a second: the last of several changes in it, and nothing of those after it', async () => {
    await applyPuts(rows, story)
    expect(await planAt('2026-05-01T10:00:04Z')).toMatchObject({ code: 4, state: 'absent' })
    expect(await planAt('2026-05-01T10:00:05Z')).toMatchObject({ code: 0, plan: S('trial') })
    expect(await planAt('2026-05-01T10:00:05.999Z')).toMatchObject({ code: 0, plan: S('trial') })
    expect(await planAt('2026-05-01T10:59:59.999Z')).toMatchObject({ code: 0, plan: S('trial') })
    expect(await planAt('2026-05-01T13:00:00+02:00')).toMatchObject({ code: 0, plan: S('paid') })
    expect(await planAt('2026-05-03T09:59:59Z')).toMatchObject({ code: 0, plan: S('paid') })
    expect(await planAt('2026-05-01T09:59:59Z')).toEqual({
      code: 1,
      state: 'unknown',
      reason: 'before first sight',
      plan: undefined,
    })
    expect(await planAt('2026-01-01T00:00:00Z')).toMatchObject({
      code: 1,
      state: 'unknown',
      reason: 'before the history',
    })
  })

  test('an item that changed last before the time is what the row says, and a later one was not there', async () => {
    await applyPuts(rows, story)
    const zed = await cli('get', 'users', 'user=zed,at=1', '--at', '2026-05-02T00:00:00Z')
    expect(zed).toMatchObject({ code: 0 })
    expect(zed.stdout).toContain('users user=S:zed,at=N:1: present as of the end of 2026-05-02T00:00:00Z\n')
    expect(await cli('get', 'users', 'user=alice,at=18', '--at', '2026-05-02T08:59:59Z')).toMatchObject({
      code: 4,
      stdout: 'users user=S:alice,at=N:18: did not exist as of the end of 2026-05-02T08:59:59Z\n',
    })
  })

  test('a deleted item is 4 and says when, and is there before', async () => {
    await applyPuts(rows, story)
    const now = await cli('get', 'users', 'user=bob,at=2')
    expect(now).toEqual({
      code: 4,
      stdout: `users user=S:bob,at=N:2: was deleted at 2026-05-01T12:00:00Z (sequence number ${sequenceOf(6)}, epoch 1)\n`,
      stderr: '',
    })
    const json = await cli('get', 'users', 'user=bob,at=2', '--json')
    expect(jsonOf(json.stdout)).toMatchObject({ state: 'absent', item: null, key: { user: S('bob'), at: N('2') } })
    const before = await cli('get', 'users', 'user=bob,at=2', '--at', '2026-05-01T11:59:59Z', '--json')
    expect(before.code).toBe(0)
    expect(jsonOf(before.stdout)).toMatchObject({
      state: 'present',
      item: user('bob', '2', { plan: S('free') }),
      at: '2026-05-01T11:59:59Z',
    })
    const later = await cli('get', 'users', 'user=bob,at=2', '--at', '2026-05-01T12:00:00Z')
    expect(later).toMatchObject({ code: 4 })
    expect(later.stdout).toContain('was deleted at 2026-05-01T12:00:00Z')
  })

  test('what is unknown has its reason and from when it is known', async () => {
    await applyPuts(rows, story)
    const early = await cli('get', 'users', 'user=zed,at=1', '--at', '2026-05-01T09:00:00Z', '--json')
    expect(early).toMatchObject({ code: 1, stderr: '' })
    expect(jsonOf(early.stdout)).toMatchObject({
      state: 'unknown',
      reason: 'before first sight',
      knownFrom: '2026-05-01T10:00:00Z',
      item: null,
    })
    const old = await cli('get', 'users', 'user=zed,at=1', '--at', '2026-01-01T00:00:00Z')
    expect(old).toMatchObject({ code: 1 })
    expect(old.stdout).toContain('the history does not go back so far; known from 2026-03-29T10:00:00Z')
    const never = await cli('get', 'users', 'user=nobody,at=1', '--json')
    expect(never).toMatchObject({ code: 4, stderr: '' })
    expect(jsonOf(never.stdout)).toMatchObject({ state: 'unknown', reason: 'never seen', knownFrom: null })
  })

  test.each([
    ['2026-05-01T10:00:00', 'expected a zone'],
    ['yesterday', 'expected a time of RFC 3339'],
    ['2026-05-01', 'expected a time of RFC 3339'],
    ['2026-02-30T10:00:00Z', 'no time of any day'],
    ['2026-05-01T10:00:00+99:00', 'no time of any day'],
    ['2026-05-03T10:00:01Z', 'in the future'],
    ['2026-05-03T10:00:00.5Z', 'not over yet'],
  ])('--at %s is refused: %s', async (at, message) => {
    const { code, stderr, stdout } = await cli('get', 'users', 'user=a,at=1', '--at', at)
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toContain(message)
  })

  test('a value without a type is whatever there is, and two of them are a question', async () => {
    await applyPuts(rows, [
      { table: 'flags', time: '2026-05-01T10:00:00Z', after: { id: S('1'), kind: S('text') } },
      { table: 'flags', time: '2026-05-01T10:00:00Z', after: { id: N('2'), kind: S('number') } },
    ])
    expect((await cli('get', 'flags', 'id=1')).stdout).toContain('flags id=S:1: present')
    expect((await cli('get', 'flags', 'id=2.0')).stdout).toContain('flags id=N:2: present')
    expect(await cli('get', 'flags', 'id=N:1')).toMatchObject({ code: 4 })
    await applyPuts(rows, [{ table: 'flags', time: '2026-05-01T10:00:00Z', after: { id: N('1') } }])
    const both = await cli('get', 'flags', 'id=1')
    expect(both).toMatchObject({ code: 2, stdout: '' })
    expect(both.stderr).toContain("the key may be that of 2 rows: 'id=S:1' or 'id=N:1'; give it with types")
    expect((await cli('get', 'flags', 'id=S:1')).stdout).toContain('text')
    expect(await cli('get', 'flags', 'id=N:1')).toMatchObject({ code: 0 })
  })

  test('names and values are compared, whatever their order', async () => {
    await applyPuts(rows, story)
    expect((await cli('get', 'users', 'at=17,user=alice')).stdout).toContain('users user=S:alice,at=N:17: present')
    const swapped = await cli('get', 'users', 'user=17,at=alice')
    expect(swapped).toMatchObject({ code: 4 })
    expect(swapped.stderr).toContain(
      'there is a row with partition key S "alice" and sort key N "17", whose at, user have other values',
    )
    const misnamed = await cli('get', 'users', 'at=alice,user=17')
    expect(misnamed).toMatchObject({ code: 4 })
    expect(misnamed.stderr).toContain('are the names or the values swapped?')
    const unnamed = await cli('get', 'users', 'id=alice,ts=17')
    expect(unnamed).toMatchObject({ code: 0 })
    expect(unnamed.stderr).toBe('lifeboat: the item has not all of the attributes id, ts: found by the values alone\n')
    const half = await cli('get', 'users', 'user=alice')
    expect(half).toMatchObject({ code: 4 })
    expect(half.stderr).toContain('rows with a sort key')
    const deleted = await cli('get', 'users', 'at=2,user=bob')
    expect(deleted).toMatchObject({ code: 4 })
    expect(deleted.stderr).toContain('partition key S "bob" and sort key N "2": was that meant?')
  })

  test.each([
    ['alice', 'expected NAME=VALUE'],
    ['user=a,b', 'a value with a comma needs DynamoDB JSON'],
    ['a=1,b=2,c=3', 'one or two attributes, found 3'],
    ['user=a,user=b', 'is there twice'],
    ['user=N:x,at=1', 'not a number'],
    ['user=B:?,at=1', 'not base64'],
    ['user=,at=1', 'a partition key of 0 bytes'],
    ['{"user"', 'KEY is not JSON'],
    ['{"user":{"BOOL":true}}', 'a key is S, N or B, not BOOL'],
    ['{}', 'one or two attributes, found 0'],
  ])('the key %s is refused: %s', async (key, message) => {
    const { code, stderr } = await cli('get', 'users', key)
    expect(code).toBe(2)
    expect(stderr).toContain(message)
  })

  test('a table that is not configured, and no configuration', async () => {
    const near = await cli('get', 'user', 'user=a,at=1')
    expect(near).toMatchObject({ code: 4 })
    expect(near.stderr).toMatch(
      /there is no table user in .*lifeboat\.yml, which names users, flags; did you mean "users"\?\n$/,
    )
    expect((await cli('get', 'users-copy', 'user=a,at=1')).stderr).toContain('did you mean "users"?')
    await rm(join(dir, 'lifeboat.yml'))
    const none = await cli('get', 'users', 'user=a,at=1')
    expect(none).toMatchObject({ code: 2 })
    expect(none.stderr).toContain('give --instance PROJECT/INSTANCE')
    await applyPuts(rows, story)
    expect(await cli('get', 'users-copy', 'user=alice,at=17', '--instance', 'p/i')).toMatchObject({ code: 0 })
    expect(await cli('get', 'users', 'user=alice,at=17', '--instance', 'p/i')).toMatchObject({ code: 4 })
    expect(await cli('get', 'users', 'user=alice,at=17', '--instance', 'p')).toMatchObject({ code: 2 })
  })

  test('Bigtable is the one of the configuration', async () => {
    const places: unknown[] = []
    const openRows = async (place: unknown) => {
      places.push(place)
      return { rows, close: async () => void places.push('closed') }
    }
    await runCli(['rows', 'get', 'users', 'user=a,at=1'], { openRows, cwd: dir })
    const args = ['rows', 'get', 'flags', 'id=1', '--instance', 'other-project/other']
    await runCli(args, { openRows, cwd: dir })
    expect(places).toEqual([
      { projectId: 'my-project', instanceId: 'features', appProfileId: 'lifeboat' },
      'closed',
      { projectId: 'other-project', instanceId: 'other' },
      'closed',
    ])
  })

  test('a damaged row is named in hex, a denied Bigtable is 3, an interrupt 130', async () => {
    await applyPuts(rows, story)
    const key = encodeRowKey({ partition: S('alice'), sort: N('17') })
    await damage(key)
    const corrupt = await cli('get', 'users', 'user=alice,at=17', '--json')
    expect(corrupt.code).toBe(5)
    expect(corrupt.stderr).toContain(`lifeboat: row ${key.toString('hex')} of users-copy: `)
    expect(jsonOf(corrupt.stdout)).toMatchObject({ error: { name: 'CorruptError', exitCode: 5 } })
    const denied = { ...rows, read: () => Promise.reject(new DeniedError('read users-copy: no')) }
    expect(await runCli(['rows', 'get', 'users', 'user=a,at=1'], { rows: denied, cwd: dir })).toMatchObject({ code: 3 })
    const interrupt = new AbortController()
    const running = runCli(['rows', 'get', 'users', 'user=a,at=1'], {
      openRows: () => Promise.race([]),
      cwd: dir,
      signal: interrupt.signal,
    })
    interrupt.abort(new InterruptedError('interrupted'))
    expect(await running).toMatchObject({ code: 130, stdout: '' })
  })
})

const damage = async (key: Buffer, value = Buffer.from('?')): Promise<void> => {
  const [row] = await rows.read('users-copy', [key])
  const { version, time } = row!.marker!
  const written = { key, cells: new Map([['plan', value]]), marker: { version, time, tombstone: false } }
  if (!(await rows.replaceIf('users-copy', written, version))) throw new Error('the row changed')
}

const keysOf = (stdout: string): string[] =>
  stdout
    .split('\n')
    .filter(Boolean)
    .map((line) => line.split('  ')[0] ?? '')

const inOrder = (...keys: [string, string][]): string[] => {
  const all = keys.map(([partition, sort]) => {
    const key = { partition: S(partition), sort: N(sort) }
    return { text: `S:${partition},N:${sort}`, hex: encodeRowKey(key).toString('hex') }
  })
  return all.sort((left, right) => (left.hex < right.hex ? -1 : 1)).map(({ text }) => text)
}

describe('lifeboat rows scan', () => {
  test('every item one a line, and how many', async () => {
    await applyPuts(rows, story)
    const { code, stdout, stderr } = await cli('scan', 'users')
    expect({ code, stderr }).toEqual({ code: 0, stderr: '3 items, 1 deleted\n' })
    expect(keysOf(stdout)).toEqual(inOrder(['zed', '1'], ['alice', '17'], ['alice', '18']))
    expect(stdout).toContain('S:alice,N:18  user=S:alice at=N:18 score=N:0.10000000000000000001\n')
    expect((await cli('scan', 'users', '--quiet')).stderr).toBe('')
    expect(await cli('scan', 'flags')).toEqual({ code: 0, stdout: '', stderr: '0 items\n' })
  })

  test('as of a second: deleted items are there again, later ones are not', async () => {
    await applyPuts(rows, story)
    const then = await cli('scan', 'users', '--at', '2026-05-01T11:30:00Z')
    expect(then).toMatchObject({ code: 0, stderr: '3 items, 1 not there then as of the end of 2026-05-01T11:30:00Z\n' })
    expect(keysOf(then.stdout)).toEqual(inOrder(['zed', '1'], ['alice', '17'], ['bob', '2']))
    expect(then.stdout).toContain('plan=S:paid')
    const early = jsonOf((await cli('scan', 'users', '--at', '2026-05-01T10:00:05Z', '--json')).stdout)
    expect(early).toMatchObject({ schema: 1, table: 'users', at: '2026-05-01T10:00:05Z', truncated: false })
    expect(early['counts']).toEqual({ present: 2, absent: 2, unknown: 0, corrupt: 0 })
    expect(early['items']).toContainEqual({
      key: { partition: S('alice'), sort: N('17') },
      state: 'present',
      item: user('alice', '17', { plan: S('trial') }),
    })
  })

  test('rows that are unknown are listed, and make it 1', async () => {
    await applyPuts(rows, story)
    const { code, stdout, stderr } = await cli('scan', 'users', '--at', '2026-05-01T09:00:00Z')
    expect(code).toBe(1)
    expect(keysOf(stdout)).toHaveLength(4)
    expect(stdout).toContain(
      'S:zed,N:1  unknown: the replica did not see its changes then; known from 2026-05-01T10:00:00Z\n',
    )
    expect(stderr).toBe(
      '0 items, 4 unknown as of the end of 2026-05-01T09:00:00Z\nlifeboat: 4 rows unknown at that time\n',
    )
    const json = await cli('scan', 'users', '--at', '2026-05-01T09:00:00Z', '--json')
    expect(json.code).toBe(1)
    expect((jsonOf(json.stdout)['items'] as Json[])[0]).toMatchObject({
      state: 'unknown',
      reason: 'before first sight',
      knownFrom: '2026-05-01T10:00:00Z',
    })
  })

  test('a partition in the order of its sort keys, and its type is not guessed', async () => {
    await applyPuts(
      rows,
      ['10', '9', '-1', '2.5'].map((at): Put => ({ time: '2026-05-01T10:00:00Z', after: user('7', at) })),
    )
    await applyPuts(rows, [{ time: '2026-05-01T10:00:00Z', after: user('other', '1') }])
    const { stdout } = await cli('scan', 'users', '--partition', 'user=7')
    expect(keysOf(stdout)).toEqual(['S:7,N:-1', 'S:7,N:2.5', 'S:7,N:9', 'S:7,N:10'])
    expect((await cli('scan', 'users', '--partition', '{"user":{"S":"7"}}')).stdout).toBe(stdout)
    expect(await cli('scan', 'users', '--partition', 'user=N:7')).toMatchObject({ code: 0, stdout: '' })
    expect(await cli('scan', 'users', '--partition', 'user=8')).toMatchObject({ code: 0, stdout: '' })
    expect((await cli('scan', 'users', '--partition', 'country=7')).stderr).toContain(
      'the items have no attribute country=S:7',
    )
    const number: KeyValue = N('7')
    await applyPuts(rows, [{ time: '2026-05-01T10:00:00Z', after: { user: number, at: N('1') } }])
    const both = await cli('scan', 'users', '--partition', 'user=7')
    expect(both).toMatchObject({ code: 2, stdout: '' })
    expect(both.stderr).toContain("'user=S:7' and 'user=N:7'")
    expect(await cli('scan', 'users', '--partition', 'user=7,at=1')).toMatchObject({ code: 2 })
  })

  test('a limit says that there is more, and asks Bigtable for little', async () => {
    let read = 0
    const counting = {
      ...rows,
      scan: async function* (...args: Parameters<typeof rows.scan>) {
        for await (const row of rows.scan(...args)) {
          read += 1
          yield row
        }
      },
    }
    await applyPuts(
      rows,
      Array.from({ length: 200 }, (_, at): Put => ({ time: '2026-05-01T10:00:00Z', after: user('p', String(at)) })),
    )
    const few = await runCli(['rows', 'scan', 'users', '--limit', '2'], { rows: counting, cwd: dir })
    expect(few).toMatchObject({ code: 0, stderr: '2 items; there are more than --limit 2\n' })
    expect(keysOf(few.stdout)).toEqual(['S:p,N:0', 'S:p,N:1'])
    expect(read).toBeLessThan(50)
    expect((await cli('scan', 'users', '--limit', '200')).stderr).toBe('200 items\n')
    const json = jsonOf((await cli('scan', 'users', '--limit', '2', '--json')).stdout)
    expect(json).toMatchObject({ truncated: true, counts: { present: 2 } })
    expect(await cli('scan', 'users', '--limit', 'x')).toMatchObject({ code: 2 })
  })

  test('a terminal gets one line an item', async () => {
    await applyPuts(rows, [
      { time: '2026-05-01T10:00:00Z', after: user('a', '1', { long: S(`\u001b${'x'.repeat(500)}\n`) }) },
    ])
    const { stdout } = await runCli(['rows', 'scan', 'users'], { rows, cwd: dir, columns: 50 })
    expect(stdout).toBe('S:a,N:1  user=S:a at=N:1 long=S:\\u{1b}xxxxxxxxxxx…\n')
  })

  test('a damaged row is listed and 5, and the others are printed', async () => {
    await applyPuts(rows, story)
    const key = encodeRowKey({ partition: S('alice'), sort: N('17') })
    await damage(key)
    const { code, stdout, stderr } = await cli('scan', 'users')
    expect(code).toBe(5)
    expect(keysOf(stdout)).toHaveLength(3)
    expect(stdout).toContain(`row ${key.toString('hex')}  corrupt: `)
    expect(stderr).toBe('2 items, 1 deleted, 1 corrupt\nlifeboat: 1 row cannot be read as Lifeboat wrote it\n')
    const json = await cli('scan', 'users', '--json', '--at', '2026-05-02T12:00:00Z')
    expect(json.code).toBe(5)
    expect(jsonOf(json.stdout)['counts']).toMatchObject({ present: 2, corrupt: 1 })
  })

  test('a row of another writer is damaged too, and nothing of it is believed', async () => {
    await applyPuts(rows, story)
    const foreign = [
      { version: 'v1', time: 1, tombstone: false },
      { version: `0000000001.${'0'.repeat(40)}.${'0'.repeat(16)}`, time: Number.NaN, tombstone: true },
    ]
    for (const [index, marker] of foreign.entries()) {
      const key = encodeRowKey({ partition: S('foreign'), sort: N(String(index)) })
      await rows.replaceIf('users-copy', { key, cells: new Map(), marker }, undefined)
      expect(await cli('get', 'users', `user=foreign,at=${index}`)).toMatchObject({ code: 5 })
    }
    const notKey = { key: Buffer.from('hello'), cells: new Map(), marker: { ...foreign[1]!, time: 1 } }
    await rows.replaceIf('users-copy', notKey, undefined)
    for (const args of [[], ['--at', '2026-05-02T12:00:00Z']]) {
      const { code, stdout } = await cli('scan', 'users', '--json', ...args)
      expect(code).toBe(5)
      expect(jsonOf(stdout)['counts']).toMatchObject({ present: 3, corrupt: 3 })
      expect(stdout).toContain('{"state":"corrupt","rowKey":"68656c6c6f","reason":"not the key of a row')
    }
  })

  test('JSON that breaks off says so and is JSON all the same', async () => {
    const many = Array.from({ length: 100 }, (_, at): Put => ({
      time: '2026-05-01T10:00:00Z',
      after: user('p', String(at)),
    }))
    await applyPuts(rows, many)
    const interrupt = new AbortController()
    const thenDo = (last: () => Promise<void>) => ({
      ...rows,
      scan: async function* (...args: Parameters<typeof rows.scan>) {
        yield* rows.scan(...args)
        await last()
      },
    })
    const args = ['rows', 'scan', 'users', '--json']
    const broken = thenDo(() => Promise.reject(new DeniedError('read users-copy: no longer')))
    const { code, stdout, stderr } = await runCli(args, { rows: broken, cwd: dir })
    expect({ code, stderr }).toEqual({ code: 3, stderr: 'lifeboat: read users-copy: no longer\n' })
    expect(jsonOf(stdout)).toMatchObject({ truncated: true, error: { name: 'DeniedError', exitCode: 3 } })
    const hanging = thenDo(() => {
      setImmediate(() => interrupt.abort(new InterruptedError('interrupted')))
      return Promise.race([])
    })
    const cut = await runCli(args, { rows: hanging, cwd: dir, signal: interrupt.signal })
    expect(cut).toMatchObject({ code: 130, stderr: 'lifeboat: interrupted\n' })
    const shown = jsonOf(cut.stdout)
    expect(shown).toMatchObject({ truncated: true, error: { exitCode: 130 } })
    expect((shown['items'] as Json[]).length).toBeGreaterThan(10)
    const missing = await cli('scan', 'nosuch', '--instance', 'p/i', '--json')
    expect(missing.code).toBe(4)
    expect(jsonOf(missing.stdout)).toMatchObject({ error: { name: 'NotFoundError' } })
  })
})

describe('over a real socket', () => {
  // The history is collected by its age: the story happens a few days ago.
  const shiftMs = Math.floor((Date.now() - 5 * 86_400_000 - Date.parse('2026-05-01T10:00:00Z')) / 1000) * 1000
  const shifted = (time: string): string => new Date(Date.parse(time) + shiftMs).toISOString()
  let folder: string
  let server: BigtableServer
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'lifeboat-cli-bigtable-'))
    server = await startBigtable({ dir: folder })
    const config = parseConfig(JSON.stringify(rowsConfig), { stage: 'dev', file: 'lifeboat.yml' })
    await createReplicaTables(server.url, config)
    const place = { projectId: 'my-project', instanceId: 'features', endpoint: server.url, token: 'lifeboat-rows' }
    const writer = createBigtableRowStore(place)
    await applyPuts(
      writer,
      story.map((put) => ({ ...put, time: shifted(put.time) })),
    )
    await writer.close()
  })
  afterAll(async () => {
    await server.close()
    await rm(folder, { recursive: true, force: true })
  })

  const real = (...args: string[]) =>
    runCli(['rows', ...args], {
      openRows: (place) => openBigtableRows({ env: { BIGTABLE_ENDPOINT: server.url } }, place),
      cwd: dir,
      now: new Date().toISOString(),
    })

  test('gets and scans, now and then', async () => {
    const now = await real('get', 'users', 'user=alice,at=17', '--json')
    expect(now.code).toBe(0)
    expect(jsonOf(now.stdout)).toMatchObject({ item: user('alice', '17', { plan: S('paid') }) })
    const then = await real('get', 'users', 'user=alice,at=17', '--at', shifted('2026-05-01T10:00:05Z'), '--json')
    expect(jsonOf(then.stdout)).toMatchObject({ item: user('alice', '17', { plan: S('trial') }) })
    expect(await real('get', 'users', 'user=bob,at=2')).toMatchObject({ code: 4 })
    const bob = await real('get', 'users', 'user=bob,at=2', '--at', shifted('2026-05-01T11:59:59Z'))
    expect(bob).toMatchObject({ code: 0 })
    const early = await real('get', 'users', 'user=bob,at=2', '--at', shifted('2026-05-01T09:59:59Z'))
    expect(early).toMatchObject({ code: 1 })
    const scanned = await real('scan', 'users', '--at', shifted('2026-05-01T11:30:00Z'))
    expect(scanned).toMatchObject({ code: 0 })
    expect(keysOf(scanned.stdout)).toEqual(inOrder(['zed', '1'], ['alice', '17'], ['bob', '2']))
    expect(keysOf((await real('scan', 'users', '--partition', 'user=alice')).stdout)).toEqual([
      'S:alice,N:17',
      'S:alice,N:18',
    ])
  })

  test('a table that is not there is 4', async () => {
    const missing = await real('scan', 'nosuch', '--instance', 'my-project/features')
    expect(missing).toMatchObject({ code: 4, stdout: '' })
  })

  test('the process asks nothing of AWS, and ends', async () => {
    const child = spawn(process.execPath, [bin, 'rows', 'scan', 'users', '--json'], {
      cwd: dir,
      env: {
        PATH: process.env['PATH'],
        HOME: dir,
        BIGTABLE_ENDPOINT: server.url,
        AWS_ENDPOINT_URL: 'http://127.0.0.1:9',
        AWS_EC2_METADATA_DISABLED: 'true',
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const [[code], stdout, stderr] = await Promise.all([once(child, 'exit'), text(child.stdout), text(child.stderr)])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(jsonOf(stdout)).toMatchObject({ counts: { present: 3, absent: 1 } })
  })
})
