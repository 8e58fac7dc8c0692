import * as z from 'zod'
import { InvalidInputError } from '../errors.ts'
import type { BlobStore, Random } from '../ports.ts'
import { formatVersion, parseRecord, toBytes } from '../weights/manifest.ts'

/**
 * What a check found, kept in the replica under `reports/KIND/TIME-ID.json`, where an auditor reads it with AWS gone. A
 * report says what was looked at, how much of it, and every difference; one that looked at nothing is a failure.
 */
export const reportKinds = ['validate', 'scrub', 'rows', 'reconcile', 'drill', 'backfill'] as const
export type ReportKind = (typeof reportKinds)[number]

export const findingSchema = z.object({
  /** A word of the check's own, such as `missing`, `wrong-bytes`, `row-differs`. */
  kind: z.string(),
  /** What it is about: a name in the replica, an object's URL, a row's key. */
  subject: z.string(),
  detail: z.string(),
  /** `yes`: made good in this run; `sent`: given to the normal path; `no`: somebody has to. */
  repaired: z.enum(['yes', 'sent', 'no']),
})
export type Finding = z.infer<typeof findingSchema>

export const findingsListedMax = 1000

export const reportSchema = z.object({
  format: z.literal('lifeboat/report'),
  formatVersion: z.string(),
  kind: z.enum(reportKinds),
  /** What the check was limited to (a model, a table, a bucket, a slice); null is everything. */
  scope: z.string().nullable(),
  startedAt: z.iso.datetime(),
  endedAt: z.iso.datetime(),
  /** `incomplete`: ended before all of its scope was looked at. Only `passed` counts as proof. */
  outcome: z.enum(['passed', 'failed', 'incomplete']),
  /** How much was looked at and found, by names of the check's own. */
  counts: z.record(z.string(), z.number()),
  /** The first 1,000. */
  findings: z.array(findingSchema),
  findingsTotal: z.number().int().nonnegative(),
  /** Of a backfill: how it ended and where, and what it cost beside what was estimated, in dollars. */
  backfill: z
    .object({
      run: z.string(),
      status: z.string(),
      where: z.array(z.string()),
      estimate: z.record(z.string(), z.number()).nullable(),
      spent: z.record(z.string(), z.number()),
    })
    .exactOptional(),
})
export type Report = z.infer<typeof reportSchema>

/** `looked` names the counts of which at least one must be above zero for the check to have looked at anything. */
export const concludeReport = (
  run: Pick<Report, 'kind' | 'scope' | 'counts' | 'findings' | 'findingsTotal'> & {
    startedAtMs: number
    endedAtMs: number
    isComplete: boolean
    looked: readonly string[]
  },
): Report => {
  const { startedAtMs, endedAtMs, isComplete, looked, findings, ...rest } = run
  const hasLooked = looked.some((name) => (run.counts[name] ?? 0) > 0)
  const outcome = (): Report['outcome'] => {
    if (run.findingsTotal > 0) return 'failed'
    if (!isComplete) return 'incomplete'
    return hasLooked ? 'passed' : 'failed'
  }
  return {
    format: 'lifeboat/report',
    formatVersion,
    ...rest,
    startedAt: new Date(startedAtMs).toISOString(),
    endedAt: new Date(endedAtMs).toISOString(),
    outcome: outcome(),
    findings: findings.slice(0, findingsListedMax),
  }
}

/** Whether it passed, or all that it found was repaired or sent, as far as its list of findings says. */
export const leavesAllRight = ({ outcome, counts, findings, findingsTotal }: Report): boolean =>
  outcome === 'passed' ||
  (findingsTotal > 0 &&
    findings.length === findingsTotal &&
    findings.every(({ repaired }) => repaired !== 'no') &&
    (counts['unsettled'] ?? 0) === 0)

/** `reports/scrub/2026-01-01T00:00:00.000Z-0123456789abcdef.json`: names of a kind order by time. */
export const writeReport = async (store: BlobStore, random: Random, report: Report): Promise<string> => {
  const name = `reports/${report.kind}/${report.endedAt}-${random.hex(8)}.json`
  const created = await store.create(name, toBytes(report), { contentType: 'application/json' })
  if (!created) throw new InvalidInputError(`${name} exists: two reports drew one name`)
  return name
}

const reportBytesMax = 4 * 2 ** 20

/** The newest report of a kind that `wanted` takes, or undefined. */
export const newestReport = async (
  store: BlobStore,
  kind: ReportKind,
  wanted: (report: Report) => boolean = () => true,
): Promise<{ name: string; report: Report } | undefined> => {
  const names: string[] = []
  for await (const { name } of store.list(`reports/${kind}/`)) names.push(name)
  for (const name of names.toReversed()) {
    const body = await store.read(name, { bytesMax: reportBytesMax })
    const report = body && parseRecord(reportSchema, name, body)
    if (report && wanted(report)) return { name, report }
  }
  return undefined
}
