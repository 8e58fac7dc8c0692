import {
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  type Event,
  GetBucketNotificationConfigurationCommand,
  type NotificationConfiguration,
  PutBucketNotificationConfigurationCommand,
  PutObjectCommand,
  type S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { failureOf, md5, setVersioning, startEmbedded } from './s3-support.ts'
import { type Receiver, startReceiver } from './s3-receiver.ts'

const queueArn = 'arn:aws:sqs:us-east-1:111122223333:objects'
const now = Date.UTC(2026, 0, 2, 3, 4, 5, 678)

describe('S3 events', () => {
  let receiver: Receiver
  let embedded: Awaited<ReturnType<typeof startEmbedded>>
  let client: S3Client
  beforeAll(async () => {
    receiver = await startReceiver()
    embedded = await startEmbedded({ eventsUrl: receiver.url, now: () => now, account: '444455556666' })
    client = embedded.client
  })
  afterAll(async () => {
    await embedded.stop()
    await receiver.close()
  })

  const bucketWith = async (Bucket: string, NotificationConfiguration: NotificationConfiguration): Promise<void> => {
    await client.send(new CreateBucketCommand({ Bucket }))
    await client.send(new PutBucketNotificationConfigurationCommand({ Bucket, NotificationConfiguration }))
  }
  const delivered = async () => {
    await vi.waitFor(() => expect(embedded.server.pendingEvents()).toBe(0))
    return receiver.take()
  }
  const put = (Bucket: string, Key: string, Body = 'hello') => client.send(new PutObjectCommand({ Bucket, Key, Body }))

  test('EventBridge gets the whole envelope, with the key plain', async () => {
    await bucketWith('bridge', { EventBridgeConfiguration: {} })
    await setVersioning({ client, bucket: 'bridge' }, 'Enabled')
    const { VersionId } = await put('bridge', 'a b+c/é')
    expect(await delivered()).toEqual([
      {
        kind: 'eventbridge',
        event: {
          version: '0',
          id: expect.stringMatching(/^[0-9a-f-]{36}$/) as string,
          'detail-type': 'Object Created',
          source: 'aws.s3',
          account: '444455556666',
          time: '2026-01-02T03:04:05Z',
          region: 'us-east-1',
          resources: ['arn:aws:s3:::bridge'],
          detail: {
            version: '0',
            bucket: { name: 'bridge' },
            object: {
              key: 'a b+c/é',
              size: 5,
              etag: md5(Buffer.from('hello')),
              'version-id': VersionId,
              sequencer: expect.stringMatching(/^[0-9A-F]{18}$/) as string,
            },
            'request-id': expect.stringMatching(/^[0-9A-F]{16}$/) as string,
            requester: '444455556666',
            'source-ip-address': '127.0.0.1',
            reason: 'PutObject',
          },
        },
      },
    ])
  })

  test('EventBridge tells how an object came and how it went, in order', async () => {
    await bucketWith('ways', { EventBridgeConfiguration: {} })
    await setVersioning({ client, bucket: 'ways' }, 'Enabled')
    const at = { Bucket: 'ways', Key: 'k' }
    const first = await put('ways', 'k')
    await client.send(new CopyObjectCommand({ ...at, CopySource: 'ways/k', MetadataDirective: 'REPLACE' }))
    const { UploadId } = await client.send(new CreateMultipartUploadCommand(at))
    const { ETag } = await client.send(new UploadPartCommand({ ...at, UploadId, PartNumber: 1, Body: 'part' }))
    const MultipartUpload = { Parts: [{ ETag, PartNumber: 1 }] }
    const whole = await client.send(new CompleteMultipartUploadCommand({ ...at, UploadId, MultipartUpload }))
    const marker = await client.send(new DeleteObjectCommand(at))
    await client.send(
      new DeleteObjectsCommand({ Bucket: 'ways', Delete: { Objects: [{ Key: 'k', VersionId: first.VersionId }] } }),
    )
    const events = (await delivered()).map(({ event }) => event!)
    expect(events.map(({ detail }) => [detail.reason, detail['deletion-type'], detail.object['version-id']])).toEqual([
      ['PutObject', undefined, first.VersionId],
      ['CopyObject', undefined, expect.any(String)],
      ['CompleteMultipartUpload', undefined, whole.VersionId],
      ['DeleteObject', 'Delete Marker Created', marker.VersionId],
      ['DeleteObject', 'Permanently Deleted', first.VersionId],
    ])
    expect(events.map((event) => event['detail-type'])).toEqual([
      ...Array<string>(3).fill('Object Created'),
      ...Array<string>(2).fill('Object Deleted'),
    ])
    const sequencers = events.map(({ detail }) => detail.object.sequencer)
    expect(sequencers).toEqual(sequencers.toSorted())
    expect(new Set(sequencers).size).toBe(5)
    expect(events[2]!.detail.object).toMatchObject({ size: 4, etag: whole.ETag!.replaceAll('"', '') })
    expect(events[4]!.detail.object).not.toHaveProperty('size')
  })

  test('a queue gets a test event, then records with form-encoded keys that its filters let through', async () => {
    await bucketWith('queued', {
      QueueConfigurations: [
        {
          Id: 'weights',
          QueueArn: queueArn,
          Events: ['s3:ObjectCreated:*'],
          Filter: {
            Key: {
              FilterRules: [
                { Name: 'prefix', Value: 'a b/' },
                { Name: 'suffix', Value: '.bin' },
              ],
            },
          },
        },
      ],
    })
    expect(await delivered()).toMatchObject([
      { kind: 'queue', queueArn, message: { Service: 'Amazon S3', Event: 's3:TestEvent', Bucket: 'queued' } },
    ])
    await put('queued', 'a b/x+é~.bin')
    await put('queued', 'other/x.bin')
    await put('queued', 'a b/x.txt')
    await client.send(new DeleteObjectCommand({ Bucket: 'queued', Key: 'a b/x+é~.bin' }))
    const messages = await delivered()
    expect(messages).toHaveLength(1)
    expect(messages[0]!.message!.Records).toMatchObject([
      {
        eventVersion: '2.1',
        eventSource: 'aws:s3',
        awsRegion: 'us-east-1',
        eventTime: '2026-01-02T03:04:05.678Z',
        eventName: 'ObjectCreated:Put',
        s3: {
          s3SchemaVersion: '1.0',
          configurationId: 'weights',
          bucket: { name: 'queued', arn: 'arn:aws:s3:::queued' },
          object: { key: 'a+b/x%2B%C3%A9%7E.bin', size: 5, eTag: md5(Buffer.from('hello')) },
        },
      },
    ])
    expect(messages[0]!.message!.Records![0]!.s3.object).not.toHaveProperty('versionId')
  })

  test('queues and EventBridge both get removals, with the version where there is one', async () => {
    await bucketWith('both', {
      EventBridgeConfiguration: {},
      QueueConfigurations: [{ QueueArn: queueArn, Events: ['s3:ObjectRemoved:DeleteMarkerCreated'] }],
    })
    await setVersioning({ client, bucket: 'both' }, 'Enabled')
    await delivered()
    const { VersionId } = await client.send(new DeleteObjectCommand({ Bucket: 'both', Key: 'k' }))
    await client.send(new DeleteObjectCommand({ Bucket: 'both', Key: 'k', VersionId }))
    const messages = await delivered()
    expect(messages.map(({ kind }) => kind)).toEqual(['eventbridge', 'queue', 'eventbridge'])
    expect(messages[1]!.message!.Records![0]!.s3.object).toMatchObject({ key: 'k', versionId: VersionId })
  })

  test('nothing is told of a bucket without configuration, nor of what did not happen', async () => {
    await client.send(new CreateBucketCommand({ Bucket: 'silent' }))
    await put('silent', 'k')
    await bucketWith('quiet', { EventBridgeConfiguration: {} })
    await client.send(new DeleteObjectCommand({ Bucket: 'quiet', Key: 'never was' }))
    await failureOf(client.send(new PutObjectCommand({ Bucket: 'quiet', Key: 'k', Body: 'x', IfMatch: '"0"' })))
    expect(await delivered()).toEqual([])
  })

  test('a configuration is read back as it was put, and refused where it cannot be served', async () => {
    const configuration = {
      EventBridgeConfiguration: {},
      QueueConfigurations: [
        {
          Id: 'q',
          QueueArn: queueArn,
          Events: ['s3:ObjectCreated:Put', 's3:ObjectRemoved:*'] as Event[],
          Filter: { Key: { FilterRules: [{ Name: 'prefix' as const, Value: 'models & co/' }] } },
        },
      ],
    }
    await bucketWith('config', configuration)
    const read = await client.send(new GetBucketNotificationConfigurationCommand({ Bucket: 'config' }))
    expect(read).toMatchObject(configuration)
    const topic = {
      TopicConfigurations: [{ TopicArn: 'arn:aws:sns:us-east-1:1:t', Events: ['s3:ObjectCreated:*'] as Event[] }],
    }
    expect(await failureOf(bucketWith('config', topic))).toMatchObject({ status: 501 })
    await delivered()
  })

  test('a receiver that fails gets every event again until it takes it, in order', async () => {
    await bucketWith('again', { EventBridgeConfiguration: {} })
    receiver.failNext(3)
    for (const key of ['1', '2', '3']) await put('again', key)
    const keys = (await delivered()).map(({ event }) => event!.detail.object.key)
    expect(keys).toEqual(['1', '2', '3'])
    expect(receiver.refused()).toBe(3)
  })
})
