import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { createModel, writeModel } from '../../local/start/synthetic-model.ts'
import { createMemoryItems } from '../../shared/clouds/memory/items.ts'
import { createMemoryRowStore } from '../../shared/clouds/memory/row-store.ts'
import { itemToJson } from '../../shared/features/attribute-json.ts'
import { compareTable } from '../../shared/features/compare.ts'
import type { Item } from '../../shared/features/item.ts'

/** What somebody who has just cloned the repository does. */

vi.setConfig({ testTimeout: 240_000 })

const entry = fileURLToPath(new URL('../../local/start.ts', import.meta.url))
const dir = mkdtempSync(join(tmpdir(), 'lifeboat-npm-start-'))
const folder = join(dir, 'tiny-llama')
const files = 7

beforeAll(async () => {
  mkdirSync(join(folder, 'assets'), { recursive: true })
  const shards = ['model-00001-of-00003', 'model-00002-of-00003', 'model-00003-of-00003']
  const weights: Record<string, string> = {}
  for (const [index, shard] of shards.entries()) {
    const model = createModel(index + 1, 3, 64 * 1024)
    for (const { name } of model.tensors) weights[`${index}.${name}`] = `${shard}.safetensors`
    await writeModel(join(folder, `${shard}.safetensors`), model)
  }
  writeFileSync(join(folder, 'model.safetensors.index.json'), JSON.stringify({ metadata: {}, weight_map: weights }))
  writeFileSync(join(folder, 'config.json'), '{"model_type":"llama"}')
  writeFileSync(join(folder, 'assets', 'tokenizer with space+.json'), '{"version":"1.0"}')
  writeFileSync(join(folder, 'EMPTY'), '')
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))

