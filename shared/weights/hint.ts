import { isRetryable } from '../errors.ts'
import type { Telemetry } from '../ports.ts'

/**
 * What `work` answers, or undefined with a warning where it cannot be had: what only saves bytes (a parent, an identical
 * object) keeps no version waiting. A writer that may not list is denied what is missing. What a retry can mend is thrown.
 */
export const asHint = async <T>(
  deps: { telemetry: Telemetry },
  what: string,
  work: () => Promise<T | undefined>,
): Promise<T | undefined> => {
  try {
    return await work()
  } catch (error) {
    if (isRetryable(error)) throw error
    deps.telemetry.log('warn', `${what}: ${error instanceof Error ? error.message : String(error)}`)
    return undefined
  }
}
