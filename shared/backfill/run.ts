import * as z from 'zod'
import { findingSchema } from '../proof/report.ts'

/** What a backfill was asked for and how far it is: records that outlive a call, as other proofs keep theirs. */

const whole = z.int().nonnegative()

const objectsSchema = z.strictObject({
  kind: z.literal('objects'),
  bucket: z.string().min(1),
  prefix: z.string(),
  /** `current`: of every key only what is there now. */
  versions: z.enum(['all', 'current']),
})

export const exportsMax = 50

const tableSchema = z.strictObject({
  kind: z.literal('table'),
  table: z.string().min(1),
  /** `s3://BUCKET/PREFIX/AWSDynamoDB/EXPORT-ID` of a full export and of incremental ones that follow it; none: a scan. */
  exports: z.array(z.string().min(1)).max(exportsMax).default([]),
  /** Parts of the table, or of an export's files, that are worked on at the same time. */
  segments: z.int().min(1).max(32).default(4),
})

export const specSchema = z.discriminatedUnion('kind', [objectsSchema, tableSchema])
export type Spec = z.infer<typeof specSchema>
export type ObjectsSpec = z.infer<typeof objectsSchema>
export type TableSpec = z.infer<typeof tableSchema>

/** Of the whole backfill, in a second. */
export const limitsSchema = z.strictObject({
  items: z.number().positive().exactOptional(),
  bytes: z.number().positive().exactOptional(),
  readUnits: z.number().positive().exactOptional(),
})
export type Limits = z.infer<typeof limitsSchema>

/** Ids are parts of names: what a slash would add is another record. */
const idPattern = /^[A-Za-z0-9-]+$/
export const runIdSchema = z.string().regex(idPattern, 'expected an id as "lifeboat backfill list" names it')
export const isRunId = (text: string): boolean => idPattern.test(text)

export const statuses = ['running', 'paused', 'done', 'cancelled', 'failed'] as const

export const runSchema = z.object({
  id: z.string(),
  spec: specSchema,
  limits: limitsSchema,
  status: z.enum(statuses),
  startedAt: z.number(),
  /** Units in flight are sent again by who finds this to be later than what it did so for. */
  resumedAt: z.number(),
  endedAt: z.number().exactOptional(),
  parts: whole,
  /** Object versions from before this are a backfill's; later ones are late, whoever brings them in. */
  since: z.number(),
  /** Why it failed. */
  why: z.string().exactOptional(),
  report: z.string().exactOptional(),
  estimate: z.record(z.string(), z.number()).nullable(),
  /** In the place of the list prices. */
  prices: z.record(z.string(), z.number()).exactOptional(),
})
export type Run = z.infer<typeof runSchema>

/** The state is one item of DynamoDB, of at most 400 KB. */
export const refusedKeptMax = 200

export const partSchema = z.object({
  /** `settle`: everything was listed, and some of it is on its way. */
  phase: z.enum(['pages', 'settle', 'ended']),
  /** Where to go on, in words of whoever reads the pages; null: from the start. */
  cursor: z.unknown(),
  counts: z.record(z.string(), z.number()),
  refused: z.array(findingSchema),
  refusedTotal: whole,
  /** Objects that are on their way, oldest first: trace id and bytes. */
  inFlight: z.array(z.tuple([z.string(), z.number()])),
  resentAt: z.number(),
  /** How often they were sent again while nothing moved. */
  stalls: whole,
  /** When something was last planned, copied or arrived. */
  movedAt: z.number(),
  /** Units of what is on its way that were left when it was looked at last; not there where something has arrived since. */
  left: whole.exactOptional(),
  /** Objects that arrive in a second, and how many have since that was looked at. */
  arrivals: z.object({ perSecond: z.number(), since: z.number(), count: whole }),
})
export type Part = z.infer<typeof partSchema>

/** Whether it may still bring in something. */
export const isOpen = ({ status }: Pick<Run, 'status'>): boolean => status === 'running' || status === 'paused'

export const newPart = (now: number): Part => ({
  phase: 'pages',
  cursor: null,
  counts: {},
  refused: [],
  refusedTotal: 0,
  inFlight: [],
  resentAt: now,
  stalls: 0,
  movedAt: now,
  arrivals: { perSecond: 0, since: now, count: 0 },
})

export const add = (part: Pick<Part, 'counts'>, name: string, count: number): void => {
  if (count !== 0) part.counts[name] = (part.counts[name] ?? 0) + count
}

/** Of a subject and of a reason, so that all that is kept has room in the state's item. */
const charactersMax = 300
const endingCharacters = 100

/** The start and the end: a version is named last. */
const cut = (text: string): string =>
  text.length <= charactersMax
    ? text
    : `${text.slice(0, charactersMax - endingCharacters - 1)}…${text.slice(-endingCharacters)}`.toWellFormed()

/** What cannot be brought in, with the reason: the rest goes on. */
export const refuse = (part: Part, subject: string, detail: string): void => {
  part.refusedTotal += 1
  add(part, 'refused', 1)
  if (part.refused.length < refusedKeptMax)
    part.refused.push({ kind: 'unreplicable', subject: cut(subject), detail: cut(detail), repaired: 'no' })
}

/** What a second backfill of the same thing has in common with the first. */
export const subjectOf = (spec: Spec): string =>
  spec.kind === 'table' ? `table ${spec.table}` : `s3://${spec.bucket}/${spec.prefix}`

/** Whether both would bring in some of the same. */
export const overlaps = (left: Spec, right: Spec): boolean => {
  if (left.kind === 'table' || right.kind === 'table') return subjectOf(left) === subjectOf(right)
  const isWithin = left.prefix.startsWith(right.prefix) || right.prefix.startsWith(left.prefix)
  return left.bucket === right.bucket && isWithin
}
