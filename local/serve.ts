/**
 * Serves one of the embedded clouds: `serve.ts SERVICE --dir DIR [--port N] [--events-url URL] [--roles FILE]
 * [--region NAME] [--account ID] [--speed N]`. Prints one line of JSON (service, url, port) when it is ready. Ends on SIGTERM and
 * SIGINT, and when whoever started it goes: its stdin closes.
 */
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import type { RoleTable } from './gcs/principals.ts'

type Options = {
  dir: string
  port?: number
  eventsUrl?: string
  rolesFile?: string
  region?: string
  account?: string
  speed?: number
}
type Served = { url: string; port: number; close(): Promise<void> }

const starters: Record<string, (options: Options) => Promise<Served>> = {
  s3: async (options) => (await import('./s3/server.ts')).startS3(options),
  gcs: async ({ dir, port, rolesFile }) =>
    (await import('./gcs/server.ts')).startGcs({
      dir,
      ...(port !== undefined && { port }),
      ...(rolesFile && { roles: JSON.parse(readFileSync(rolesFile, 'utf8')) as RoleTable }),
    }),
  dynamodb: async (options) => (await import('./dynamodb/server.ts')).startDynamoDb(options),
  sqs: async (options) => (await import('./sqs/server.ts')).startSqs(options),
  bigtable: async (options) => (await import('./bigtable/server.ts')).startBigtable(options),
  cloudwatch: async (options) => (await import('./cloudwatch/server.ts')).startCloudWatch(options),
}

const fail = (message: string): never => {
  process.stderr.write(
    `${message}\nusage: serve.ts ${Object.keys(starters).join('|')} --dir DIR [--port N] [--events-url URL] [--roles FILE] [--region NAME] [--account ID] [--speed N]\n`,
  )
  process.exit(2)
}

const readArguments = (): { service: string; options: Options } => {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      dir: { type: 'string' },
      port: { type: 'string' },
      'events-url': { type: 'string' },
      roles: { type: 'string' },
      region: { type: 'string' },
      account: { type: 'string' },
      speed: { type: 'string' },
    },
  })
  const { dir, port, 'events-url': eventsUrl, roles: rolesFile, region, account, speed } = values
  const [service = ''] = positionals
  if (!starters[service] || positionals.length !== 1) return fail(`no such service: ${positionals.join(' ')}`)
  if (dir === undefined) return fail('--dir is required')
  if (port !== undefined && !/^\d{1,5}$/.test(port)) return fail(`--port is a number, not ${port}`)
  if (speed !== undefined && !(Number(speed) > 0)) return fail(`--speed is a number above 0, not ${speed}`)
  return {
    service,
    options: {
      dir,
      ...(port !== undefined && { port: Number(port) }),
      ...(eventsUrl && { eventsUrl }),
      ...(rolesFile && { rolesFile }),
      ...(region && { region }),
      ...(account && { account }),
      ...(speed !== undefined && { speed: Number(speed) }),
    },
  }
}

const parentGone = async (): Promise<void> => {
  process.stdin.resume()
  await Promise.race([once(process.stdin, 'close'), ...(process.connected ? [once(process, 'disconnect')] : [])])
}

const main = async (): Promise<void> => {
  const { service, options } = readArguments()
  const ended = Promise.race([parentGone(), once(process, 'SIGTERM'), once(process, 'SIGINT')])
  const served = await starters[service]?.(options)
  if (!served) return
  process.stdout.write(`${JSON.stringify({ service, url: served.url, port: served.port })}\n`)
  await ended
  await served.close()
  process.exit(0)
}

await main()
