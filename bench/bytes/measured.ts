import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'

/** Runs another program and says what it took: time, the CPU of all its processes, the most memory that one of them held. */

/** `rssMaxBytes` is absent where there is no /proc. */
export type Cost = { seconds: number; cpuSeconds: number; rssMaxBytes?: number }
export type Run = Cost & { stdout: string }

const pollMs = 5

/** `times` of a POSIX shell, its second line: what the shell's ended children took, user and system. */
const childSeconds = (text: string): number => {
  const line = text.trim().split('\n').at(-1) ?? ''
  const found = [...line.matchAll(/(\d+)m([\d.]+)s/g)]
  if (found.length !== 2) throw new Error(`the shell's times are ${JSON.stringify(line)}`)
  return found.reduce((sum, [, minutes, seconds]) => sum + Number(minutes) * 60 + Number(seconds), 0)
}

const read = (path: string): string => {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

/** Largest resident set so far of any process below `pid`, as the kernel counts it; 0 where it cannot be read. */
const peakBelow = (pid: number): number => {
  const children = read(`/proc/${pid}/task/${pid}/children`).split(' ').map(Number).filter(Boolean)
  return children.reduce((most, child) => {
    const kibibytes = Number(/^VmHWM:\s+(\d+) kB/m.exec(read(`/proc/${child}/status`))?.[1] ?? 0)
    return Math.max(most, kibibytes * 1024, peakBelow(child))
  }, 0)
}

/** Throws, with what it said, where the program fails. `env` is all that it is given beside PATH. */
export const runMeasured = async (
  command: readonly string[],
  options: { cwd?: string; env?: Record<string, string> } = {},
): Promise<Run> => {
  const startedAt = performance.now()
  // The shell stays, to say at the end what its child took; the descriptor is its own.
  const child = spawn('/bin/sh', ['-c', '"$@" 3>&-; code=$?; times >&3; exit $code', 'sh', ...command], {
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    env: { PATH: process.env['PATH'] ?? '', ...options.env },
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
  })
  const texts = ['', '', '']
  for (const [index, stream] of child.stdio.slice(1).entries())
    if (stream) stream.on('data', (part: Buffer) => (texts[index] += part.toString()))
  let peak = 0
  const timer = setInterval(() => (peak = Math.max(peak, peakBelow(child.pid ?? 0))), pollMs)
  const [code] = (await once(child, 'close').finally(() => clearInterval(timer))) as [number | null]
  const seconds = (performance.now() - startedAt) / 1000
  const [stdout = '', stderr = '', times = ''] = texts
  if (code !== 0) throw new Error(`${command[0]} ended with ${code}: ${stderr.slice(-2000)}`)
  return { seconds, cpuSeconds: childSeconds(times), ...(peak > 0 ? { rssMaxBytes: peak } : {}), stdout }
}
