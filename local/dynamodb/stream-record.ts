import { randomBytes } from 'node:crypto'
import { itemBytes, sameItem } from './attribute-values.ts'
import type { ItemChange } from './overlay.ts'
import { toSequenceNumber } from './sequence.ts'
import type { Stream } from './stream-catalog.ts'
import type { Item } from './wire.ts'

export type UserIdentity = { Type: 'Service'; PrincipalId: 'dynamodb.amazonaws.com' }

/** False for a write that left the item as it was: AWS makes no record of it. */
export const isChange = ({ before, after }: ItemChange): boolean =>
  before && after ? !sameItem(before, after) : before !== undefined || after !== undefined

export const keysOf = (stream: Stream, { before, after }: ItemChange): Item => {
  const item = after ?? before ?? {}
  return Object.fromEntries(stream.keySchema.map(({ AttributeName: name }) => [name, item[name] ?? {}]))
}

const eventName = ({ before, after }: ItemChange): string => (!before ? 'INSERT' : !after ? 'REMOVE' : 'MODIFY')

/** One change as GetRecords answers it; the time is floored to seconds, as AWS gives it. */
export const toStreamRecord = (options: {
  stream: Stream
  change: ItemChange
  counter: number
  at: number
  region: string
  userIdentity?: UserIdentity
}): unknown => {
  const { stream, change, counter } = options
  const images = {
    ...(stream.view.includes('NEW') && change.after && { NewImage: change.after }),
    ...(stream.view.includes('OLD') && change.before && { OldImage: change.before }),
  }
  const keys = keysOf(stream, change)
  return {
    eventID: randomBytes(16).toString('hex'),
    eventName: eventName(change),
    eventVersion: '1.1',
    eventSource: 'aws:dynamodb',
    awsRegion: options.region,
    dynamodb: {
      ApproximateCreationDateTime: Math.floor(options.at / 1000),
      Keys: keys,
      ...images,
      SequenceNumber: toSequenceNumber(counter),
      SizeBytes: [keys, ...Object.values(images)].reduce((total, item) => total + itemBytes(item), 0),
      StreamViewType: stream.view,
    },
    ...(options.userIdentity && { userIdentity: options.userIdentity }),
  }
}
