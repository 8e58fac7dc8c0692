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
const recordSchema = z.object({ last: lastSchema, provenAt: time.nullable().default(null) })

const readRecord = async (state: ProofState, name: string): Promise<z.infer<typeof recordSchema> | null> => {
  const record = await state.read(name)
  return recordSchema.safeParse(record?.value).data ?? null
}

export const readProofs = async (state: ProofState, tables: readonly string[]): Promise<Proofs> => {
  const read = async (name: string) => {
    const record = await readRecord(state, name)
    if (!record) return null
    const { coverageDays: _coverage, ...proof } = record.last
    return { proof, provenAt: record.provenAt }
  }
  const rows: Proofs['rows'] = []
  for (const table of tables) {
    const found = await read(`rows/${table}`)
    if (found) rows.push({ ...found.proof, provenAt: found.provenAt, table })
  }
  const reconcile = await read('reconcile')
  return {
    validate: (await read('validate'))?.proof ?? null,
    scrub: (await readRecord(state, 'scrub'))?.last ?? null,
    reconcile: reconcile && { ...reconcile.proof, provenAt: reconcile.provenAt },
    rows,
  }
}
