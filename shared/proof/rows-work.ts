import * as z from 'zod'
import type { Config } from '../config.ts'
import { bucketCount, bucketStart } from '../features/bucket-digests.ts'
import { itemToJson } from '../features/attribute-json.ts'
import type { TableRule } from '../features/change.ts'
import type { Item } from '../features/item.ts'
import type { RereadDeps } from '../features/reread.ts'
import { createKeyBuckets, type KeyBuckets, keyBucketsBytes } from '../features/key-buckets.ts'
import { type Finding, findingSchema } from './report.ts'

/** What a comparison of one table has done so far: all that it needs to go on in another call. */

export type CompareDeps = RereadDeps & {
  /** Every change of a source table up to this time, in ms, is in the replica; undefined where nothing tells. */
  featureTime(table: string): Promise<number | undefined>
  /** Within which changes are in the replica, where no feature time tells. */
  settleMs: number
}

const countsSchema = z.object({
  /** Items of the source that were compared with their rows. */
  items: z.number(),
  /** Rows that were listed by their keys; tombstones are not among them. */
  rows: z.number(),
  tombstones: z.number(),
  /** Rows that were looked up in the source because they changed lately. */
  changedLately: z.number(),
  /** Buckets whose keys are not those of the source, and the rows in them that were looked up there. */
  bucketsDiffering: z.number(),
  rowsReadAgain: z.number(),
  /** Differences of the first look, and how often such were looked at again. */
  suspects: z.number(),
  looks: z.number(),
  missing: z.number(),
  extra: z.number(),
  changed: z.number(),
  repaired: z.number(),
  /** Written anew by later changes at every look: what differed is gone. */
  overtaken: z.number(),
  /** Not told within an hour: the item moves, and its row does not. */
  unsettled: z.number(),
})
export type RowsCounts = z.infer<typeof countsSchema>

export const noCounts = (): RowsCounts => ({
  items: 0,
  rows: 0,
  tombstones: 0,
  changedLately: 0,
  bucketsDiffering: 0,
  rowsReadAgain: 0,
  suspects: 0,
  looks: 0,
  missing: 0,
  extra: 0,
  changed: 0,
  repaired: 0,
  overtaken: 0,
  unsettled: 0,
})

/** `items` and `keys` and `extras` are those of a full comparison, `recent` (and `sample`) of one of what changed lately. */
const phases = ['items', 'keys', 'extras', 'recent', 'sample', 'settle', 'done'] as const

export const runSchema = z.object({
  mode: z.enum(['recent', 'full']),
  repair: z.boolean(),
  startedAt: z.number(),
  phase: z.enum(phases),
  /** Of the source a key in DynamoDB's JSON; of the replica the first row key that was not looked at, in hex. */
  cursor: z.string().optional(),
  /** Of the bucket that the listing of keys is in. */
  open: z.object({ bucket: z.number(), keys: z.number(), high: z.number(), low: z.number() }).optional(),
  counts: countsSchema,
  findings: z.array(findingSchema),
  findingsTotal: z.number(),
})
export type RowsRun = z.infer<typeof runSchema>
export type RowsMode = RowsRun['mode']

/** Both sides of a row as one look found them; `item` is the digest of the source's, empty where there is none. */
const sightSchema = z.object({ at: z.number(), version: z.string(), item: z.string() })
export type Sight = z.infer<typeof sightSchema>

/**
 * A row, its key in hex, that was not what the source says; `sight` is undefined before the first look at it alone. `item` is
 * the key in DynamoDB's JSON where the source told it: a long one is not in the row's key.
 */
const suspectSchema = z.object({
  row: z.string(),
  item: z.string().optional(),
  since: z.number(),
  /** How many looks found a newer version than the one before. */
  moves: z.number().default(0),
  sight: sightSchema.optional(),
})
export type Suspect = z.infer<typeof suspectSchema>

export type RowsWork = {
  rule: TableRule
  run: RowsRun
  keys: KeyBuckets
  /** One bit a bucket. */
  differing: Buffer
  suspects: Map<string, Suspect>
}

const differingBytes = bucketCount / 8

/** The state is one item of DynamoDB, of at most 400 KB, and a finding may have 1 KB. */
const findingsKeptMax = 200

export const beginWork = (rule: TableRule, run: Pick<RowsRun, 'mode' | 'repair' | 'startedAt'>): RowsWork => ({
  rule,
  run: {
    ...run,
    phase: run.mode === 'full' ? 'items' : 'recent',
    counts: noCounts(),
    findings: [],
    findingsTotal: 0,
  },
  keys: createKeyBuckets(),
  differing: Buffer.alloc(differingBytes),
  suspects: new Map(),
})

/** What is too large for the record of the run. */
export const packWork = ({ keys, differing, suspects }: RowsWork): Buffer =>
  Buffer.concat([keys.toBytes(), differing, Buffer.from(JSON.stringify([...suspects.values()]))])

export const unpackWork = (rule: TableRule, run: RowsRun, bytes: Buffer): RowsWork => {
  const suspectsAt = keyBucketsBytes + differingBytes
  const listed = z.array(suspectSchema).parse(JSON.parse(bytes.toString('utf8', suspectsAt)))
  return {
    rule,
    run,
    keys: createKeyBuckets(bytes.subarray(0, keyBucketsBytes)),
    differing: Buffer.from(bytes.subarray(keyBucketsBytes, suspectsAt)),
    suspects: new Map(listed.map((suspect) => [suspect.row, suspect])),
  }
}

export const markDiffering = ({ differing }: RowsWork, bucket: number): void => {
  differing[bucket >> 3] = (differing[bucket >> 3] ?? 0) | (1 << (bucket & 7))
}

const isDiffering = ({ differing }: RowsWork, bucket: number): boolean =>
  ((differing[bucket >> 3] ?? 0) & (1 << (bucket & 7))) !== 0

/** The next run of differing buckets from one on; `end` is absent after the last bucket. */
export const nextDiffering = (
  work: RowsWork,
  from: number,
): { start: Buffer; end?: Buffer; next: number } | undefined => {
  let first = from
  while (first < bucketCount && !isDiffering(work, first)) first += 1
  if (first >= bucketCount) return undefined
  let next = first + 1
  while (next < bucketCount && isDiffering(work, next)) next += 1
  return { start: bucketStart(first), ...(next < bucketCount && { end: bucketStart(next) }), next }
}

export const addFinding = ({ run }: RowsWork, finding: Finding): void => {
  run.findingsTotal += 1
  if (run.findings.length < findingsKeptMax) run.findings.push(finding)
}

export const suspectRow = (work: RowsWork, rowKey: Uint8Array, since: number, keyItem?: Item): void => {
  const row = Buffer.from(rowKey).toString('hex')
  if (work.suspects.has(row)) return
  work.suspects.set(row, { row, since, moves: 0, ...(keyItem && { item: JSON.stringify(itemToJson(keyItem)) }) })
  work.run.counts.suspects += 1
}

/** A change may take as long as the RPO allows, and a minute is a time in which a shard is read many times. */
export const settleMsOf = ({ rpo }: Pick<Config, 'rpo'>): number => 1000 * Math.max(60, rpo.rowsSeconds)
