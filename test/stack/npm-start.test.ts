import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { createModel, writeModel } from '../../local/start/synthetic-model.ts'

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
})

test.each([
  [
    'a path that is not there',
    ['--model', join(dir, 'nothing')],
    /^--model .*nothing: there is no such file or folder\n$/,
  ],
  ['a folder without files', ['--model', dir.concat('/empty')], /^--model .*empty: there is no file in it\n$/],
])('%s ends with 2 and one line', async (_title, args, line) => {
  mkdirSync(join(dir, 'empty'), { recursive: true })
  const { code, stdout, stderr } = await start(...args)
  expect(code).toBe(2)
  expect(stdout).toBe('')
  expect(stderr).toMatch(line)
})
