import * as z from 'zod'
import type { BlobStore } from '../ports.ts'
import { formatVersion, parseRecord, toBytes } from '../weights/manifest.ts'

/**
 * The state of the AWS side as it was at a minute, kept in the replica under `heartbeats/YYYY-MM-DD/TIME.json`, so that
 * `status` and `rpo` answer with AWS gone. A lag that could not be told is null, with its reasons: it counts as a breach. The
 * bucket's lifecycle removes heartbeats after some days; they carry no retention.
 */
const seconds = z.number().nonnegative()
const time = z.iso.datetime()

const lagSchema = z.object({
  /** Age of the oldest change that is not in the replica, 0 where there is none; null: unknown. */
  lagSeconds: seconds.nullable(),
  /** Why it is unknown. */
  unknown: z.array(z.string()).default([]),
})

const proofSchema = z.object({ at: time, outcome: z.string(), report: z.string().nullable(), findings: z.number() })

/**
 * Of a check that looks at what is new more often than at everything: when it last looked at everything and all was right, if
 * need be after its repairs; null: never. Heartbeats from before this was told have none.
 */
const provenSchema = proofSchema.extend({ provenAt: time.nullable().optional() })

export const heartbeatSchema = z.object({
  format: z.literal('lifeboat/heartbeat'),
  formatVersion: z.string(),
  at: time,
  stage: z.string(),
  /** Another one is due after so long. */
  everySeconds: seconds,
  objects: lagSchema.extend({
    pending: z.object({
      count: z.number(),
      bytes: z.number(),
      oldest: z.object({ bucket: z.string(), key: z.string(), version: z.string(), since: time }).nullable(),
      /** Not all were counted: there may be more. */
      isLowerBound: z.boolean().optional(),
    }),
    queues: z.array(z.object({ name: z.string(), messages: z.number(), oldestSeconds: seconds.nullable() })),
    deadLetters: z.number(),
    /** Of the last canary object that is protected; null where none is or there are no canaries. */
    canaryAt: time.nullable(),
  }),
  tables: z.array(
    lagSchema.extend({
      table: z.string(),
      target: z.string(),
      /** Every change up to here is in the replica, as far as canaries and the quarantine tell. */
      featureTime: time.nullable(),
      quarantined: z.number(),
      oldestQuarantinedAt: time.nullable(),
    }),
  ),
  /** The last of each kind of check (report.ts); `coverageDays`: in how many days the scrub reads everything at its pace. */
  proofs: z.object({
    validate: proofSchema.nullable(),
    scrub: proofSchema.extend({ coverageDays: z.number().nullable() }).nullable(),
    reconcile: provenSchema.nullable(),
    rows: z.array(provenSchema.extend({ table: z.string() })),
  }),
})
export type Heartbeat = z.infer<typeof heartbeatSchema>

const folder = 'heartbeats/'
const dayOf = (ms: number): string => new Date(ms).toISOString().slice(0, 10)
const dayMs = 86_400_000
/** The lifecycle of the bucket keeps heartbeats for a week. */
const daysKept = 8

/** Creates the heartbeat of this minute; one that is there already stays. */
export const writeHeartbeat = async (
  store: BlobStore,
  heartbeat: Omit<Heartbeat, 'format' | 'formatVersion'>,
): Promise<string> => {
  const record: Heartbeat = { format: 'lifeboat/heartbeat', formatVersion, ...heartbeat }
  const name = `${folder}${heartbeat.at.slice(0, 10)}/${heartbeat.at}.json`
  await store.create(name, toBytes(record), { contentType: 'application/json' })
  return name
}

/** The newest heartbeat of the last days, or undefined. */
export const newestHeartbeat = async (store: BlobStore, nowMs: number): Promise<Heartbeat | undefined> => {
  // The writer's clock may be ahead of ours.
  for (let day = -1; day < daysKept; day += 1) {
    let newest: string | undefined
    for await (const { name } of store.list(`${folder}${dayOf(nowMs - day * dayMs)}/`)) newest = name
    const body = newest === undefined ? undefined : await store.read(newest)
    if (newest !== undefined && body) return parseRecord(heartbeatSchema, newest, body)
  }
  return undefined
}
