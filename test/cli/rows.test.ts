import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { InterruptedError } from '../../cli/exit-codes.ts'
import { createMemoryRowStore, type MemoryRowStore } from '../../shared/clouds/memory/row-store.ts'
import { DeniedError } from '../../shared/errors.ts'
import { encodeRowKey } from '../../shared/features/row-key.ts'
import {
  applyPuts,
  damage,
  type Json,
  jsonOf,
  N,
  rowsConfig,
  rowsTables,
  S,
  sequenceOf,
  story,
  user,
} from '../support/cli-rows.ts'
import { runCli } from '../support/cli.ts'

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
    await damage(rows, key)
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
