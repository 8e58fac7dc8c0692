import { spawn, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { ADMIN, KIB, md5 } from '../support/gcs.ts'

const kill = async (child: ChildProcess): Promise<void> => {
  const gone = once(child, 'exit')
  child.kill('SIGKILL')
  await gone
}

describe('a kill', () => {
  const script = `
    import { startGcs } from ${JSON.stringify(new URL('../../local/gcs/server.ts', import.meta.url).href)}
    const gcs = await startGcs({ dir: process.argv[1] })
    console.log(gcs.url)
  `
  const spawnServer = async (folder: string): Promise<{ url: string; child: ChildProcess }> => {
    const args = ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', script, folder]
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    const [line] = (await once(child.stdout, 'data')) as [Buffer]
    return { url: String(line).trim(), child }
  }
  it('loses no acknowledged object and leaves no orphan', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'lifeboat-gcs-kill-'))
    const first = await spawnServer(folder)
    const headers = { authorization: `Bearer ${ADMIN}` }
    await fetch(`${first.url}/storage/v1/b`, { method: 'POST', body: '{"name":"bkt"}', headers })
    const acknowledged = new Map<string, string>()
    let next = 0
    let killed: Promise<void> | undefined
    const writer = async (): Promise<void> => {
      while (!killed) {
        const name = `o/${(next += 1)}`
        const body = randomBytes(next % 5 === 0 ? 400 * KIB : 3 * KIB)
        const answer = await fetch(`${first.url}/upload/storage/v1/b/bkt/o?uploadType=media&name=${name}`, {
          method: 'POST',
          body,
          headers,
        }).catch(() => undefined)
        if (answer?.status === 200) acknowledged.set(name, md5(body))
        if (acknowledged.size >= 150) killed ??= kill(first.child)
      }
    }
    await Promise.all(Array.from({ length: 8 }, writer))
    await killed
    const second = await spawnServer(folder)
    for (const [name, digest] of acknowledged) {
      const answer = await fetch(`${second.url}/storage/v1/b/bkt/o/${encodeURIComponent(name)}?alt=media`, { headers })
      expect(md5(Buffer.from(await answer.arrayBuffer()))).toBe(digest)
    }
    const listed = (await (await fetch(`${second.url}/storage/v1/b/bkt/o`, { headers })).json()) as { items: unknown[] }
    expect(listed.items.length).toBeGreaterThanOrEqual(acknowledged.size)
    expect(readdirSync(join(folder, 'bodies'))).toHaveLength(listed.items.length)
    await kill(second.child)
    rmSync(folder, { recursive: true })
  })
})
