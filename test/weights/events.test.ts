import { assert, property, string } from 'fast-check'
import { describe, expect, it } from 'vitest'
import { InvalidInputError } from '../../shared/errors.ts'
import { parseObjectEvents } from '../../shared/weights/events.ts'

const record = (over: Record<string, unknown> = {}, object: Record<string, unknown> = {}) => ({
  eventVersion: '2.1',
  eventSource: 'aws:s3',
  awsRegion: 'eu-west-1',
  eventTime: '2026-01-02T03:04:05.678Z',
  eventName: 'ObjectCreated:Put',
  s3: {
    s3SchemaVersion: '1.0',
    bucket: { name: 'models', arn: 'arn:aws:s3:::models' },
    object: { key: 'a/b.bin', size: 5, eTag: 'abc', versionId: 'v1', sequencer: '0055AED6DCD90281E5', ...object },
  },
  ...over,
})
const notification = (...records: unknown[]): string => JSON.stringify({ Records: records })
const bridged = (over: Record<string, unknown> = {}, object: Record<string, unknown> = {}): string =>
  JSON.stringify({
    version: '0',
    id: '17793124-05d4-b198-2fde-7ededc63b103',
    'detail-type': 'Object Created',
    source: 'aws.s3',
    account: '111122223333',
    time: '2026-01-02T03:04:05Z',
    region: 'eu-west-1',
    detail: {
      version: '0',
      bucket: { name: 'models' },
      object: { key: 'a/b.bin', size: 5, etag: 'abc', 'version-id': 'v1', ...object },
      reason: 'PutObject',
    },
    ...over,
  })
const at = Date.UTC(2026, 0, 2, 3, 4, 5)

/** As S3 does: everything but unreserved characters and the slash, with a plus for a space. */
const formEncode = (key: string): string =>
  encodeURIComponent(key).replaceAll('%20', '+').replaceAll('%2F', '/').replaceAll('*', '%2A')

