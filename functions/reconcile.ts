import type { Context } from 'aws-lambda'
import { z } from 'zod'
import { InvalidInputError } from '../shared/errors.ts'
import { type Reconciled, reconcile } from '../shared/proof/reconcile.ts'
import { createRepairer } from '../shared/proof/repair.ts'
import { createProofState } from '../shared/clouds/aws/proof-state.ts'
import { wireWeights } from '../shared/wiring.ts'

const { deps, env, dynamodb, flush } = wireWeights()
const state = createProofState(dynamodb, env.ledgerTable)
const reconcileDeps = { ...deps, state, repairer: createRepairer(deps) }

const eventSchema = z.strictObject({
  lifeboat: z.literal('reconcile'),
  mode: z.enum(['recent', 'full']).exactOptional(),
})

/** Schedule: the source's listing against the ledger and the replica. By hand with a mode: a run that is not due. */
export const handler = async (event: unknown, context: Context): Promise<Omit<Reconciled, 'report'>> => {
  const parsed = eventSchema.safeParse(event)
  if (!parsed.success)
    throw new InvalidInputError(
      'expected {"lifeboat":"reconcile"}, with "mode":"recent" or "full" for one that is not due',
    )
  try {
    const deadline = { remainingMs: () => context.getRemainingTimeInMillis() }
    const { report, ...outcome } = await reconcile(reconcileDeps, deadline, parsed.data.mode)
    deps.telemetry.log('info', 'reconciled', { stage: 'reconcile', ...outcome, ...report?.counts })
    return outcome
  } finally {
    flush()
  }
}
