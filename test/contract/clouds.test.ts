import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CreateQueueCommand, GetQueueUrlCommand, SQSClient } from '@aws-sdk/client-sqs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Clouds, services, startClouds } from '../../local/clouds.ts'
import { type Exit, startService } from '../../local/service-process.ts'
import { awsOptions } from '../support/contract-target.ts'

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

const isHealthy = async (url: string): Promise<boolean> => {
  try {
    return (await fetch(`${url}/_lifeboat/health`)).ok
  } catch {
    return false
  }
}

describe('the embedded clouds', () => {
  const dir = mkdtempSync(join(tmpdir(), 'lifeboat-clouds-'))
  const exits: [string, Exit][] = []
  const messages: string[] = []
  let clouds: Clouds
  beforeAll(async () => {
    clouds = await startClouds({
      dir,
      log: (message) => messages.push(message),
      onExit: (service, exit) => exits.push([service, exit]),
    })
  })
  afterAll(async () => {
    await clouds.stop()
    rmSync(dir, { recursive: true })
  })

  it('serve, each on a port and in a process of its own', async () => {
    expect(new Set(Object.values(clouds.endpoints)).size).toBe(6)
    expect(new Set(Object.values(clouds.pids)).size).toBe(6)
    expect(await Promise.all(services.map((service) => isHealthy(clouds.endpoints[service])))).toEqual([
      true,
      true,
      true,
      true,
      true,
      true,
    ])
    expect(messages).toHaveLength(6)
  })

  it('come back at the same place, with what they had', async () => {
    const sqs = new SQSClient(awsOptions(clouds.endpoints.sqs))
    const { QueueUrl: url } = await sqs.send(new CreateQueueCommand({ QueueName: 'kept' }))
    const before = clouds.pids.sqs
    await clouds.kill('sqs')
    expect([isAlive(before), await isHealthy(clouds.endpoints.sqs)]).toEqual([false, false])
    await clouds.restart('sqs')
    expect(clouds.pids.sqs).not.toBe(before)
    expect((await sqs.send(new GetQueueUrlCommand({ QueueName: 'kept' }))).QueueUrl).toBe(url)
    expect(exits).toEqual([])
    sqs.destroy()
  })

  it('tell of one that ends by itself', async () => {
    process.kill(clouds.pids.dynamodb, 'SIGKILL')
    await expect.poll(() => exits.map(([service, exit]) => [service, exit.signal])).toEqual([['dynamodb', 'SIGKILL']])
    await clouds.restart('dynamodb')
    expect(await isHealthy(clouds.endpoints.dynamodb)).toBe(true)
  })

  it('end when they are told to', async () => {
    const pids = Object.values(clouds.pids)
    await clouds.stop()
    expect(pids.filter(isAlive)).toEqual([])
  })
})

describe('a service', () => {
  const dir = mkdtempSync(join(tmpdir(), 'lifeboat-service-'))
  afterAll(() => rmSync(dir, { recursive: true }))

  it('that does not come up is an error with its log', async () => {
    const first = await startService({ service: 'sqs', dir: join(dir, 'a'), logFile: join(dir, 'a.log') })
    const taken = startService({ service: 'sqs', dir: join(dir, 'b'), logFile: join(dir, 'b.log'), port: first.port })
    await expect(taken).rejects.toThrow(/EADDRINUSE/)
    expect(readFileSync(join(dir, 'b.log'), 'utf8')).toContain('EADDRINUSE')
    await first.stop()
  })

  it('ends when whoever started it is killed', async () => {
    const script = `
      import { startService } from ${JSON.stringify(new URL('../../local/service-process.ts', import.meta.url).href)}
      const service = await startService({ service: 'dynamodb', dir: ${JSON.stringify(join(dir, 'c'))}, logFile: ${JSON.stringify(join(dir, 'c.log'))} })
      console.log(service.pid)
      setInterval(() => undefined, 1000)`
    const parent = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const [line] = (await once(parent.stdout, 'data')) as [Buffer]
    const pid = Number(String(line))
    expect(isAlive(pid)).toBe(true)
    const ended = once(parent, 'exit')
    parent.kill('SIGKILL')
    await ended
    await expect.poll(() => isAlive(pid), { timeout: 5000 }).toBe(false)
  })
})
