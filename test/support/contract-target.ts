import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeEach } from 'vitest'
import { findTool } from './tools.ts'

export type Running = { url: string; close(): Promise<void> }
/** A server that a contract suite runs on. `bugs` are the titles of the tests that its own defects fail. */
export type Target = { name: string; start(): Promise<Running>; bugs?: readonly string[] }

/** In a suite on this target, expects a test that meets one of its bugs to fail, and every bug to have its test. */
export const expectBugs = (target: Target): void => {
  const bugs = new Set(target.bugs)
  const titles = new Set<string>()
  beforeEach(({ task }) => {
    titles.add(task.name)
    // What `it.fails` sets, from here so that the suite reads the same on every target.
    if (bugs.has(task.name)) Object.assign(task, { fails: true })
  })
  afterAll(() => {
    const unknown = [...bugs].filter((bug) => !titles.has(bug))
    if (unknown.length > 0) throw new Error(`bugs of ${target.name} that no test is named for: ${unknown.join('; ')}`)
  })
}

/** A server over a folder of its own in the system's place for temporary files, removed when it is closed. */
export const inFolder = async <R extends Running>(start: (dir: string) => Promise<R>): Promise<R> => {
  const dir = mkdtempSync(join(tmpdir(), 'lifeboat-contract-'))
  const running = await start(dir)
  return {
    ...running,
    close: async () => {
      await running.close()
      rmSync(dir, { recursive: true })
    },
  }
}

const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

const answers = async (url: string): Promise<boolean> => {
  try {
    return (await fetch(`${url}/moto-api/data.json`)).ok
  } catch {
    return false
  }
}

/** moto where this machine has it, as a list to spread among the targets. */
export const motoTargets = (bugs: readonly string[]): Target[] => {
  const tool = findTool('moto_server')
  if (!tool) return []
  const start = async (): Promise<Running> => {
    const port = await freePort()
    const child = spawn(tool, ['-H', '127.0.0.1', '-p', String(port)], { stdio: 'ignore' })
    const ended = once(child, 'exit')
    const url = `http://127.0.0.1:${port}`
    const deadline = Date.now() + 45_000
    while (!(await answers(url))) {
      if (child.exitCode !== null || Date.now() > deadline) throw new Error('moto_server did not come up')
      await new Promise((resolve) => setTimeout(resolve, 200))
    }
    return {
      url,
      close: async () => {
        child.kill('SIGKILL')
        await ended
      },
    }
  }
  return [{ name: 'moto', start, bugs }]
}

/** What the AWS clients are made with to speak to an embedded cloud: no retries, so that a test sees every answer. */
export const awsOptions = (endpoint: string) => ({
  endpoint,
  region: 'us-east-1',
  credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
  maxAttempts: 1,
})
