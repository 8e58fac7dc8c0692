import * as z from 'zod'
import { InvalidInputError } from '../errors.ts'
import type { BackfillMessage } from './deps.ts'

const schema: z.ZodType<BackfillMessage> = z.object({
  lifeboat: z.literal('backfill'),
  action: z.literal('work'),
  run: z.string(),
  part: z.int().nonnegative(),
})

/** As infra/aws/backfill.yml has it: what fails so often goes to the dead letters. */
export const receivesMax = 5

/** A message of the backfill's own queue. Throws InvalidInputError on any other. */
export const parseWork = (text: string): BackfillMessage => {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new InvalidInputError(`a message of a backfill is not JSON: ${text.slice(0, 200)}`, { cause })
  }
  const parsed = schema.safeParse(value)
  if (!parsed.success) throw new InvalidInputError(`not a message of a backfill: ${text.slice(0, 200)}`)
  return parsed.data
}
