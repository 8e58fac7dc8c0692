import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import type { DynamoDBStreamEvent, SQSEvent } from 'aws-lambda'
import { requestSchema } from '../../shared/backfill/control.ts'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { matchesPattern, type Pattern } from '../../local/lambda/event-pattern.ts'
import { parseChange } from '../../shared/features/change.ts'
import { rowWrite } from '../../shared/features/write.ts'
import { type ObjectEvent, parseObjectEvents } from '../../shared/weights/events.ts'
import { traceIdOf } from '../../shared/weights/identity.ts'
import { workMessageSchema } from '../../shared/weights/messages.ts'

/** The sample events of `events/`, each read as its function reads it. */

const folder = new URL('../../events/', import.meta.url)
const read = (name: string): unknown => JSON.parse(readFileSync(new URL(name, folder), 'utf8'))
const queueArn = (queue: string): string => `arn:aws:sqs:us-east-1:111122223333:lifeboat-local-${queue}`

const bucket = 'models'
const key = 'my-model/v1/config.json'
const versionId = 'IYV3p45BT0ac8hjHg1houSdS1a.Mro8e'
const etag = '9b2cf535f27731c974343645a3985328'
const notified = Date.parse('2026-05-01T10:00:00.417Z')
const bridged = { at: Date.parse('2026-05-01T10:00:00Z'), account: '111122223333' }

const objectEvents: Record<string, ObjectEvent> = {
  'eventbridge-object-created.json': { kind: 'created', bucket, key, versionId, etag, ...bridged },
  'eventbridge-object-deleted.json': {
    kind: 'deleted',
    bucket,
    key: 'my-model/v1/notes + más/été 100%.txt',
    versionId: '1QW9g1Z99LUNbvaaYVpW9xDlOLU.qxgF',
    deletion: 'Delete Marker Created',
    ...bridged,
  },
  'objects-queue-plan.json': { lifeboat: 1, kind: 'plan', bucket, key, attempt: 1 },
  's3-object-created-copy-encoded-key.json': {
    kind: 'created',
    bucket,
    key: 'my-model/v1/notes + más/été 100%.txt',
    versionId: 'dOg3YBJrD2mMZ0SX0bvqF1bX_4Pz1gq8',
    etag: 'a8ddd6309a1c20ac5b4d4c9bb1b5e1d5',
    at: notified,
  },
  's3-object-created-multipart.json': {
    kind: 'created',
    bucket,
    key: 'my-model/v1/model.safetensors',
    versionId: 'xE.8Bq0SyvQ_kX2Xv0TzR1o7yF5wYpLm',
    etag: '3858f62230ac3c915f300c664312c11f-640',
    at: notified,
  },
  's3-object-created-put.json': { kind: 'created', bucket, key, versionId, etag, at: notified },
  's3-object-created-via-sns.json': { kind: 'created', bucket, key, versionId, etag, at: notified },
  's3-object-removed-delete-marker.json': {
    kind: 'deleted',
    bucket,
    key,
    versionId: 'Yd5mGm1cJ0yQ2dHkz8hWbE3nq7uVt0aR',
    deletion: 'ObjectRemoved:DeleteMarkerCreated',
    at: notified,
  },
  's3-object-removed-delete.json': {
    kind: 'deleted',
    bucket,
    key,
    versionId,
    deletion: 'ObjectRemoved:Delete',
    at: notified,
  },
  's3-test-event.json': { kind: 'test' },
}

const multipart = 'my-model/v1/model.safetensors'
const multipartVersion = 'xE.8Bq0SyvQ_kX2Xv0TzR1o7yF5wYpLm'
const workMessages: Record<string, object> = {
  'segments-queue-digest.json': {
    kind: 'digest',
    traceId: traceIdOf(bucket, multipart, multipartVersion),
    algorithm: 'SHA256',
    purpose: 'check',
  },
  'segments-queue-segment.json': { kind: 'segment', traceId: traceIdOf(bucket, key, versionId), offset: 0, size: 1024 },
}

const streamRecords: Record<string, { eventName: string; sk: string }> = {
  'ledger-stream-counter-finished.json': { eventName: 'MODIFY', sk: 'left#34f80ece1fe8b150#3' },
  'ledger-stream-object-copied.json': { eventName: 'MODIFY', sk: 'object' },
  'ledger-stream-release-requested.json': { eventName: 'INSERT', sk: 'request' },
}

const changesOfRows: Record<string, { eventName: string; isTimeToLive: boolean }[]> = {
  'dynamodb-stream-changes.json': [
    { eventName: 'INSERT', isTimeToLive: false },
    { eventName: 'MODIFY', isTimeToLive: false },
  ],
  'dynamodb-stream-expired.json': [{ eventName: 'REMOVE', isTimeToLive: true }],
}
const calls = [
  'backfill-objects.json',
  'backfill-table.json',
  'compare-rows.json',
  'redrive.json',
  'schedule-compare-rows.json',
  'schedule-reconcile.json',
  'schedule-sweep.json',
]

