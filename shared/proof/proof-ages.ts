import type { Heartbeat } from './heartbeat.ts'
import { ageSeconds } from './lag.ts'

/** How long ago everything was last found to be right, by checks that are due every day. */

type Proofs = Pick<Heartbeat['proofs'], 'reconcile' | 'rows'>
/** When a check was first seen without any proof, by the name of its record. */
export type Unproven = Record<string, number>

export type ProofAges = {
  reconcile: number
  /** The worst of the tables; undefined where there are none. */
  rows: number | undefined
  unproven: Unproven
}

/** What was never proven is as old as the first look at it, so that it ages from the first deployment on. */
export const proofAges = (
  { reconcile, rows }: Proofs,
  tables: readonly string[],
  before: Unproven,
  nowMs: number,
): ProofAges => {
  const unproven: Unproven = {}
  const age = (name: string, provenAt: string | null | undefined): number => {
    if (provenAt) return ageSeconds(Date.parse(provenAt), nowMs)
    const since = before[name] ?? nowMs
    unproven[name] = since
    return ageSeconds(since, nowMs)
  }
  const ages = tables.map((table) => age(`rows/${table}`, rows.find((proof) => proof.table === table)?.provenAt))
  return {
    reconcile: age('reconcile', reconcile?.provenAt),
    rows: ages.length > 0 ? Math.max(...ages) : undefined,
    unproven,
  }
}
