/** Time that passes only while everybody waits, so that what runs at once in the model takes its time side by side. */
export type VirtualTime = {
  wait(ms: number): Promise<void>
  /** Runs them at once, until all have ended. */
  run(lanes: readonly (() => Promise<void>)[]): Promise<void>
}

/** `tick` moves the clock on; `meanwhile` is what others do before the next one wakes. */
export const createVirtualTime = (clock: {
  now(): number
  tick(ms: number): void
  meanwhile(): Promise<void>
}): VirtualTime => {
  const sleeping: { at: number; wake: () => void }[] = []
  let busy = 0
  const rest = async (): Promise<void> => {
    busy -= 1
    if (busy > 0 || sleeping.length === 0) return
    await clock.meanwhile()
    sleeping.sort((a, b) => a.at - b.at)
    const next = sleeping.shift()
    if (!next) return
    busy += 1
    clock.tick(Math.max(0, next.at - clock.now()))
    next.wake()
  }
  const take = async (lane: () => Promise<void>): Promise<void> => {
    try {
      await lane()
    } finally {
      await rest()
    }
  }
  return {
    wait: async (ms) => {
      const { promise, resolve } = Promise.withResolvers<void>()
      sleeping.push({ at: clock.now() + ms, wake: resolve })
      await rest()
      await promise
    },
    run: async (lanes) => {
      busy += lanes.length
      await Promise.all(lanes.map(take))
    },
  }
}
