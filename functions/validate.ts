import type { Context } from 'aws-lambda'
import { z } from 'zod'
import { InvalidInputError } from '../shared/errors.ts'
import { scrub, type Scrubbed } from '../shared/proof/scrub-run.ts'
import { continueValidation, validateModel, type Validated } from '../shared/proof/validate-run.ts'
import { wireProof } from '../shared/wiring-proof.ts'

const { open, flush } = wireProof()

const eventSchema = z.discriminatedUnion('lifeboat', [
  z.strictObject({ lifeboat: z.literal('validate'), model: z.string().min(1).exactOptional() }),
  z.strictObject({ lifeboat: z.literal('scrub') }),
])

/** Schedules: everything in the replica is looked at, and a slice of it read back. By hand: one model. */
export const handler = async (event: unknown, context: Context): Promise<Validated | Scrubbed> => {
  const parsed = eventSchema.safeParse(event)
  if (!parsed.success)
    throw new InvalidInputError(
      'expected {"lifeboat":"validate"}, with "model":"NAME" for one, or {"lifeboat":"scrub"}',
    )
  const deadline = { remainingMs: () => context.getRemainingTimeInMillis() }
  const deps = open()
  try {
    if (parsed.data.lifeboat === 'scrub') return await scrub(deps, deadline)
    const { model } = parsed.data
    return model === undefined ? await continueValidation(deps, deadline) : await validateModel(deps, deadline, model)
  } finally {
    flush()
  }
}
