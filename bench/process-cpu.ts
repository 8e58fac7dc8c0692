import { readFileSync } from 'node:fs'
import type { LocalStack } from '../local/stack.ts'

/** CPU seconds of other processes, on systems with /proc; undefined elsewhere and for a process that is gone. */

export type CpuUse = Record<string, number>

/** USER_HZ, which is 100 on every Linux that Node supports: proc_pid_stat(5). */
const ticksPerSecond = 100

const read = (path: string): string | undefined => {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

/** User and system time of all threads. */
const cpuSecondsOf = (pid: number): number | undefined => {
  const stat = read(`/proc/${pid}/stat`)
  // The name in parentheses may hold blanks; user and system time are the 12th and 13th fields after it.
  const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ')
  return fields && (Number(fields[11]) + Number(fields[12])) / ticksPerSecond
}

/** The processes that `pid` started, each with its environment variable `name`. */
const childrenOf = (pid: number, name: string): { pid: number; value: string }[] =>
  (read(`/proc/${pid}/task/${pid}/children`) ?? '')
    .split(' ')
    .filter((text) => text !== '')
    .map((text) => {
      const variables = (read(`/proc/${text}/environ`) ?? '').split('\0')
      const found = variables.find((variable) => variable.startsWith(`${name}=`))
      return { pid: Number(text), value: found?.slice(name.length + 1) ?? '' }
    })

/** CPU seconds so far by what used them: each cloud, the runner, the instances of each function; empty without /proc. */
export const cpuNow = (stack: LocalStack): CpuUse => {
  if (cpuSecondsOf(process.pid) === undefined) return {}
  const processes = [
    ...childrenOf(stack.runner().pid, 'AWS_LAMBDA_FUNCTION_NAME').map(({ pid, value }) => ({
      pid,
      name: value.replace('lifeboat-local-', ''),
    })),
    ...Object.entries(stack.clouds.pids).map(([service, pid]) => ({ pid, name: `embedded ${service}` })),
    { pid: stack.runner().pid, name: 'runner of the functions' },
  ]
  const used: CpuUse = {}
  for (const { pid, name } of processes) used[name] = (used[name] ?? 0) + (cpuSecondsOf(pid) ?? 0)
  return used
}

export const cpuBetween = (before: CpuUse, after: CpuUse): CpuUse =>
  Object.fromEntries(Object.entries(after).map(([name, used]) => [name, used - (before[name] ?? 0)]))
