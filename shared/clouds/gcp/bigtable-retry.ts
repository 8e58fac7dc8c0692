import { setTimeout as sleep } from 'node:timers/promises'
import { isRetryable } from '../../errors.ts'

/** `retriesMax` tries after the first; the wait between them doubles from `waitMs`, half of it by chance. */
export type RetryOptions = { retriesMax: number; waitMs: number }

export const waitBeforeRetry = (attempt: number, { waitMs }: RetryOptions): Promise<void> =>
  sleep(waitMs * 2 ** attempt * (0.5 + Math.random() / 2))

/** Repeats what may be repeated, while a repeat can help. */
export const withRetries = async <T>(work: () => Promise<T>, options: RetryOptions): Promise<T> => {
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await work()
    } catch (error) {
      if (!isRetryable(error) || attempt >= options.retriesMax) throw error
      await waitBeforeRetry(attempt, options)
    }
  }
}
