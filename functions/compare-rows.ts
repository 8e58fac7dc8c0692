import type { Context } from 'aws-lambda'
import { z } from 'zod'
import { InvalidInputError } from '../shared/errors.ts'
import { checkTables, type TablesChecked } from '../shared/proof/check-tables.ts'
import { wireCompareRows } from '../shared/wiring-compare-rows.ts'

const { deps, flush } = wireCompareRows()

const eventSchema = z.strictObject({
  lifeboat: z.literal('compare-rows'),
  table: z.string().min(1).exactOptional(),
  mode: z.enum(['recent', 'full']).exactOptional(),
  repair: z.boolean().exactOptional(),
})

/** Schedule: the rows of every table against their items. By hand with a mode: a comparison that is not due. */
export const handler = async (event: unknown, context: Context): Promise<TablesChecked> => {
  const parsed = eventSchema.safeParse(event)
  if (!parsed.success)
    throw new InvalidInputError(
      'expected {"lifeboat":"compare-rows"}, with "table", "mode":"recent" or "full", and "repair":false where wanted',
    )
  try {
    const { lifeboat: _name, table, ...asked } = parsed.data
    return await checkTables(deps, { remainingMs: () => context.getRemainingTimeInMillis() }, { table, asked })
  } finally {
    flush()
  }
}
