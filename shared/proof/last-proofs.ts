import * as z from 'zod'
import type { Heartbeat } from './heartbeat.ts'
import type { ProofState } from './proof-state.ts'

/** The last result of each check, as the checks leave it in their records; what cannot be read is null. */

type Proofs = Heartbeat['proofs']

const time = z.union([z.iso.datetime(), z.number().transform((ms) => new Date(ms).toISOString())])

const lastSchema = z.object({
  at: time,
  outcome: z.string(),
  report: z.string().nullable().default(null),
  findings: z.number().default(0),
  coverageDays: z.number().nullable().default(null),
})
const recordSchema = z.object({ last: lastSchema })

const readLast = async (state: ProofState, name: string): Promise<z.infer<typeof lastSchema> | null> => {
  const record = await state.read(name)
  const parsed = recordSchema.safeParse(record?.value)
  return parsed.success ? parsed.data.last : null
}

export const readProofs = async (state: ProofState, tables: readonly string[]): Promise<Proofs> => {
  const read = async (name: string) => {
    const last = await readLast(state, name)
    if (!last) return null
    const { coverageDays: _coverage, ...proof } = last
    return proof
  }
  const rows: Proofs['rows'] = []
  for (const table of tables) {
    const proof = await read(`rows/${table}`)
    if (proof) rows.push({ ...proof, table })
  }
  return {
    validate: await read('validate'),
    scrub: await readLast(state, 'scrub'),
    reconcile: await read('reconcile'),
    rows,
  }
}