const start = async (...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> => {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', entry, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const [[code], stdout, stderr] = await Promise.all([once(child, 'exit'), text(child.stdout), text(child.stderr)])
  return { code: Number(code), stdout, stderr }
}

test('a folder of shards restores identically; a pipe gets plain lines', async () => {
  const { code, stdout, stderr } = await start('--model', folder)
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  expect(stdout).toMatch(/protected +identical/)
  expect(stdout).toContain('Every byte came back from GCS alone')
  expect(stdout).toContain('DynamoDB and Bigtable have equal rows.')
  expect(stdout).toMatch(/^DynamoDB +\d+ +- +([0-9a-f]{16})\nBigtable +\d+ +\d+ +\1 +0$/m)
  // oxlint-disable-next-line no-control-regex -- escape codes are what must not be there
  expect(stdout).not.toMatch(/[\u001b\r]/)
})

test('--json ends with one line of the documented fields', async () => {
  const { code, stdout, stderr } = await start('--model', folder, '--json')
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  const result = JSON.parse(stdout.trimEnd().split('\n').at(-1)!) as Record<string, unknown>
  expect(result).toMatchObject({
    objects: files,
    bytesRead: expect.any(Number),
    bytesSent: expect.any(Number),
    chunks: expect.any(Number),
    chunksReused: expect.any(Number),
    lagSeconds: expect.any(Number),
    verified: true,
    publishes: [{ size: expect.any(Number), state: 'protected' }],
  })
  const { bytesRead, bytesSent, chunks, lagSeconds } = result as Record<string, number>
  const [{ size }] = result['publishes'] as [{ size: number }]
  expect(size).toBeGreaterThan(3 * 3 * 128 * 1024)
  expect(bytesRead).toBeGreaterThanOrEqual(size)
  expect(bytesSent).toBeGreaterThan(size / 2)
  expect(chunks).toBeGreaterThanOrEqual(files)
  expect(lagSeconds).toBeGreaterThan(0)
  const rows = result['rows'] as Record<string, number>
  expect(rows).toMatchObject({ table: 'features', deletedByTtl: 2, quarantined: 0, differences: 0, verified: true })
  expect(rows).toMatchObject({ reasons: [], examples: [] })
  // Each change was applied or found stale; one that was delivered twice is counted twice.
  expect(rows['applied']! + rows['stale']!).toBeGreaterThanOrEqual(rows['changes']!)
  expect(rows['changes']).toBeGreaterThan(rows['items']!)
  expect(rows['stale']).toBeGreaterThan(0)
  expect(rows['tombstones']).toBeGreaterThan(2)
  expect(rows['sourceItems']).toBeGreaterThan(80)
  expect(rows['replicaItems']).toBe(rows['sourceItems'])
  expect(rows['replicaDigest']).toBe(rows['sourceDigest'])
  expect(rows['lagMaxSeconds']).toBeGreaterThanOrEqual(rows['lagLastSeconds']!)
  expect(rows['lagLastSeconds']).toBeGreaterThan(0)
})

const rowsFile = join(dir, 'rows.jsonl')
const startRows = async (items: readonly Item[], ...args: string[]) => {
  writeFileSync(rowsFile, items.map((item) => `${JSON.stringify(itemToJson(item))}\n`).join(''))
  return start('--model', join(folder, 'config.json'), '--rows', rowsFile, ...args)
}

/** The digest of a table of exactly these items. */
const digestOf = async (items: readonly Item[], partition: string): Promise<string> => {
  const source = createMemoryItems({ features: { partition } })
  for (const item of items) source.put('features', item)
  const rule = { name: 'features', target: 'features', omit: new Set<string>() }
  return (await compareTable({ source, rows: createMemoryRowStore() }, rule)).source.digest
}

test('--rows writes the items of a file, the last of each key and every digit', async () => {
  const own = [
    { id: { N: '1' }, big: { N: '12345678901234567890123456789012345678' }, none: { B: new Uint8Array() } },
    { id: { N: '2' }, small: { N: '-1.2345678901234567890123456789012345678E-100' }, text: { S: '' } },
    { id: { N: '3' }, set: { NS: ['99999999999999999999999999999999999999', '-0.1'] }, map: { M: { l: { L: [] } } } },
  ]
  const updates = Array.from({ length: 150 }, (_, index) => ({ id: { N: '1.0' }, revision: { N: String(index) } }))
  const { code, stdout, stderr } = await startRows(
    [...own, ...updates, updates.at(-1)!],
    '--partition-key',
    'id',
    '--json',
  )
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  const { rows } = JSON.parse(stdout) as { rows: Record<string, unknown> }
  const left = [{ ...updates.at(-1)!, id: { N: '1' } }, own[1]!, own[2]!]
  expect(rows).toMatchObject({
    items: 154,
    changes: 153,
    sourceItems: 3,
    replicaItems: 3,
    tombstones: 0,
    verified: true,
  })
  expect(rows).toMatchObject({ sourceDigest: await digestOf(left, 'id'), replicaDigest: rows['sourceDigest'] })
})

test('an item that Bigtable cannot hold ends with 1 and is named', async () => {
  // Each attribute takes up to 3 characters and 1 byte of DynamoDB's 409,600, and all of them are more than Bigtable changes at once.
  const letters = Array.from({ length: 93 }, (_, index) => String.fromCharCode(index < 1 ? 0x21 : 0x22 + index))
  const names = ['', ...letters].flatMap((x) => ['', ...letters].flatMap((y) => letters.map((z) => x + y + z)))
  const wide = [...new Set(names)].filter((name) => name !== 'pk').sort((x, y) => x.length - y.length)
  const item = { pk: { S: 'wide' }, ...Object.fromEntries(wide.slice(0, 99_992).map((name) => [name, { NULL: true }])) }
  const { code, stdout } = await startRows([item, { pk: { S: 'b' } }])
  expect(code).toBe(1)
  expect(stdout).toContain(', 1 QUARANTINED')
  expect(stdout).toMatch(/^ {2}quarantined: .* Bigtable changes no more than 99990 columns of a row at once$/m)
  expect(stdout).toMatch(/^Bigtable .* 1\n {2}missing \[\{"S":"wide"\}\]$/m)
  expect(stdout).toContain('The rows are NOT equal')
})

test.each([
  [
    'a path that is not there',
    ['--model', join(dir, 'nothing')],
    /^--model .*nothing: there is no such file or folder\n$/,
  ],
  ['a folder without files', ['--model', dir.concat('/empty')], /^--model .*empty: there is no file in it\n$/],
  [
    'a file of plain JSON',
    ['--rows', join(dir, 'plain.jsonl')],
    /^.*plain\.jsonl:2: pk: .*found "b": every value is in DynamoDB's JSON, such as .*\n$/,
  ],
])('%s ends with 2 and one line', async (_title, args, line) => {
  mkdirSync(join(dir, 'empty'), { recursive: true })
  writeFileSync(join(dir, 'plain.jsonl'), '{"pk":{"S":"a"}}\n{"pk":"b"}\n')
  const { code, stdout, stderr } = await start(...args)
  expect(code).toBe(2)
  expect(stdout).toBe('')
  expect(stderr).toMatch(line)
})
