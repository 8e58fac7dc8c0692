import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createBigtableRowStore } from '../../shared/clouds/gcp/row-store.ts'
import { decodeCells } from '../../shared/features/cells.ts'
import type { Item } from '../../shared/features/item.ts'
import { encodeRowKey } from '../../shared/features/row-key.ts'
import { until } from '../support/stack.ts'
import { findTool } from '../support/tools.ts'

/** `npm start -- --keep` as somebody uses it who copies what it prints into another terminal. */

const root = fileURLToPath(new URL('../..', import.meta.url))
const tools = ['npm', 'npx', 'aws', 'gcloud'].map((name) => findTool(name))
const startTimeoutMs = 120_000

/** Nor is what their width makes of the columns compared. */
const withoutAges = (text: string): string => text.replaceAll(/ +(\d\S* )+ago/g, '').replaceAll(/ +/g, ' ')

const alive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

describe.skipIf(tools.includes(undefined))('npm start -- --keep', { timeout: 180_000 }, () => {
  const dir = mkdtempSync(join(tmpdir(), 'lifeboat-keep-'))
  const file = join(dir, 'weights.bin')
  const body = randomBytes(12 * 2 ** 20)
  let child: ChildProcess
  let ended: Promise<unknown>
  let printed = ''
  const lineWith = (begin: string): string => {
    const line = printed.split('\n').find((candidate) => candidate.startsWith(begin))
    if (line === undefined) throw new Error(`no line begins with "${begin}" in:\n${printed}`)
    return line
  }

  beforeAll(async () => {
    writeFileSync(file, body)
    mkdirSync(join(dir, 'small-model'))
    writeFileSync(join(dir, 'small-model', 'config.json'), '{"model_type":"llama"}')
    writeFileSync(join(dir, 'small-model', 'weights.bin'), randomBytes(100_000))
    // A group of its own, so that an interrupt reaches all of it as one from a terminal does.
    child = spawn('npm', ['start', '--', '--keep', '--model', join(dir, 'small-model')], {
      cwd: root,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    ended = once(child, 'exit')
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (part) => (printed += String(part)))
    await until(
      async () => printed.includes('logs and data: '),
      async () => printed,
      startTimeoutMs,
    )
  }, startTimeoutMs + 10_000)
  afterAll(async () => {
    if (child.exitCode === null && child.signalCode === null && child.pid !== undefined) {
      process.kill(-child.pid, 'SIGINT')
      await ended
    }
    rmSync(dir, { recursive: true, force: true })
  })

  /** Runs a line in a shell that has the printed `export` lines and nothing else of this machine's clouds. */
  const shell = async (line: string): Promise<string> => {
    const exports = printed.split('\n').filter((candidate) => candidate.startsWith('export '))
    const { stdout } = await promisify(execFile)('sh', ['-c', [...exports, line].join('\n')], {
      cwd: root,
      env: { PATH: process.env['PATH'], HOME: dir },
      maxBuffer: 64 * 2 ** 20,
    })
    return stdout
  }
  const replicaItem = async (pk: string, sk: number): Promise<Item | undefined> => {
    const endpoint = lineWith('export BIGTABLE_ENDPOINT=').split('=')[1]!
    const rows = createBigtableRowStore({
      projectId: 'lifeboat-local',
      instanceId: 'lifeboat-rows',
      endpoint,
      token: 'lifeboat-restorer',
    })
    try {
      const [row] = await rows.read('features', [encodeRowKey({ partition: { S: pk }, sort: { N: String(sk) } })])
      return row && decodeCells(row.cells)
    } finally {
      await rows.close()
    }
  }
  const asPrinted = (begin: string): string =>
    lineWith(begin)
      .replace('cp FILE', `cp ${file}`)
      .replaceAll('/FILE', '/weights.bin')
      .replace('DIR', join(dir, 'restored'))

  test('the smoke test of a deployment passes', async () => {
    const smoke = await shell(
      'LIFEBOAT_TEST_CLOUD=yes LIFEBOAT_TEST_CLOUD_PARTITION=x npm run --silent test:cloud 2>&1',
    )
    expect(smoke).toMatch(/2 passed/)
    await until(
      async () => /lifeboat-smoke-\S+ .*deleted in the source/.test(await shell('npx lifeboat ls s3://models/')),
      'the removal of what the smoke test put',
    )
  })

  test('what aws uploads is protected, seen by gcloud, and restored with AWS killed', async () => {
    expect(await shell('npx lifeboat ls')).toMatch(/^small-model +v1 +protected/m)
    await shell(asPrinted('aws s3 cp'))
    await shell(asPrinted('aws dynamodb put-item'))
    expect(lineWith('npx lifeboat rows get')).toBe("npx lifeboat rows get features 'pk=my-item,sk=1'")
    await until(
      async () => (await replicaItem('my-item', 1))?.['score'] !== undefined,
      'the item of put-item in Bigtable',
    )
    expect((await replicaItem('my-item', 1))?.['score']).toEqual({ N: '0.12345678901234567890123456789012345678' })
    const listed = await until(
      async () => {
        const text = await shell('npx lifeboat ls s3://models/')
        return /^my-model\/v1\/weights\.bin +\S+ +protected +12\.0 MiB/m.test(text) && text
      },
      () => shell('npx lifeboat ls s3://models/; npx lifeboat ls --failed'),
      60_000,
    )
    expect(listed).not.toContain('pending')
    expect(await shell(asPrinted('gcloud storage ls'))).toMatch(
      /^gs:\/\/replica\/objects\/models\/my-model\/v1\/weights\.bin\/[^/]+\.[0-9a-f]{16}\.json$/m,
    )

    await shell(lineWith('kill -9 '))
    await expect(shell('aws s3 ls s3://models/ --cli-connect-timeout 2 --cli-read-timeout 2')).rejects.toThrow(
      /connect/i,
    )
    expect(withoutAges(await shell('npx lifeboat ls s3://models/'))).toBe(withoutAges(listed))
    await shell(asPrinted('npx lifeboat restore'))
    expect(readFileSync(join(dir, 'restored', 'weights.bin')).equals(body)).toBe(true)
  })

  test('an interrupt ends every process and removes the folder', async () => {
    const data = lineWith('logs and data: ').replace('logs and data: ', '')
    const pids = Array.from(lineWith('processes: ').matchAll(/(?<= )\d+/g), ([pid]) => Number(pid))
    expect(existsSync(data)).toBe(true)
    expect(pids).toHaveLength(6)
    process.kill(-child.pid!, 'SIGINT')
    await ended
    await sleep(200)
    expect(pids.filter(alive)).toEqual([])
    expect(existsSync(data)).toBe(false)
  })
})
