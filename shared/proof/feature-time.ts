import * as z from 'zod'
import type { ProofState } from './proof-state.ts'

const lagSchema = z.object({ tables: z.record(z.string(), z.object({ featureTime: z.number().optional() })) })

/** The feature time of a table, in ms, as the last measurement of the lag left it; undefined where there are no canaries. */
export const readFeatureTime = async (state: ProofState, table: string): Promise<number | undefined> => {
  const record = await state.read('lag')
  const parsed = lagSchema.safeParse(record?.value)
  return parsed.success ? parsed.data.tables[table]?.featureTime : undefined
}
