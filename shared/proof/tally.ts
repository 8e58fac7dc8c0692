import * as z from 'zod'
import { type Finding, findingSchema } from './report.ts'

/** What a check has counted and found so far; plain data, so that it is kept between the calls of one run. */
export const tallySchema = z.object({
  counts: z.record(z.string(), z.number()),
  findings: z.array(findingSchema),
  findingsTotal: z.number().int().nonnegative(),
})
export type Tally = z.infer<typeof tallySchema>

/** An item of the ledger holds 400 KB; what is beyond this is counted and not listed. */
const listedBytesMax = 150_000

export const emptyTally = (): Tally => ({ counts: {}, findings: [], findingsTotal: 0 })

export const count = (tally: Tally, name: string, by = 1): void => {
  tally.counts[name] = (tally.counts[name] ?? 0) + by
}

/** One thing that several need is one finding, which is as good as repaired only where it is for all of them. */
export const addFinding = (tally: Tally, finding: Finding): void => {
  const same = tally.findings.find(({ kind, subject }) => kind === finding.kind && subject === finding.subject)
  if (same) {
    if (finding.repaired === 'no') Object.assign(same, finding)
    return
  }
  tally.findingsTotal += 1
  const listed = tally.findings.reduce((sum, one) => sum + Buffer.byteLength(one.subject + one.detail) + 100, 0)
  if (listed < listedBytesMax) tally.findings.push(finding)
}

/** Adds `more` to `tally`. */
export const mergeTally = (tally: Tally, more: Tally): void => {
  for (const [name, by] of Object.entries(more.counts)) count(tally, name, by)
  const unlisted = more.findingsTotal - more.findings.length
  for (const finding of more.findings) addFinding(tally, finding)
  tally.findingsTotal += unlisted
}
