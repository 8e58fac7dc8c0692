import { setTimeout as sleep } from 'node:timers/promises'
import { openApply } from './contestants.ts'
import { batchSizeOf, createSource, type Shape } from './load.ts'
import type { RowsServer } from './servers.ts'

/** Milliseconds: `all` from a change's arrival until it is applied, `applying` from when its batch could be handed over. */
export type Lag = { changes: number; all: { p50: number; p99: number }; applying: { p50: number; p99: number } }

/** As tools/stack-settings.ts has it for every stream. */
const windowMs = 1000

const percentile = (sorted: readonly number[], share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN
const summary = (values: number[]): { p50: number; p99: number } => {
  const sorted = values.toSorted((a, b) => a - b)
  return { p50: percentile(sorted, 0.5), p99: percentile(sorted, 0.99) }
}

/**
 * One shard to which changes come at this rate, whatever becomes of those before: Lambda hands over a batch when it is
 * full or its first change has waited for the window, and the next one when that is applied.
 */
export const measureLag = async (
  server: RowsServer,
  shape: Shape,
  { changesPerSecond, seconds }: { changesPerSecond: number; seconds: number },
): Promise<Lag> => {
  const size = batchSizeOf(shape)
  const total = Math.max(2, Math.round((changesPerSecond * seconds) / size)) * size
  const source = createSource(shape, `lag-${shape.attributes}-${shape.hotShare}`, total)
  const { apply, close } = openApply(server)
  const all: number[] = []
  const applying: number[] = []
  try {
    // The first batch opens the connection.
    await apply(source.next(1)[0] ?? [])
    const records = source.next(total / size).flat()
    const startedAt = performance.now()
    const arrivalOf = (index: number): number => startedAt + (index * 1000) / changesPerSecond
    for (let first = 0; first < total;) {
      const readyAt = Math.min(arrivalOf(Math.min(first + size, total) - 1), arrivalOf(first) + windowMs)
      const waitMs = readyAt - performance.now()
      if (waitMs > 0) await sleep(waitMs)
      const arrived = Math.floor(((performance.now() - startedAt) * changesPerSecond) / 1000) + 1
      const end = Math.max(first + 1, Math.min(first + size, total, arrived))
      await apply(records.slice(first, end))
      const now = performance.now()
      for (let index = first; index < end; index += 1) {
        all.push(now - arrivalOf(index))
        applying.push(now - Math.max(readyAt, arrivalOf(index)))
      }
      first = end
    }
  } finally {
    await close()
  }
  return { changes: total, all: summary(all), applying: summary(applying) }
}
