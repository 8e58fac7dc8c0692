import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openBigtableRows } from '../../cli/open-rows.ts'
import { type BigtableServer, startBigtable } from '../../local/bigtable/server.ts'
import { createReplicaTables } from '../../local/replica-rows.ts'
import { createBigtableRowStore } from '../../shared/clouds/gcp/row-store.ts'
import { parseConfig } from '../../shared/config.ts'
import { applyPuts, inOrder, jsonOf, keysOf, rowsConfig, S, story, user } from '../support/cli-rows.ts'
import { runCli } from '../support/cli.ts'

const bin = fileURLToPath(new URL('../../cli/lifeboat.mjs', import.meta.url))

describe('lifeboat rows over the embedded Bigtable', () => {
  // The history is collected by its age: the story happens a few days ago.
  const shiftMs = Math.floor((Date.now() - 5 * 86_400_000 - Date.parse('2026-05-01T10:00:00Z')) / 1000) * 1000
  const shifted = (time: string): string => new Date(Date.parse(time) + shiftMs).toISOString()
  let dir: string
  let server: BigtableServer
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'lifeboat-cli-bigtable-'))
    await writeFile(join(dir, 'lifeboat.yml'), JSON.stringify(rowsConfig))
    server = await startBigtable({ dir })
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
    await rm(dir, { recursive: true, force: true })
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
