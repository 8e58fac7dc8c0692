import { availableParallelism, loadavg } from 'node:os'

export const loadOf = (): number => loadavg()[0] ?? 0

/** A core or more that somebody else wants makes figures of wall time worth little. */
export const loadNote = (before: number): string[] =>
  before < availableParallelism() / 2
    ? []
    : [
        `Others used the machine: its load average was ${before.toFixed(1)} before this and ${loadOf().toFixed(1)} after.`,
      ]
