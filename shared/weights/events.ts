import * as z from 'zod'
import { InvalidInputError } from '../errors.ts'
import { type PlanMessage, planMessageSchema } from './messages.ts'

/**
 * What a message of the objects queue says. `versionId` is absent where the bucket has none; `etag` without quotes.
 * Both S3's shapes are read: https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
 * and https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
 */
export type ObjectEvent =
  | { kind: 'created'; bucket: string; key: string; versionId?: string; etag?: string; at: number; account?: string }
  | { kind: 'deleted'; bucket: string; key: string; versionId?: string; deletion: string; at: number; account?: string }
  | { kind: 'test' }
  /** One of several in a message; the others are none the worse for it. */
  | { kind: 'malformed'; reason: string; text: string }
  | PlanMessage

/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html: UTF-8 of at most 1,024 bytes. */
const keyBytesMax = 1024
const isKey = (key: string): boolean =>
  key !== '' && key.isWellFormed() && new TextEncoder().encode(key).length <= keyBytesMax
const keySchema = z.string().refine(isKey, { error: 'not a key of S3' })

const notificationSchema = z.object({
  eventName: z.string(),
  eventTime: z.string(),
  s3: z.object({
    bucket: z.object({ name: z.string() }),
    object: z.object({ key: z.string().min(1), versionId: z.string().optional(), eTag: z.string().optional() }),
  }),
})

const eventBridgeSchema = z.object({
  source: z.literal('aws.s3'),
  'detail-type': z.string(),
  account: z.string(),
  time: z.string(),
  detail: z.object({
    bucket: z.object({ name: z.string() }),
    object: z.object({ key: keySchema, etag: z.string().optional(), 'version-id': z.string().optional() }),
    'deletion-type': z.string().optional(),
  }),
})

const timeOf = (text: string): number => {
  const at = Date.parse(text)
  if (Number.isNaN(at)) throw new InvalidInputError(`an event's time is "${text}", expected RFC 3339`)
  return at
}

/** Keys are form-encoded in notifications: `+` is a space, then percent-decoding. */
const decodeNotificationKey = (key: string): string => {
  let decoded: string
  try {
    decoded = decodeURIComponent(key.replaceAll('+', ' '))
  } catch (cause) {
    throw new InvalidInputError(`an event's key "${key}" is not form-encoded`, { cause })
  }
  if (!isKey(decoded)) throw new InvalidInputError(`an event's key is not one of S3: ${JSON.stringify(decoded)}`)
  return decoded
}

const versioned = (versionId: string | undefined): { versionId?: string } =>
  versionId === undefined || versionId === 'null' || versionId === '' ? {} : { versionId }

const fromNotification = (record: unknown): ObjectEvent => {
  const parsed = notificationSchema.safeParse(record)
  if (!parsed.success)
    throw new InvalidInputError(`an S3 notification without ${parsed.error.issues[0]?.path.join('.')}`)
  const { eventName, eventTime, s3 } = parsed.data
  const common = {
    bucket: s3.bucket.name,
    key: decodeNotificationKey(s3.object.key),
    ...versioned(s3.object.versionId),
    at: timeOf(eventTime),
  }
  if (eventName.startsWith('ObjectCreated:'))
    return { kind: 'created', ...common, ...(s3.object.eTag === undefined ? {} : { etag: s3.object.eTag }) }
  if (eventName.startsWith('ObjectRemoved:') || eventName.startsWith('LifecycleExpiration:'))
    return { kind: 'deleted', ...common, deletion: eventName }
  throw new InvalidInputError(`an S3 notification of the kind "${eventName}", expected ObjectCreated or ObjectRemoved`)
}

const fromRecord = (record: unknown): ObjectEvent => {
  try {
    return fromNotification(record)
  } catch (error) {
    if (!(error instanceof InvalidInputError)) throw error
    return { kind: 'malformed', reason: error.message, text: JSON.stringify(record) }
  }
}

const fromEventBridge = (body: unknown): ObjectEvent => {
  const parsed = eventBridgeSchema.safeParse(body)
  if (!parsed.success)
    throw new InvalidInputError(`an EventBridge event without ${parsed.error.issues[0]?.path.join('.')}`)
  const { detail, account, time } = parsed.data
  const common = {
    bucket: detail.bucket.name,
    key: detail.object.key,
    ...versioned(detail.object['version-id']),
    at: timeOf(time),
    account,
  }
  switch (parsed.data['detail-type']) {
    case 'Object Created':
      return { kind: 'created', ...common, ...(detail.object.etag === undefined ? {} : { etag: detail.object.etag }) }
    case 'Object Deleted':
      return { kind: 'deleted', ...common, deletion: detail['deletion-type'] ?? 'Object Deleted' }
    default:
      throw new InvalidInputError(
        `an EventBridge event of the kind "${parsed.data['detail-type']}", expected Object Created or Object Deleted`,
      )
  }
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null

const parseJson = (text: string): Record<string, unknown> => {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new InvalidInputError('a message that is not JSON', { cause })
  }
  if (!isRecord(value)) throw new InvalidInputError('a message that is not a JSON object')
  return value
}

/** The events in one message of the objects queue. Throws InvalidInputError for anything that is none. */
export const parseObjectEvents = (text: string): ObjectEvent[] => {
  const body = parseJson(text)
  if (body['lifeboat'] !== undefined) {
    const message = planMessageSchema.safeParse(body)
    if (!message.success)
      throw new InvalidInputError(`a plan message without ${message.error.issues[0]?.path.join('.')}`)
    return [message.data]
  }
  if (body['Type'] === 'Notification' && typeof body['Message'] === 'string') return parseObjectEvents(body['Message'])
  if (body['Event'] === 's3:TestEvent') return [{ kind: 'test' }]
  if (Array.isArray(body['Records'])) return body['Records'].map(fromRecord)
  if (body['source'] === 'aws.s3') return [fromEventBridge(body)]
  throw new InvalidInputError('a message that is neither an S3 notification nor an EventBridge event of S3')
}
