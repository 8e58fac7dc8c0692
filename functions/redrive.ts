import type { Context } from 'aws-lambda'
import { z } from 'zod'
import { InvalidInputError } from '../shared/errors.ts'
import { type Redriven, redrive } from '../shared/features/redrive.ts'
import { wireRows } from '../shared/wiring-rows.ts'

const { deps, flush } = wireRows()

const eventSchema = z.strictObject({ lifeboat: z.literal('redrive'), table: z.string().min(1).exactOptional() })

/** Called by hand: quarantined changes, of one table or of all, are read again from their source. */
export const handler = async (event: unknown, context: Context): Promise<Redriven> => {
  const parsed = eventSchema.safeParse(event)
  if (!parsed.success)
    throw new InvalidInputError('expected {"lifeboat":"redrive"}, with "table":"NAME" for those of one table')
  try {
    const result = await redrive(deps, parsed.data.table, { remainingMs: () => context.getRemainingTimeInMillis() })
    const { failed: _listed, ...counts } = result
    deps.telemetry.log('info', 'redriven', { stage: 'redrive', ...counts })
    return result
  } finally {
    flush()
  }
}
