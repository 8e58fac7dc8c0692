import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { InterruptedError } from '../../cli/exit-codes.ts'
import { createMemoryRowStore, type MemoryRowStore } from '../../shared/clouds/memory/row-store.ts'
import { DeniedError } from '../../shared/errors.ts'
import { encodeRowKey, type KeyValue } from '../../shared/features/row-key.ts'
import {
  applyPuts,
  damage,
  inOrder,
  type Json,
  jsonOf,
  keysOf,
  N,
  type Put,
  rowsConfig,
  rowsTables,
  S,
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

  test('a table of many pages is read to its end, each row once', async () => {
    const many = Array.from({ length: 2100 }, (_, at): Put => ({
      time: '2026-05-01T10:00:00Z',
      after: user(`p${at % 7}`, String(at)),
    }))
    await applyPuts(rows, many)
    for (const args of [[], ['--at', '2026-05-02T00:00:00Z']]) {
      const { code, stdout } = await cli('scan', 'users', ...args)
      expect(code).toBe(0)
      expect(keysOf(stdout)).toEqual(inOrder(...many.map((_, at): [string, string] => [`p${at % 7}`, String(at)])))
    }
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
    await damage(rows, key)
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
