import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createMemoryBlobStore } from '../../shared/clouds/memory/blob-store.ts'
import { createMemoryItems, type MemoryItems } from '../../shared/clouds/memory/items.ts'
import { createMemoryRowStore, type MemoryRowStore } from '../../shared/clouds/memory/row-store.ts'
import { DeniedError } from '../../shared/errors.ts'
import { parseItem } from '../../shared/features/attribute-json.ts'
import { encodeRowKey } from '../../shared/features/row-key.ts'
import { applyPuts, jsonOf, N, rowsConfig, rowsTables, S, user } from '../support/cli-rows.ts'
import { runCli } from '../support/cli.ts'

let dir: string
let rows: MemoryRowStore
let items: MemoryItems
const people = ['alice', 'bob', 'carol']
const keyOf = (name: string) => encodeRowKey({ partition: S(name), sort: N('1') })
const itemOf = (name: string, plan = 'free') => user(name, '1', { plan: S(plan) })
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'lifeboat-diff-'))
  await writeFile(join(dir, 'lifeboat.yml'), JSON.stringify(rowsConfig))
  rows = createMemoryRowStore({ tables: rowsTables })
  items = createMemoryItems({ users: { partition: 'user', sort: 'at' }, flags: { partition: 'id' } })
  await applyPuts(
    rows,
    people.map((name) => ({ time: '2026-05-01T10:00:00Z', after: itemOf(name) })),
  )
  for (const name of people) items.put('users', parseItem(itemOf(name)))
})
afterEach(() => rm(dir, { recursive: true, force: true }))

const cli = (args: string[], options: Parameters<typeof runCli>[1] = {}) =>
  runCli(['diff', ...args], { cwd: dir, rows, items, store: createMemoryBlobStore(), ...options })

/** Of each kind one: bob's row is gone, carol's is changed, zed's is of no item. */
const damage = async (): Promise<void> => {
  await applyPuts(rows, [{ time: '2026-05-01T10:00:01Z', after: itemOf('zed') }])
  rows.tamper('users-copy', keyOf('bob'), undefined)
  items.put('users', parseItem(itemOf('carol', 'paid')))
}

