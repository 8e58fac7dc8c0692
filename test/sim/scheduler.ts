import type { OnStep } from '../../shared/clouds/memory/steps.ts'

export class Killed extends Error {}

/**
 * Lets one call of a port through at a time, chosen by `random`, so that calls running at once interleave in every way
 * and the same seed gives the same order. At `crashRate` a call dies there, before the step or after it with its reply lost.
 */
export const createScheduler = (random: () => number) => {
  let waiting: { go(): void; die(error: Error): void; step: string }[] = []
  let crashRate = 0
  let isOn = false
  let steps = 0
  const onStep: OnStep = (step, when) => {
    if (!isOn) return undefined
    if (when === 'after') {
      if (random() < crashRate) throw new Killed(`after ${step}`)
      return undefined
    }
    return new Promise((resolve, reject) => waiting.push({ go: resolve, die: reject, step }))
  }
  /** Runs the calls at once until all are settled; answers how many died. */
  const run = async (calls: readonly (() => Promise<unknown>)[], rate: number): Promise<number> => {
    isOn = true
    crashRate = rate
    const outcome: { results?: PromiseSettledResult<unknown>[] } = {}
    void Promise.allSettled(calls.map(async (call) => call())).then((results) => Object.assign(outcome, { results }))
    for (let idle = 0; !outcome.results;) {
      for (let turn = 0; turn < 8; turn += 1) await Promise.resolve()
      const [one] = waiting.splice(Math.floor(random() * waiting.length), 1)
      if (!one) {
        idle += 1
        if (idle > 10_000) throw new Error('calls hang that wait for no port')
        if (idle > 50) await new Promise((resolve) => setImmediate(resolve))
        continue
      }
      idle = 0
      steps += 1
      if (random() < crashRate) one.die(new Killed(`before ${one.step}`))
      else one.go()
    }
    isOn = false
    waiting = []
    for (const result of outcome.results)
      if (result.status === 'rejected' && !(result.reason instanceof Killed)) throw result.reason
    return outcome.results.filter(({ status }) => status === 'rejected').length
  }
  return { onStep, run, steps: () => steps }
}
