import * as z from 'zod'
import type { ProofState } from './proof-state.ts'

/** What one measurement of the lag leaves for the next, in the record `lag`. */
const recordName = 'lag'

const queue = z.object({ emptyAt: z.number().optional(), resent: z.boolean().optional() })

const objectCanary = z.object({
  /** Those that are not in the replica yet, oldest first; `at` is the source's time. */
  waiting: z.array(z.object({ traceId: z.string(), at: z.number() })),
  writtenAt: z.number(),
  /** Of the last one that is protected. */
  protectedAt: z.number().optional(),
})

const placement = z.object({
  streamArn: z.string(),
  /** From the id of an open shard to the number of the canary whose key goes there. */
  shards: z.record(z.string(), z.number()),
  /** Where to go on with keys that were not tried, while a shard has none. */
  next: z.number(),
  /** Of this measurement, in ms: every change of the table up to it is in the replica. The comparison of rows reads it. */
  featureTime: z.number().optional(),
})

const stateSchema = z.object({
  queues: z.record(z.string(), queue),
  /** By `s3://BUCKET/KEY`. */
  objects: z.record(z.string(), objectCanary),
  /** By table. */
  tables: z.record(z.string(), placement),
  /** When a check was first seen without any proof (proof-ages.ts). */
  unproven: z.record(z.string(), z.number()).default({}),
})
export type LagState = z.infer<typeof stateSchema>
export const emptyLagState: LagState = { queues: {}, objects: {}, tables: {}, unproven: {} }
export type ObjectCanary = z.infer<typeof objectCanary>
export type Placement = z.infer<typeof placement>

/** A record that this version cannot read counts as none: everything in it is found again in some minutes. */
export const readLagState = async (
  state: Pick<ProofState, 'read'>,
): Promise<{ value: LagState; version: number | undefined }> => {
  const record = await state.read(recordName)
  const parsed = stateSchema.safeParse(record?.value)
  return { value: parsed.success ? parsed.data : emptyLagState, version: record?.version }
}

/** The feature time of a table, in ms, as the last measurement left it; undefined where there are no canaries. */
export const readFeatureTime = async (state: ProofState, table: string): Promise<number | undefined> =>
  (await readLagState(state)).value.tables[table]?.featureTime

/** False where another measurement wrote meanwhile. */
export const writeLagState = (state: ProofState, value: LagState, version: number | undefined): Promise<boolean> =>
  state.write(recordName, value, version)