describe('lifeboat diff', () => {
  test('of equal sides is 0, and says what was compared', async () => {
    const { code, stdout, stderr } = await cli(['users'])
    expect({ code, stdout, stderr }).toEqual({
      code: 0,
      stdout: 'users: 3 items compared; 3 rows in the replica; no difference\n',
      stderr: '',
    })
  })

  test('lists each difference with the values of both sides, and is 1', async () => {
    await damage()
    const { code, stdout, stderr } = await cli(['users'])
    expect(code).toBe(1)
    expect(stderr).toContain('waiting until changes are in the replica: 3 rows differed\n')
    const [summary, , ...lines] = stdout.trimEnd().split('\n')
    expect(summary).toBe('users: 3 items compared; 3 rows in the replica; 3 differences: 1 missing, 1 extra, 1 changed')
    expect(lines.map((line) => line.split(/ {2,}/).join(' | ')).toSorted()).toEqual([
      ' | plan | - | S:free',
      ' | plan | S:free | -',
      ' | user | - | S:zed',
      ' | user | S:bob | -',
      'changed | S:carol,N:1 | plan | S:paid | S:free',
      'difference | key | attribute | source | replica',
      'extra | S:zed,N:1 | at | - | N:1',
      'missing | S:bob,N:1 | at | N:1 | -',
    ])
  })

  test('--repair makes all good, says so, and is 1; the next is 0', async () => {
    await damage()
    const { code, stdout } = await cli(['users', '--repair', '--quiet'])
    expect(code).toBe(1)
    expect(stdout).toContain('3 repaired')
    expect(stdout).toContain('missing, repaired')
    expect(await cli(['users', '--quiet'])).toMatchObject({ code: 0 })
    expect((await rows.read('users-copy', [keyOf('zed')]))[0]?.marker?.tombstone).toBe(true)
  })

  test('--json is one object with counts and differences, of which --limit leaves some out', async () => {
    await damage()
    const { code, stdout, stderr } = await cli(['users', '--json', '--limit', '1'])
    expect({ code, stderr }).toEqual({ code: 1, stderr: '' })
    const { differences, ...answer } = jsonOf(stdout)
    expect(answer).toMatchObject({
      schema: 1,
      table: 'users',
      outcome: 'failed',
      total: 3,
      counts: { items: 3, rows: 3, missing: 1, extra: 1, changed: 1, repaired: 0 },
    })
    expect(differences).toHaveLength(1)
    expect((await cli(['users', '--limit', '1'])).stdout).toContain('and 2 more (--limit)')
  })

  test('waits for a change that is on its way, and does not count it', async () => {
    items.put('users', parseItem(itemOf('carol', 'paid')))
    let isThere = false
    const onWait = async (): Promise<void> => {
      if (isThere) return
      isThere = true
      await applyPuts(rows, [
        { time: '2026-05-01T10:00:01Z', after: itemOf('nobody') },
        { time: '2026-05-01T10:00:01Z', after: itemOf('nobody') },
        { time: '2026-05-01T10:00:01Z', after: itemOf('nobody') },
        { time: '2026-05-01T10:00:02Z', before: itemOf('carol'), after: itemOf('carol', 'paid') },
        { time: '2026-05-01T10:00:03Z', before: itemOf('nobody') },
      ])
    }
    expect(await cli(['users'], { onWait })).toMatchObject({ code: 0 })
    expect(isThere).toBe(true)
  })

  test('of nothing with nothing is 1, unless that is allowed', async () => {
    const { code, stdout } = await cli(['flags'])
    expect(code).toBe(1)
    expect(stdout).toContain('neither the source nor the replica has a row: nothing was compared')
    expect(await cli(['flags', '--allow-empty'])).toMatchObject({ code: 0 })
    rows.tamper('flags', Buffer.from('xx'), { key: Buffer.from('xx'), cells: new Map() })
    expect(await cli(['flags', '--allow-empty'])).toMatchObject({ code: 1 })
  })

  test('--rate keeps to so many items a second, and a damaged cell is shown in hex', async () => {
    rows.tamper('users-copy', keyOf('bob'), { key: keyOf('bob'), cells: new Map([['plan', Buffer.from('?')]]) })
    let waitedMs = 0
    const onWait = async (ms: number): Promise<void> => void (waitedMs += ms)
    const many = Array.from({ length: 300 }, (_, index) => itemOf(`u${index}`))
    for (const item of many) items.put('users', parseItem(item))
    await applyPuts(
      rows,
      many.map((after) => ({ time: '2026-05-01T10:00:00Z', after })),
    )
    const { stdout } = await cli(['users', '--rate', '1'], { onWait })
    expect(waitedMs).toBeGreaterThanOrEqual(100_000)
    expect(stdout).toMatch(/plan +S:free +0x3f/)
  })

  test('an unknown table is 4 and a cloud that denies 3', async () => {
    const unknown = await cli(['user'])
    expect(unknown).toMatchObject({ code: 4, stdout: '' })
    expect(unknown.stderr).toContain('did you mean "users"?')
    const denied = { ...items, pages: () => Promise.reject(new DeniedError('scan users: no')) as never }
    expect(
      await cli(['users'], { items: { ...denied, keys: () => Promise.reject(new DeniedError('no')) } }),
    ).toMatchObject({
      code: 3,
    })
    expect(await cli(['nosuch'])).toMatchObject({ code: 4 })
    expect(await cli(['users', '--limit', '0'])).toMatchObject({ code: 2 })
  })

  test('--recent looks at what was written lately alone', async () => {
    await damage()
    await applyPuts(rows, [{ time: '2026-05-03T09:30:00Z', after: user('late', '2') }])
    const { code, stdout } = await cli(['users', '--recent', '--quiet'])
    expect(code).toBe(1)
    expect(stdout).toContain('1 item compared; 1 difference: 0 missing, 1 extra, 0 changed')
  })
})
