import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

export type Service = 's3' | 'gcs' | 'dynamodb' | 'sqs' | 'bigtable' | 'cloudwatch'
/** How a service ended: an exit code or a signal, and the end of its log. */
export type Exit = { code: number | null; signal: NodeJS.Signals | null; log: string }
export type ServiceProcess = {
  url: string
  port: number
  pid: number
  /** SIGKILL, and waits for the end. */
  kill(): Promise<void>
  /** Asks it to end, and kills it where it does not. */
  stop(): Promise<void>
}

const entry = fileURLToPath(new URL('serve.ts', import.meta.url))
const readyTimeoutMs = 20_000
const stopTimeoutMs = 5000
const logTailCharacters = 4000

const within = async <T>(promise: Promise<T>, timeoutMs: number): Promise<T | 'late'> => {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<'late'>((resolve) => {
    timer = setTimeout(() => resolve('late'), timeoutMs)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

const firstLine = async (child: ChildProcess): Promise<string | undefined> => {
  if (!child.stdout) throw new Error('a service without a stdout')
  for await (const line of createInterface(child.stdout)) return line
  return undefined
}

/**
 * Starts a service as a process of its own over what is in `dir`, its stderr appended to `logFile`, and waits until it
 * serves. `onExit` is called when it ends without having been told to.
 */
export const startService = async (options: {
  service: Service
  dir: string
  logFile: string
  port?: number
  eventsUrl?: string
  rolesFile?: string
  region?: string
  account?: string
  speed?: number
  onExit?: (exit: Exit) => void
}): Promise<ServiceProcess> => {
  const { service, dir, logFile, port, eventsUrl, rolesFile, region, account, speed, onExit } = options
  mkdirSync(dirname(logFile), { recursive: true })
  const log = openSync(logFile, 'a')
  const flags = [
    ...(port === undefined ? [] : ['--port', String(port)]),
    ...(eventsUrl ? ['--events-url', eventsUrl] : []),
    ...(rolesFile ? ['--roles', rolesFile] : []),
    ...(region ? ['--region', region] : []),
    ...(account ? ['--account', account] : []),
    ...(speed === undefined ? [] : ['--speed', String(speed)]),
  ]
  const command = ['--disable-warning=ExperimentalWarning', entry, service, '--dir', dir, ...flags]
  const child = spawn(process.execPath, command, { stdio: ['pipe', 'pipe', log] })
  closeSync(log)
  const logTail = (): string => readFileSync(logFile, 'utf8').slice(-logTailCharacters)
  let expected = false
  const watch = async (): Promise<void> => {
    const [code, signal] = (await once(child, 'exit')) as [Exit['code'], Exit['signal']]
    if (!expected) onExit?.({ code, signal, log: logTail() })
  }
  const ended = watch()
  const kill = async (): Promise<void> => {
    expected = true
    child.kill('SIGKILL')
    await ended
  }
  const line = await within(firstLine(child), readyTimeoutMs)
  if (line === undefined || line === 'late' || child.pid === undefined) {
    await kill()
    throw new Error(`${service} was not ready within ${readyTimeoutMs} ms; the end of ${logFile}:\n${logTail()}`)
  }
  // Nothing more is expected there, but a full pipe would block the service.
  child.stdout?.resume()
  const ready = JSON.parse(line) as { url: string; port: number }
  return {
    url: ready.url,
    port: ready.port,
    pid: child.pid,
    kill,
    stop: async () => {
      expected = true
      child.stdin?.end()
      if ((await within(ended, stopTimeoutMs)) === 'late') await kill()
    },
  }
}
