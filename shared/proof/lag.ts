/** How old the oldest change is that is not in the replica, from what several places say about it. */

/** What one place says; an age that cannot be told is a reason, never 0. */
export type Reading = { ageSeconds: number } | { unknown: string }

/** null: unknown, with every reason. It counts as a breach. */
export type Lag = { lagSeconds: number | null; unknown: string[] }

/** Clocks differ: what lies in the future is 0 seconds old. */
export const ageSeconds = (atMs: number, nowMs: number): number => Math.max(0, (nowMs - atMs) / 1000)

/** One reading that cannot be told makes the lag unknown, however small the others are. */
export const worstOf = (readings: readonly Reading[]): Lag => {
  const unknown = readings.flatMap((reading) => ('unknown' in reading ? [reading.unknown] : []))
  if (unknown.length > 0) return { lagSeconds: null, unknown }
  if (readings.length === 0) return { lagSeconds: null, unknown: ['nothing was measured'] }
  return {
    lagSeconds: readings.reduce(
      (worst, reading) => Math.max(worst, 'ageSeconds' in reading ? reading.ageSeconds : 0),
      0,
    ),
    unknown: [],
  }
}

/** What earlier measurements saw of a queue. */
export type QueueSeen = {
  /** When it was last seen empty: what is in it came later. */
  emptyAt?: number | undefined
  /** Since then messages were seen in it that were delayed, so that went on as new ones, with a new age (sqs-batch.ts). */
  resent?: boolean | undefined
}

export const seeQueue = (seen: QueueSeen, count: { messages: number; delayed: number }, nowMs: number): QueueSeen => {
  if (count.messages === 0) return { emptyAt: nowMs }
  return count.delayed > 0 ? { ...seen, resent: true } : seen
}

/**
 * The age of the oldest message of a queue. CloudWatch says it minutes late, and says the age of a copy where a message went
 * on as a new one; since the queue was empty nothing in it can be older than that. `gaugeSeconds` is CloudWatch's.
 */
export const queueReading = (queue: {
  name: string
  messages: number
  seen: QueueSeen
  gaugeSeconds: number | undefined
  nowMs: number
}): Reading => {
  const { name, messages, seen, nowMs } = queue
  if (messages === 0) return { ageSeconds: 0 }
  const gauge = seen.resent ? undefined : queue.gaugeSeconds
  const bounds = [gauge, seen.emptyAt === undefined ? undefined : ageSeconds(seen.emptyAt, nowMs)]
  const known = bounds.filter((bound) => bound !== undefined)
  if (known.length > 0) return { ageSeconds: Math.max(0, Math.min(...known)) }
  return { unknown: `queue ${name} holds ${messages} messages, and nothing says for how long` }
}
