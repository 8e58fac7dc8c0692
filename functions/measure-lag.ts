import type { Context } from 'aws-lambda'
import { measureLag } from '../shared/proof/measure-lag.ts'
import { wireLag } from '../shared/wiring-lag.ts'

const { deps, flush } = wireLag()

/** Schedule, every minute: how far the replica is behind. */
export const handler = async (_event: unknown, context: Context): Promise<void> => {
  try {
    await measureLag(deps, { remainingMs: () => context.getRemainingTimeInMillis() })
  } finally {
    flush()
  }
}