/** The one record of an SQS event, held to what SQS itself would have made of its body. */
const messageOf = (name: string, queue: string): string => {
  const { Records } = read(name) as SQSEvent
  const [record] = Records
  expect(Records).toHaveLength(1)
  expect(record).toMatchObject({
    eventSource: 'aws:sqs',
    eventSourceARN: queueArn(queue),
    awsRegion: 'us-east-1',
    attributes: { ApproximateReceiveCount: '1' },
    md5OfBody: createHash('md5')
      .update(record?.body ?? '')
      .digest('hex'),
  })
  return record?.body ?? ''
}

type Serverless = {
  functions: { commitObject?: { events: { stream?: { filterPatterns: Pattern[] }; schedule?: { input: object } }[] } }[]
}
const deployed = (
  parse(readFileSync(new URL('../../serverless.yml', import.meta.url), 'utf8'), { logLevel: 'error' }) as Serverless
).functions[0]!.commitObject!.events

describe('the sample events', () => {
  test('are those that this test knows and that the README tells of', () => {
    const files = readdirSync(folder).filter((name) => name.endsWith('.json'))
    const known = [...[objectEvents, workMessages, streamRecords, changesOfRows].flatMap(Object.keys), ...calls]
    expect(files.toSorted()).toEqual(known.toSorted())
    const readme = readFileSync(new URL('README.md', folder), 'utf8')
    const told = Array.from(readme.matchAll(/^\| `([^`]+)`/gm), ([, name]) => name ?? '')
    expect(told.toSorted()).toEqual(known.toSorted())
  })

  test.each(['backfill-objects.json', 'backfill-table.json'])('%s is a request of backfill', (name) => {
    expect(requestSchema.parse(read(name))).toMatchObject({ action: 'start' })
  })

  test.each(Object.entries(objectEvents))('%s says what it is named for', (name, expected) => {
    expect(parseObjectEvents(messageOf(name, 'objects'))).toEqual([expected])
  })

  test.each(Object.entries(workMessages))('%s is a message of the segments queue', (name, expected) => {
    expect(workMessageSchema.parse(JSON.parse(messageOf(name, 'segments')))).toMatchObject(expected)
  })

  test.each(Object.entries(streamRecords))('%s passes the filter of the deployed stream', (name, expected) => {
    const [record, ...others] = (read(name) as DynamoDBStreamEvent).Records
    expect(others).toEqual([])
    const patterns = deployed.flatMap(({ stream }) => stream?.filterPatterns ?? [])
    expect(patterns.some((pattern) => matchesPattern(pattern, record))).toBe(true)
    const { eventName, dynamodb } = record ?? {}
    expect({ eventName, sk: dynamodb?.Keys?.['sk']?.S }).toEqual(expected)
    expect(dynamodb?.NewImage).toMatchObject(dynamodb?.Keys ?? {})
    expect(dynamodb?.OldImage === undefined).toBe(eventName === 'INSERT')
    const untriggered = { ...record, dynamodb: { ...dynamodb, NewImage: { ...dynamodb?.NewImage, left: { N: '1' } } } }
    expect(patterns.some((pattern) => matchesPattern(pattern, untriggered))).toBe(false)
  })

  test.each(Object.entries(changesOfRows))('%s has changes that can be applied', (name, expected) => {
    const { Records } = read(name) as DynamoDBStreamEvent
    const rule = { name: 'features', target: 'features', epoch: 1, omit: new Set<string>() }
    const changes = Records.map((record) => parseChange(record, rule, { partition: 'pk', sort: 'sk' }))
    expect(changes.map(({ isTimeToLive }, at) => ({ eventName: Records[at]?.eventName, isTimeToLive }))).toEqual(
      expected,
    )
    for (const change of changes)
      expect(rowWrite(rule, { ...change, item: change.after }).marker.time).toBe(change.time)
  })

  test.each(['reconcile', 'compare-rows'])('schedule-%s.json is the input of the deployed schedule', (name) => {
    const template = readFileSync(new URL(`../../infra/aws/${name}.yml`, import.meta.url), 'utf8')
    expect(template).toContain(
      `input: ${JSON.stringify(read(`schedule-${name}.json`)).replace(/"(\w+)":"([\w-]+)"/, ' $1: $2 ')}`,
    )
  })

  test('the row of ledger-stream-object-copied.json is that of its object', () => {
    const [record] = (read('ledger-stream-object-copied.json') as DynamoDBStreamEvent).Records
    const image = record?.dynamodb?.NewImage
    const row = JSON.parse(image?.['row']?.S ?? '') as { traceId: string; planId: string; source: { key: string } }
    expect(row).toMatchObject({
      traceId: traceIdOf(bucket, key, versionId),
      planId: image?.['planId']?.S,
      source: { key },
    })
    expect(image?.['pk']).toEqual({ S: `o#${row.traceId}` })
  })

  test('schedule-sweep.json is the input of the deployed schedule', () => {
    expect(deployed.flatMap(({ schedule }) => schedule?.input ?? [])).toEqual([read('schedule-sweep.json')])
  })
})
