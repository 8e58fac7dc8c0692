import type { Outcome } from './instance.ts'

/**
 * Which of a batch failed, as Lambda reads a function's answer: an error fails all; with ReportBatchItemFailures, no or
 * an empty list fails none, and an entry that is not the id of a record fails all.
 */
export const failedOf = (outcome: Outcome, ids: readonly string[], partialFailures: boolean): Set<string> => {
  if (!outcome.ok) return new Set(ids)
  if (!partialFailures) return new Set()
  const answer = JSON.parse(outcome.payload) as unknown
  if (answer === null || typeof answer !== 'object') return answer === null ? new Set() : new Set(ids)
  const failures: unknown = (answer as Record<string, unknown>)['batchItemFailures'] ?? []
  if (!Array.isArray(failures)) return new Set(ids)
  const named = failures.map((failure: unknown) => (failure as { itemIdentifier?: unknown } | null)?.itemIdentifier)
  const known = named.every((id) => typeof id === 'string' && ids.includes(id))
  return new Set(known ? (named as string[]) : ids)
}
