import { randomUUID } from 'node:crypto'
import { type Instance, type Outcome, startInstance } from './instance.ts'
import type { FunctionSpec, Stack } from './stack.ts'

export type PoolStats = {
  invocations: number
  errors: number
  timeouts: number
  /** Running and waiting for an instance. */
  inFlight: number
  instances: number
  pids: number[]
  rssMaxBytes: number
}
export type Pool = {
  spec: FunctionSpec
  /**
   * Waits for a free instance; a failed invocation is an outcome, not an exception. One `byHand` does not wait: no queue of
   * work stands before it, as none does in an account with concurrency to spare.
   */
  invoke(payload: unknown, byHand?: boolean): Promise<Outcome>
  stats(): PoolStats
  /** SIGKILLs every instance; the next invocation starts a new one. */
  kill(): Promise<void>
}

const pidsOf = (instances: Iterable<Instance>): number[] => Array.from(instances, ({ pid }) => pid)

export type PoolOptions = {
  stack: Stack
  spec: FunctionSpec
  folder: string
  instancesMax: number
  idleMs: number
  onLine: (line: string) => void
  onDone?: (outcome: Outcome, durationMs: number) => void
}

/** The instances of one function: started when needed, used again, ended after `idleMs` without work. */
export const createPool = (options: PoolOptions): Pool => {
  const { spec, instancesMax, idleMs, onDone } = options
  const all = new Set<Instance>()
  const idle: Instance[] = []
  const reapers = new Map<Instance, NodeJS.Timeout>()
  const waiting: (() => void)[] = []
  let busy = 0
  let rssMaxBytes = 0
  const counts = { invocations: 0, errors: 0, timeouts: 0 }

  const remember = (instance: Instance): void => {
    rssMaxBytes = Math.max(rssMaxBytes, instance.rssMaxBytes())
  }
  const forget = async (instance: Instance): Promise<void> => {
    await instance.exited
    remember(instance)
    all.delete(instance)
    clearTimeout(reapers.get(instance))
    reapers.delete(instance)
    const index = idle.indexOf(instance)
    if (index >= 0) idle.splice(index, 1)
  }
  const start = (): Instance => {
    const instance = startInstance(options)
    all.add(instance)
    void forget(instance)
    return instance
  }
  const take = async (byHand: boolean): Promise<Instance> => {
    if (byHand || busy < instancesMax) busy += 1
    else await new Promise<void>((resolve) => waiting.push(resolve))
    for (let instance = idle.pop(); instance; instance = idle.pop()) {
      clearTimeout(reapers.get(instance))
      if (instance.alive()) return instance
    }
    return start()
  }
  const giveBack = (instance: Instance): void => {
    remember(instance)
    if (instance.alive()) {
      idle.push(instance)
      reapers.set(instance, setTimeout(instance.kill, idleMs).unref())
    }
    // The place goes to whoever waits longest; without anyone, or where it was one too many, it is free.
    const next = busy <= instancesMax ? waiting.shift() : undefined
    if (next) next()
    else busy -= 1
  }
  return {
    spec,
    invoke: async (payload, byHand = false) => {
      counts.invocations += 1
      const instance = await take(byHand)
      const begunAt = performance.now()
      try {
        const outcome = await instance.invoke({
          requestId: randomUUID(),
          arn: spec.arn,
          payload: JSON.stringify(payload ?? null),
        })
        if (!outcome.ok) counts.errors += 1
        if (!outcome.ok && outcome.timedOut) counts.timeouts += 1
        onDone?.(outcome, performance.now() - begunAt)
        return outcome
      } finally {
        giveBack(instance)
      }
    },
    stats: () => ({ ...counts, inFlight: busy + waiting.length, instances: all.size, pids: pidsOf(all), rssMaxBytes }),
    kill: async () => {
      const killed = [...all]
      for (const instance of killed) instance.kill()
      await Promise.all(killed.map((instance) => instance.exited))
    },
  }
}
