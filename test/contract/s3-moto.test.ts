import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { describe } from 'vitest'
import { findTool } from '../support/tools.ts'
import { s3Contract } from './s3-contract.ts'
import { clientOf } from './s3-support.ts'

const moto = findTool('moto_server')

const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

const startMoto = async () => {
  const port = await freePort()
  const child = spawn(moto!, ['-H', '127.0.0.1', '-p', String(port)], { stdio: 'ignore' })
  const endpoint = `http://127.0.0.1:${port}`
  for (let tries = 0; ; tries += 1) {
    const up = await fetch(endpoint).then(
      () => true,
      () => false,
    )
    if (up) break
    if (tries > 300 || child.exitCode !== null) throw new Error('moto_server does not answer')
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  const client = clientOf(endpoint, { maxAttempts: 1 })
  const stop = async (): Promise<void> => {
    client.destroy()
    const gone = once(child, 'exit')
    child.kill('SIGTERM')
    await gone
  }
  return { client, stop }
}

/** Where moto 5.2.1 differs from S3; each is checked to differ still. */
const knownBugs: Record<string, string> = {}

describe.skipIf(!moto)('deep tier', { timeout: 60_000 }, () => s3Contract('moto', startMoto, { knownBugs }))
