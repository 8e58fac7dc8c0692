import * as z from 'zod'
import type { Config } from '../config.ts'
import { InvalidInputError, LifeboatError, NotConfiguredError } from '../errors.ts'
import { parseItem } from './attribute-json.ts'
import type { Item } from './item.ts'
import { encodeRowKey, type ItemKey, type KeyValue, type RowKey } from './row-key.ts'
import { type ChangeVersion, changeVersion } from './version.ts'

/** One record of a DynamoDB stream, checked. https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_Record.html */

export type Change = {
  table: TableRule
  rowKey: RowKey
  key: ItemKey
  version: ChangeVersion
  sequenceNumber: string
  /** Second of the change, as the stream floors it. */
  time: number
  /** Undefined where the item is gone after the change. */
  after: Item | undefined
  /** Undefined where there was none. */
  before: Item | undefined
  isTimeToLive: boolean
  record: unknown
}

/** How one source table is replicated. `epoch` is that of the stream a record came from. */
export type TableRule = { name: string; target: string; epoch: number; omit: ReadonlySet<string> }

// Not z.record, which drops an attribute named `__proto__`; what is inside, parseItem checks.
const image = z.custom<object>((input) => typeof input === 'object' && input !== null, { error: 'not a map' })
const recordSchema = z.object({
  eventName: z.enum(['INSERT', 'MODIFY', 'REMOVE']),
  eventSourceARN: z.string(),
  userIdentity: z.object({ type: z.string().optional(), principalId: z.string().optional() }).nullish(),
  dynamodb: z.object({
    ApproximateCreationDateTime: z.number(),
    Keys: image,
    NewImage: image.optional(),
    OldImage: image.optional(),
    SequenceNumber: z.string(),
  }),
})

/** Which row a change is of, and when: what of a change can be told without its images. */
export type Sighting = Pick<Change, 'rowKey' | 'key' | 'version' | 'time'>

/** The rule of the stream with this ARN. Throws NotConfiguredError: the configuration is the allow-list of epochs. */
export const ruleOfStream = (config: Config, arn: string): TableRule => {
  for (const { name, target, streams, omit } of config.tables) {
    const stream = streams.find((candidate) => candidate.arn === arn)
    if (stream) return { name, target: target ?? name, epoch: stream.epoch, omit: new Set(omit) }
  }
  throw new NotConfiguredError(`stream ${arn} is not configured: add it with an epoch to tables in lifeboat.yml`)
}

/** The rule of a table by the name of its source, with the epoch of its newest stream. Throws NotConfiguredError. */
export const ruleOfTable = (config: Config, name: string): TableRule => {
  const table = config.tables.find((candidate) => candidate.name === name)
  if (!table) throw new NotConfiguredError(`table ${name} is not configured: add it to tables in lifeboat.yml`)
  const epoch = Math.max(...table.streams.map((stream) => stream.epoch))
  return { name, target: table.target ?? name, epoch, omit: new Set(table.omit) }
}

const keyValue = (item: Item, name: string): KeyValue => {
  const value = item[name]
  if (value && ('S' in value || 'N' in value || 'B' in value)) return value
  throw new InvalidInputError(`key attribute ${name} is not of type S, N or B`)
}

export type KeyNames = { partition: string; sort?: string | undefined }

/** The key of an item by the names of its key attributes. */
export const itemKeyOf = (item: Item, names: KeyNames): ItemKey => ({
  partition: keyValue(item, names.partition),
  ...(names.sort === undefined ? {} : { sort: keyValue(item, names.sort) }),
})

/** The key attributes alone, by which DynamoDB reads an item. */
export const itemOfKey = (key: ItemKey, names: KeyNames): Item => ({
  [names.partition]: key.partition,
  ...(names.sort !== undefined && key.sort ? { [names.sort]: key.sort } : {}),
})

type Seen = { ApproximateCreationDateTime: number; Keys: object; SequenceNumber: string }

const sightingIn = (seen: Seen, rule: TableRule, names: KeyNames): Sighting => {
  const key = itemKeyOf(parseItem(seen.Keys, 'Keys'), names)
  return {
    rowKey: encodeRowKey(key),
    key,
    version: changeVersion({ epoch: rule.epoch, sequenceNumber: seen.SequenceNumber }),
    time: Math.floor(seen.ApproximateCreationDateTime),
  }
}

/** Of a record that `parseChange` refuses, for what is wrong with its images or its name; undefined where the key itself is. */
export const sightingOf = (record: unknown, rule: TableRule, names: KeyNames): Sighting | undefined => {
  const parsed = recordSchema.shape.dynamodb.safeParse((record as { dynamodb?: unknown } | null)?.dynamodb)
  if (!parsed.success) return undefined
  try {
    return sightingIn(parsed.data, rule, names)
  } catch (error) {
    if (error instanceof LifeboatError) return undefined
    throw error
  }
}

/** `names` says which attribute of `Keys` is the partition key: the record does not. Throws InvalidInputError. */
export const parseChange = (record: unknown, rule: TableRule, names: KeyNames): Change => {
  const parsed = recordSchema.safeParse(record)
  if (!parsed.success) {
    const issue = parsed.error.issues[0]
    throw new InvalidInputError(`a stream record: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}`)
  }
  const { dynamodb, eventName, userIdentity } = parsed.data
  const imageOf = (name: 'NewImage' | 'OldImage'): Item | undefined =>
    dynamodb[name] === undefined ? undefined : parseItem(dynamodb[name], name)
  const after = imageOf('NewImage')
  const before = imageOf('OldImage')
  if ((eventName === 'REMOVE') === (after !== undefined) || (eventName === 'INSERT') === (before !== undefined))
    throw new InvalidInputError(
      `a stream record: ${eventName} with the wrong images: the stream needs NEW_AND_OLD_IMAGES`,
    )
  return {
    table: rule,
    ...sightingIn(dynamodb, rule, names),
    sequenceNumber: dynamodb.SequenceNumber,
    after,
    before,
    isTimeToLive: eventName === 'REMOVE' && userIdentity?.principalId === 'dynamodb.amazonaws.com',
    record,
  }
}

const positionSchema = z.object({ eventSourceARN: z.string(), dynamodb: z.object({ SequenceNumber: z.string() }) })

/** The arn and sequence number of any record, for the answer that Lambda replays from and for the quarantine. */
export const positionOf = (record: unknown): { arn: string; sequenceNumber: string } => {
  const parsed = positionSchema.safeParse(record)
  return parsed.success
    ? { arn: parsed.data.eventSourceARN, sequenceNumber: parsed.data.dynamodb.SequenceNumber }
    : { arn: '', sequenceNumber: '' }
}
