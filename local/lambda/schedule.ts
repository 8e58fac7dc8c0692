const unitMs: Record<string, number> = { minute: 60_000, hour: 3_600_000, day: 86_400_000 }

/** The period of `rate(N minutes|hours|days)` in ms; throws for any other expression. */
export const everyMs = (expression: string): number => {
  const [, count, unit] = /^rate\((\d+) (minute|hour|day)s?\)$/.exec(expression) ?? []
  if (count === undefined || unit === undefined || Number(count) === 0)
    throw new Error(`the schedule ${expression} does not run here, allowed: rate(N minutes|hours|days)`)
  return Number(count) * (unitMs[unit] ?? 0)
}

/**
 * Calls `run` every `periodMs`, the first time after one period; a tick that comes while the last run still goes is
 * left out. `stop` resolves when no run goes any more.
 */
export const startTicker = (periodMs: number, run: () => Promise<void>): { stop(): Promise<void> } => {
  let going: Promise<void> | undefined
  const timer = setInterval(() => {
    going ??= run().finally(() => {
      going = undefined
    })
  }, periodMs)
  return {
    stop: async () => {
      clearInterval(timer)
      await going
    },
  }
}
