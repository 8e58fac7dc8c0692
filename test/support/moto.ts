import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'

/** moto as a process, for deployments: it answers CloudFormation and what that makes. */

export type Moto = {
  url: string
  /** Types of resources that it was given and does not make. */
  skippedTypes(): Set<string>
  /** One call of the query protocol, which answers XML. */
  query(service: string, parameters: Record<string, string>): Promise<string>
  /** One call of the JSON protocol. */
  json<T>(service: string, target: string, body?: object): Promise<T>
  stop(): Promise<void>
}

const startedWithinMs = 60_000

export const startMoto = async (program: string, account: string): Promise<Moto> => {
  const child = spawn(program, ['-H', '127.0.0.1', '-p', '0'], {
    env: { ...process.env, MOTO_ACCOUNT_ID: account },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const ended = once(child, 'exit')
  const skipped = new Set<string>()
  const stop = async (): Promise<void> => {
    child.kill('SIGKILL')
    await ended
  }
  const { promise: ready, resolve, reject } = Promise.withResolvers<string>()
  const timer = setTimeout(() => reject(new Error('moto did not start')), startedWithinMs)
  ended.then(() => reject(new Error('moto ended')), reject)
  createInterface(child.stderr).on('line', (line) => {
    const [, url] = /Running on (http:\/\/[\d.:]+)/.exec(line) ?? []
    if (url !== undefined) resolve(url)
    const [, type] = /No Moto CloudFormation support for (\S+)/.exec(line) ?? []
    if (type !== undefined) skipped.add(type)
  })
  const url = await ready.catch(async (error: unknown) => {
    await stop()
    throw error
  })
  clearTimeout(timer)
  const send = async (service: string, headers: Record<string, string>, body: string): Promise<string> => {
    // moto tells services apart by the scope of the signature, which it does not check.
    const authorization = `AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/${service}/aws4_request, SignedHeaders=host, Signature=0`
    const response = await fetch(url, { method: 'POST', headers: { authorization, ...headers }, body })
    const text = await response.text()
    if (!response.ok) throw new Error(`${service} answered ${response.status}: ${text}`)
    return text
  }
  return {
    url,
    skippedTypes: () => skipped,
    query: (service, parameters) =>
      send(
        service,
        { 'content-type': 'application/x-www-form-urlencoded' },
        new URLSearchParams(parameters).toString(),
      ),
    json: async <T>(service: string, target: string, body: object = {}) => {
      const headers = { 'content-type': 'application/x-amz-json-1.1', 'x-amz-target': target }
      return JSON.parse(await send(service, headers, JSON.stringify(body))) as T
    },
    stop,
  }
}