describe('parseObjectEvents', () => {
  it('reads an S3 notification', () => {
    expect(parseObjectEvents(notification(record()))).toEqual([
      { kind: 'created', bucket: 'models', key: 'a/b.bin', versionId: 'v1', etag: 'abc', at: at + 678 },
    ])
  })

  it('reads a notification inside SNS', () => {
    const text = JSON.stringify({ Type: 'Notification', MessageId: 'm', Message: notification(record()) })
    expect(parseObjectEvents(text)).toMatchObject([{ kind: 'created', key: 'a/b.bin' }])
  })

  it('reads an EventBridge event, bare and inside SNS', () => {
    const expected = [
      { kind: 'created', bucket: 'models', key: 'a/b.bin', versionId: 'v1', etag: 'abc', at, account: '111122223333' },
    ]
    expect(parseObjectEvents(bridged())).toEqual(expected)
    expect(parseObjectEvents(JSON.stringify({ Type: 'Notification', Message: bridged() }))).toEqual(expected)
  })

  it('reads every record of a message', () => {
    const found = parseObjectEvents(notification(record(), record({}, { key: 'c' })))
    expect(found.map((event) => 'key' in event && event.key)).toEqual(['a/b.bin', 'c'])
  })

  it('acknowledges a test event, bare and inside SNS', () => {
    const text = JSON.stringify({ Service: 'Amazon S3', Event: 's3:TestEvent', Bucket: 'models' })
    expect(parseObjectEvents(text)).toEqual([{ kind: 'test' }])
    expect(parseObjectEvents(JSON.stringify({ Type: 'Notification', Message: text }))).toEqual([{ kind: 'test' }])
  })

  it.each(['null', ''])('takes the version id %j for none', (versionId) => {
    expect(parseObjectEvents(notification(record({}, { versionId })))[0]).not.toHaveProperty('versionId')
    expect(parseObjectEvents(bridged({}, { 'version-id': versionId }))[0]).not.toHaveProperty('versionId')
  })

  it.each([
    ['a space', 'my model.bin', 'my+model.bin'],
    ['a plus', 'a+b.bin', 'a%2Bb.bin'],
    ['a percent', '100%.bin', '100%25.bin'],
    ['what looks encoded', 'a%2Bb.bin', 'a%252Bb.bin'],
    ['unicode', 'modèle/重み.bin', 'mod%C3%A8le/%E9%87%8D%E3%81%BF.bin'],
    ['a newline', 'a\nb', 'a%0Ab'],
    ['1,024 bytes', 'é'.repeat(512), '%C3%A9'.repeat(512)],
    ['dots', '../a/./b', '../a/./b'],
  ])('decodes a key with %s from a notification and takes it plain from EventBridge', (_what, key, encoded) => {
    expect(parseObjectEvents(notification(record({}, { key: encoded })))).toMatchObject([{ kind: 'created', key }])
    expect(parseObjectEvents(bridged({}, { key }))).toMatchObject([{ kind: 'created', key }])
  })

  it('decodes every key that S3 takes', () => {
    assert(
      property(string({ unit: 'grapheme', minLength: 1, maxLength: 60 }), (key) => {
        const [event] = parseObjectEvents(notification(record({}, { key: formEncode(key) })))
        expect(event).toMatchObject({ kind: 'created', key })
      }),
    )
  })

  it.each([
    ['ObjectRemoved:Delete', notification(record({ eventName: 'ObjectRemoved:Delete' }))],
    ['LifecycleExpiration:Delete', notification(record({ eventName: 'LifecycleExpiration:Delete' }))],
    [
      'Permanently Deleted',
      bridged({
        'detail-type': 'Object Deleted',
        detail: { bucket: { name: 'models' }, object: { key: 'a' }, 'deletion-type': 'Permanently Deleted' },
      }),
    ],
  ])('reads a deletion: %s', (deletion, text) => {
    expect(parseObjectEvents(text)).toMatchObject([{ kind: 'deleted', bucket: 'models', deletion }])
  })

  it('reads an order of our own', () => {
    const order = { lifeboat: 1, kind: 'plan', bucket: 'models', key: 'a b', versionId: 'v', attempt: 2 }
    expect(parseObjectEvents(JSON.stringify(order))).toEqual([order])
  })

  it.each([
    ['no JSON', 'hello'],
    ['nothing', ''],
    ['a list', '[]'],
    ['a number', '5'],
    ['null', 'null'],
    ['another source', JSON.stringify({ source: 'aws.ec2', 'detail-type': 'x' })],
    ['an order of a newer version', JSON.stringify({ lifeboat: 2, kind: 'plan', bucket: 'b', key: 'k' })],
    ['EventBridge without a key', bridged({ detail: { bucket: { name: 'models' }, object: {} } })],
    ['EventBridge without an account', bridged({ account: undefined })],
    ['EventBridge of another kind', bridged({ 'detail-type': 'Object Tags Added' })],
    ['EventBridge with a bad time', bridged({ time: 'yesterday' })],
    ['an empty key', bridged({}, { key: '' })],
    ['a key above 1,024 bytes', bridged({}, { key: 'é'.repeat(513) })],
    ['a key that is no UTF-8', bridged({}, { key: 'a\ud800' })],
  ])('refuses %s', (_what, text) => {
    expect(() => parseObjectEvents(text)).toThrow(InvalidInputError)
  })

  it.each([
    ['without a bucket', { ...record(), s3: { object: { key: 'a' } } }],
    ['of another kind', record({ eventName: 'ObjectTagging:Put' })],
    ['with a key that is not form-encoded', record({}, { key: '%' })],
    ['with a key that is no UTF-8', record({}, { key: '%FF' })],
    ['with an empty key', record({}, { key: '' })],
    ['with a long key', record({}, { key: 'a'.repeat(1025) })],
    ['with a bad time', record({ eventTime: 'soon' })],
    ['that is no record', 7],
  ])('tells one record %s from the good ones beside it', (_what, bad) => {
    expect(parseObjectEvents(notification(record(), bad))).toMatchObject([
      { kind: 'created', key: 'a/b.bin' },
      { kind: 'malformed', text: JSON.stringify(bad) },
    ])
  })
})
