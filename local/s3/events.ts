import { randomUUID } from 'node:crypto'
import type { Call } from './call.ts'
import { encodeKey, isoSeconds } from './render.ts'
import { nextRank } from './store.ts'
import { type Bucket, keyText, type VersionRow } from './versions.ts'

export type QueueConfiguration = { id: string; queueArn: string; events: string[]; prefix: string; suffix: string }

type EventName =
  | 'ObjectCreated:Put'
  | 'ObjectCreated:Copy'
  | 'ObjectCreated:CompleteMultipartUpload'
  | 'ObjectRemoved:Delete'
  | 'ObjectRemoved:DeleteMarkerCreated'

/** What happened to `row`: it came to be, or it is gone. */
type Happening = {
  name: EventName
  reason: 'PutObject' | 'CopyObject' | 'CompleteMultipartUpload' | 'DeleteObject'
  row: VersionRow
}

type Told = Happening & { call: Call; bucket: Bucket; key: string; sequencer: string; now: number }

/** S3 tells no version where there is only the `null` one. */
const versionOf = (row: VersionRow): string | undefined => (row.version === 'null' ? undefined : row.version)

/** Delete markers carry the ETag of nothing; a version deleted for good is only named. */
const sizeAndEtag = ({ name, row }: Happening): { size?: number; etag?: string } => {
  if (name.startsWith('ObjectCreated:')) return { size: row.size, etag: row.etag }
  return name === 'ObjectRemoved:DeleteMarkerCreated' ? { etag: row.etag } : {}
}

const deletionType = (name: EventName): string | undefined => {
  if (name === 'ObjectRemoved:Delete') return 'Permanently Deleted'
  return name === 'ObjectRemoved:DeleteMarkerCreated' ? 'Delete Marker Created' : undefined
}

/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html; the key is plain. */
const eventBridgeEvent = (told: Told) => ({
  version: '0',
  id: randomUUID(),
  'detail-type': told.name.startsWith('ObjectCreated:') ? 'Object Created' : 'Object Deleted',
  source: 'aws.s3',
  account: told.call.s3.account,
  time: isoSeconds(told.now).replace('.000Z', 'Z'),
  region: told.bucket.region,
  resources: [`arn:aws:s3:::${told.bucket.name}`],
  detail: {
    version: '0',
    bucket: { name: told.bucket.name },
    object: {
      key: told.key,
      ...sizeAndEtag(told),
      'version-id': versionOf(told.row),
      sequencer: told.sequencer,
    },
    'request-id': told.call.requestId,
    requester: told.call.s3.account,
    'source-ip-address': '127.0.0.1',
    reason: told.reason,
    'deletion-type': deletionType(told.name),
  },
})

/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html; the key is form-encoded. */
const notificationRecord = (told: Told, configurationId: string) => {
  const { size, etag } = sizeAndEtag(told)
  return {
    eventVersion: '2.1',
    eventSource: 'aws:s3',
    awsRegion: told.bucket.region,
    eventTime: new Date(told.now).toISOString(),
    eventName: told.name,
    userIdentity: { principalId: `AWS:${told.call.s3.account}` },
    requestParameters: { sourceIPAddress: '127.0.0.1' },
    responseElements: { 'x-amz-request-id': told.call.requestId, 'x-amz-id-2': told.call.requestId },
    s3: {
      s3SchemaVersion: '1.0',
      configurationId,
      bucket: {
        name: told.bucket.name,
        ownerIdentity: { principalId: told.call.s3.account },
        arn: `arn:aws:s3:::${told.bucket.name}`,
      },
      object: { key: encodeKey(told.key), size, eTag: etag, versionId: versionOf(told.row), sequencer: told.sequencer },
    },
  }
}

export const queuesOf = (bucket: Bucket): QueueConfiguration[] => JSON.parse(bucket.queues) as QueueConfiguration[]

const wants = (queue: QueueConfiguration, name: EventName, key: string): boolean =>
  queue.events.some(
    (event) => event === `s3:${name}` || (event.endsWith(':*') && `s3:${name}`.startsWith(event.slice(0, -1))),
  ) &&
  key.startsWith(queue.prefix) &&
  key.endsWith(queue.suffix)

/** Puts the events of a change into the outbox; to be called within the change's own transaction. */
export const announce = (call: Call, bucket: Bucket, happening: Happening): void => {
  const queues = queuesOf(bucket)
  if (bucket.eventBridge === 0 && queues.length === 0) return
  const sequencer = nextRank(call.s3.store).toString(16).toUpperCase().padStart(18, '0')
  const told: Told = { ...happening, call, bucket, key: keyText(happening.row.key), sequencer, now: call.s3.now() }
  if (bucket.eventBridge === 1) call.s3.outbox.add({ kind: 'eventbridge', event: eventBridgeEvent(told) })
  for (const queue of queues)
    if (wants(queue, told.name, told.key))
      call.s3.outbox.add({
        kind: 'queue',
        queueArn: queue.queueArn,
        message: { Records: [notificationRecord(told, queue.id)] },
      })
}

/** What S3 sends to each queue of a configuration when it is put. */
export const announceTest = (call: Call, bucket: Bucket, queueArn: string): void =>
  call.s3.outbox.add({
    kind: 'queue',
    queueArn,
    message: {
      Service: 'Amazon S3',
      Event: 's3:TestEvent',
      Time: new Date(call.s3.now()).toISOString(),
      Bucket: bucket.name,
      RequestId: call.requestId,
      HostId: call.requestId,
    },
  })
