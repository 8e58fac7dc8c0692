import { type Config, parseConfig } from '../../shared/config.ts'
import type { JsonItem, JsonValue } from '../../shared/features/attribute-json.ts'

/** Records of a DynamoDB stream as Lambda hands them over, parsed from JSON: updates, with the item before and after. */

export const table = 'features'
export const arn = 'arn:aws:dynamodb:us-east-1:111122223333:table/features/stream/2026-01-01T00:00:00.000'
export const config: Config = parseConfig(
  JSON.stringify({
    formatVersion: 1,
    source: { account: '111122223333', region: 'us-east-1' },
    replica: { project: 'lifeboat-local', bucket: 'replica', bigtableInstance: 'lifeboat' },
    tables: [{ name: table, streams: [{ arn, epoch: 1 }] }],
  }),
  { stage: 'local', file: 'lifeboat.yml' },
)

/** `hotShare` of the changes of every batch are of one key. */
export type Shape = { name: string; attributes: number; hotShare: number }
export const shapes: readonly Shape[] = [
  { name: '10 attributes', attributes: 10, hotShare: 0 },
  { name: '200 attributes', attributes: 200, hotShare: 0 },
  { name: '10 attributes, half of the changes of one key', attributes: 10, hotShare: 0.5 },
]

const recordsPerBatchMax = 500
/** Of the event that Lambda calls a function with: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html */
const eventBytesMax = 6 * 2 ** 20

/** Attributes as a feature store has them: counts and scores, ids and labels, an embedding, a map. */
const valueOf = (index: number, turn: number): JsonValue => {
  switch (index % 5) {
    case 0:
      return { N: String((index * 7919 + turn) % 100_000) }
    case 1:
      return { S: `segment-${index}-${turn % 97}` }
    case 2:
      return { N: `0.${String(1_000_003 + ((index * 104_729 + turn * 31) % 8_999_990)).replace(/0$/, '1')}` }
    case 3:
      return { B: Buffer.alloc(24, index + turn).toString('base64') }
    default:
      return { M: { last: { N: String(1_790_000_000 + turn) }, kind: { S: 'click' }, seen: { BOOL: turn % 2 === 0 } } }
  }
}

const itemOf = (pk: string, shape: Shape, turn: number): JsonItem => ({
  pk: { S: pk },
  ...Object.fromEntries(
    Array.from({ length: shape.attributes - 1 }, (_, index) => [`feature_${index}`, valueOf(index, turn)]),
  ),
})

const recordOf = (pk: string, shape: Shape, sequence: number, second: number): object => ({
  eventID: String(sequence),
  eventName: 'MODIFY',
  eventVersion: '1.1',
  eventSource: 'aws:dynamodb',
  awsRegion: 'us-east-1',
  dynamodb: {
    ApproximateCreationDateTime: second,
    Keys: { pk: { S: pk } },
    NewImage: itemOf(pk, shape, sequence),
    OldImage: itemOf(pk, shape, sequence - 1),
    SequenceNumber: String(sequence).padStart(21, '4'),
    SizeBytes: 0,
    StreamViewType: 'NEW_AND_OLD_IMAGES',
  },
  eventSourceARN: arn,
})

/** How many records of the shape one call of the function gets. */
export const batchSizeOf = (shape: Shape): number => {
  const bytes = JSON.stringify(recordOf('user#100000', shape, 1_000_000, 1_790_000_000)).length
  return Math.min(recordsPerBatchMax, Math.floor(eventBytesMax / bytes))
}

/** Batches of changes, each newer than all that the same source gave before. */
export type Source = { next(batches: number): unknown[][] }

/** `name` keeps the keys of one source apart from those of another; a key comes again after `keys` changes. */
export const createSource = (shape: Shape, name: string, keys: number): Source => {
  let sequence = 1_000_000
  let turn = 0
  const size = batchSizeOf(shape)
  const record = (index: number): object => {
    sequence += 1
    const isHot = index < size * shape.hotShare * 2 && index % 2 === 0 && shape.hotShare > 0
    if (!isHot) turn += 1
    const pk = isHot ? `${name}#hot` : `${name}#${100_000 + (turn % keys)}`
    return recordOf(pk, shape, sequence, 1_790_000_000 + Math.floor(sequence / 1000))
  }
  return {
    // Through text, so that objects have the shape and strings the form that JSON.parse gives them.
    next: (batches) =>
      Array.from(
        { length: batches },
        () => JSON.parse(JSON.stringify(Array.from({ length: size }, (_, index) => record(index)))) as unknown[],
      ),
  }
}
