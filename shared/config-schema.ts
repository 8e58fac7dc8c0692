import * as z from 'zod'
import { compilePath } from './path-template.ts'

/** The message of every check says what is allowed; what was found is added by the problem list. */
const text = (pattern: RegExp, allowed: string) => z.string({ error: allowed }).regex(pattern, { error: allowed })
const whole = (least: number, most: number, allowed: string) =>
  z.int({ error: allowed }).min(least, { error: allowed }).max(most, { error: allowed })

const keyPrefix = text(
  /^([^/].*\/)?$/s,
  'empty, or text that ends with / and does not begin with one, such as "models/"',
)

const isTemplate = (template: string): boolean => {
  try {
    compilePath(template)
    return true
  } catch {
    return false
  }
}
const templateAllowed =
  '{model} once, {version} at most once and plain text between slashes, ended by /**, such as "{model}/{version}/**"'

const release = z.strictObject({
  path: z
    .string({ error: templateAllowed })
    .refine(isTemplate, { error: templateAllowed })
    .default('{model}/{version}/**'),
  marker: text(/^[^/]+$/, 'a file name without a slash, such as "_SUCCESS"').exactOptional(),
  settleSeconds: whole(0, 86_400, 'a whole number of seconds from 0 to 86400').default(60),
  quietMinutes: whole(1, 43_200, 'a whole number of minutes from 1 to 43200').default(60),
})

const bucket = z.strictObject({
  name: text(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/, 'an S3 bucket name (3 to 63 of a-z, 0-9, dot and dash)'),
  prefix: keyPrefix.default(''),
  release: release.prefault({}),
  /** A small object under this key, after the prefix, is written every few minutes and followed into the replica. */
  canary: text(/^[^/].*$/s, 'a key below the prefix, such as "lifeboat-canary"').exactOptional(),
})

const stream = z.strictObject({
  arn: text(
    /^arn:aws[a-z-]*:dynamodb:[a-z0-9-]+:\d{12}:table\/[A-Za-z0-9_.-]{3,255}\/stream\/[0-9T:.-]+$/,
    'the ARN of a DynamoDB stream (arn:aws:dynamodb:REGION:ACCOUNT:table/NAME/stream/LABEL)',
  ),
  epoch: whole(1, 999_999, 'a whole number from 1 to 999999 that grows with every stream of the table'),
})

const canaryAllowed = 'the partition key that canary items begin with (or, for a number, count from)'
const canary = z.strictObject({
  partition: z.string({ error: canaryAllowed }).min(1, { error: canaryAllowed }),
  sort: z.string({ error: 'the sort key of canary items, where the table has one' }).exactOptional(),
})

/** Bigtable's limit is 50 (bigtable.tables.create), of which `-history` takes 8: row-store.ts. */
export const targetPattern = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,41}$/
export const targetAllowed = 'a Bigtable table name of at most 42 characters'

const table = z.strictObject({
  name: text(/^[A-Za-z0-9_.-]{3,255}$/, 'a DynamoDB table name (3 to 255 of A-Z, a-z, 0-9, _, dot and dash)'),
  target: text(targetPattern, targetAllowed).exactOptional(),
  streams: z.array(stream, { error: 'a list of {arn, epoch}' }).min(1, { error: 'at least one {arn, epoch}' }),
  omit: z.array(z.string({ error: 'an attribute name' }), { error: 'a list of attribute names' }).default([]),
  /** Items of Lifeboat's own in the source table, one on every shard, that are followed into the replica. */
  canary: canary.exactOptional(),
})

const name = (allowed: string) => text(/^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/, allowed)
const positive = (allowed: string) => z.number({ error: allowed }).positive({ error: allowed })

/** lifeboat.yml without its `stages`. */
export const configSchema = z.strictObject({
  formatVersion: z.literal(1, { error: '1' }),
  source: z.strictObject({
    account: text(/^\d{12}$/, 'an AWS account id: 12 digits in quotes'),
    region: text(/^[a-z]{2}(-[a-z]+)+-\d$/, 'an AWS region, such as "eu-west-1"'),
  }),
  replica: z.strictObject({
    project: text(/^[a-z][a-z0-9-]{4,28}[a-z0-9]$/, 'a Google Cloud project id (6 to 30 of a-z, 0-9 and dash)'),
    bucket: text(/^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$/, 'a Cloud Storage bucket name (a-z, 0-9, dot, dash and _)'),
    prefix: keyPrefix.default(''),
    bigtableInstance: name('a Bigtable instance id').exactOptional(),
    appProfile: text(/^[A-Za-z0-9_-]{1,50}$/, 'a Bigtable app profile id').exactOptional(),
  }),
  buckets: z.array(bucket, { error: 'a list of {name, prefix, release}' }).default([]),
  tables: z.array(table, { error: 'a list of {name, streams, target, omit}' }).default([]),
  rpo: z
    .strictObject({
      objectsMinutes: whole(1, 10_080, 'a whole number of minutes from 1 to 10080').default(15),
      rowsSeconds: whole(1, 86_400, 'a whole number of seconds from 1 to 86400').default(60),
    })
    .prefault({}),
  retention: z
    .strictObject({
      days: whole(0, 36_500, 'a whole number of days from 0 (no retention) to 36500').default(30),
      mode: z.enum(['Unlocked', 'Locked'], { error: 'Unlocked or Locked' }).default('Unlocked'),
    })
    .prefault({}),
  budget: z
    .strictObject({
      sentGiBPerDay: positive('a number of GiB above 0').exactOptional(),
      scrubGiBPerDay: positive('a number of GiB above 0').exactOptional(),
    })
    .exactOptional(),
})

/** What one stage replicates from where to where, with every default filled in. */
export type Config = z.output<typeof configSchema>

/** Names of stages are part of resource names on both sides. */
export const stagePattern = /^[a-z][a-z0-9-]{0,19}$/
