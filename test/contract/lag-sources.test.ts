import { CloudWatchClient, GetMetricDataCommand } from '@aws-sdk/client-cloudwatch'
import { CreateBucketCommand, GetObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { CreateQueueCommand, ReceiveMessageCommand, SendMessageCommand, SQSClient } from '@aws-sdk/client-sqs'
import { mockClient } from 'aws-sdk-client-mock'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startS3 } from '../../local/s3/server.ts'
import { startSqs } from '../../local/sqs/server.ts'
import { createCanaryObjects } from '../../shared/clouds/aws/canary-objects.ts'
import { createGauges } from '../../shared/clouds/aws/gauges.ts'
import { createS3Quarantine } from '../../shared/clouds/aws/quarantine.ts'
import { createQuarantineCensus } from '../../shared/clouds/aws/quarantine-census.ts'
import { createQueueCounts, queueNameOf } from '../../shared/clouds/aws/queue-counts.ts'
import { DeniedError } from '../../shared/errors.ts'
import { awsOptions, inFolder, type Running } from '../support/contract-target.ts'

describe('counts of queues, embedded', () => {
  let running: Running
  let sqs: SQSClient
  let url: string
  beforeAll(async () => {
    running = await inFolder((dir) => startSqs({ dir }))
    sqs = new SQSClient(awsOptions(running.url))
    url = (await sqs.send(new CreateQueueCommand({ QueueName: 'lifeboat-dev-objects' }))).QueueUrl!
  })
  afterAll(async () => {
    sqs.destroy()
    await running.close()
  })

  it('have what waits, what is hidden and what is delayed', async () => {
    const name = queueNameOf(url)
    expect(name).toBe('lifeboat-dev-objects')
    const counts = createQueueCounts(sqs, new Map([[name, url]]))
    expect(await counts.count(name)).toEqual({ messages: 0, delayed: 0 })
    for (const DelaySeconds of [0, 0, 600])
      await sqs.send(new SendMessageCommand({ QueueUrl: url, MessageBody: 'x', DelaySeconds }))
    await sqs.send(new ReceiveMessageCommand({ QueueUrl: url, MaxNumberOfMessages: 1 }))
    expect(await counts.count(name)).toEqual({ messages: 3, delayed: 1 })
    await expect(counts.count('other')).rejects.toThrow('no queue other')
  })
})

describe('what CloudWatch says', () => {
  const now = Date.parse('2026-03-01T10:00:00Z')
  const open = () => {
    const mock = mockClient(CloudWatchClient)
    return {
      mock,
      gauges: createGauges(new CloudWatchClient({ region: 'eu-west-1' }), { now: () => now }, 'applyChanges'),
    }
  }

  it('is the newest value of the last five minutes, of the queues that have one', async () => {
    const { mock, gauges } = open()
    mock.on(GetMetricDataCommand).resolves({
      MetricDataResults: [
        { Id: 'm1', Values: [70, 900] },
        { Id: 'm0', Values: [] },
      ],
    })
    expect(await gauges.queueAges(['objects', 'segments'])).toEqual(new Map([['segments', 70]]))
    const input = mock.commandCalls(GetMetricDataCommand)[0]!.args[0].input
    expect(input).toMatchObject({
      StartTime: new Date(now - 300_000),
      EndTime: new Date(now),
      ScanBy: 'TimestampDescending',
    })
    expect(input.MetricDataQueries?.[0]).toEqual({
      Id: 'm0',
      MetricStat: {
        Metric: {
          Namespace: 'AWS/SQS',
          MetricName: 'ApproximateAgeOfOldestMessage',
          Dimensions: [{ Name: 'QueueName', Value: 'objects' }],
        },
        Period: 60,
        Stat: 'Maximum',
      },
    })
  })

  it('is the age of changes in seconds, or nothing', async () => {
    const { mock, gauges } = open()
    mock.on(GetMetricDataCommand).resolvesOnce({ MetricDataResults: [{ Id: 'm0', Values: [4500] }] })
    expect(await gauges.iteratorAge()).toBe(4.5)
    mock.on(GetMetricDataCommand).resolves({ MetricDataResults: [{ Id: 'm0', Values: [] }] })
    expect(await gauges.iteratorAge()).toBeUndefined()
    const [query] = mock.commandCalls(GetMetricDataCommand)[0]!.args[0].input.MetricDataQueries ?? []
    expect(query?.MetricStat?.Metric).toEqual({
      Namespace: 'AWS/Lambda',
      MetricName: 'IteratorAge',
      Dimensions: [{ Name: 'FunctionName', Value: 'applyChanges' }],
    })
  })

  it('is an error where it may not be asked', async () => {
    const { mock, gauges } = open()
    mock.on(GetMetricDataCommand).rejects(Object.assign(new Error('no'), { name: 'AccessDenied' }))
    await expect(gauges.queueAges(['objects'])).rejects.toBeInstanceOf(DeniedError)
  })
})

const recordAt = (time: unknown) => ({ dynamodb: { ApproximateCreationDateTime: time } })

const arnOf = (table: string): string =>
  `arn:aws:dynamodb:us-east-1:111122223333:table/${table}/stream/2026-01-01T00:00:00.000`

/** As Lambda writes one that it gives up. */
const batch = (table: string, ...times: number[]) => ({
  payload: JSON.stringify({
    Records: times.map((time) => ({ ...recordAt(time), eventSourceARN: arnOf(table) })),
  }),
})

describe('S3, embedded', () => {
  let running: Running
  let s3: S3Client
  beforeAll(async () => {
    running = await inFolder((dir) => startS3({ dir }))
    s3 = new S3Client({ ...awsOptions(running.url), forcePathStyle: true })
    for (const Bucket of ['empty', 'quarantine', 'given-up', 'models'])
      await s3.send(new CreateBucketCommand({ Bucket }))
  })
  afterAll(async () => {
    s3.destroy()
    await running.close()
  })

  const second = 1_790_000_000
  const changeOf = (table: string, number: number, record: unknown) => ({
    v: 1 as const,
    table,
    streamArn: arnOf(table),
    sequenceNumber: String(10n ** 20n + BigInt(number)),
    reason: 'too large',
    at: second * 1000,
    record,
  })

  it('has nothing in a quarantine that is empty', async () => {
    expect(await createQuarantineCensus({ s3, bucket: 'empty' }).take()).toEqual(new Map())
  })

  it('has a quarantine counted by table, each as old as its first change', async () => {
    const quarantine = createS3Quarantine({ s3, bucket: 'quarantine' })
    for (const [number, time] of [second + 60, second, second + 90].entries())
      await quarantine.put(changeOf('features', number === 1 ? 0 : number + 1, recordAt(time)))
    await quarantine.put(changeOf('other', 0, recordAt('never')))
    const odd = { Bucket: 'quarantine', Key: 'quarantine/unknown/0/record-1.json', Body: 'not JSON' }
    await s3.send(new PutObjectCommand(odd))
    const before = Date.now() - 60_000
    const census = await createQuarantineCensus({ s3, bucket: 'quarantine' }).take()
    expect(census.get('features')).toEqual({ count: 3, oldestAt: second * 1000 })
    // No time in the record: when it was put.
    for (const table of ['other', 'unknown']) {
      expect(census.get(table)?.count).toBe(1)
      expect(census.get(table)?.oldestAt).toBeGreaterThan(before)
    }
  })

  it('has batches that Lambda gave up counted by the table of their stream, few of them read', async () => {
    const put = (name: string, body: unknown) =>
      s3.send(
        new PutObjectCommand({
          Bucket: 'given-up',
          Key: `aws/lambda/${name}`,
          Body: typeof body === 'string' ? body : JSON.stringify(body),
        }),
      )
    // More than are read, of one shard; the oldest change of the other is in its first file.
    for (let number = 10; number < 40; number += 1)
      await put(`rows/shard-a/2026-01-${number}`, batch('features', second + 60, second + 61))
    await put('rows/shard-b/2026-01-01', batch('features', second + 9, second))
    await put('ledger/shard-c/2026-01-01', batch('lifeboat-dev-ledger', second + 5))
    await put('odd/shard-d/2026-01-01', 'not JSON')
    const before = Date.now() - 60_000
    const census = await createQuarantineCensus({ s3, bucket: 'given-up' }).take()
    // 4 firsts and 16 others are read: 18 of two changes, and 13 count as one.
    expect(census.get('features')).toEqual({ count: 49, oldestAt: second * 1000 })
    expect(census.get('lifeboat-dev-ledger')).toEqual({ count: 1, oldestAt: (second + 5) * 1000 })
    expect(census.get('unknown')?.count).toBe(1)
    expect(census.get('unknown')?.oldestAt).toBeGreaterThan(before)
  })

  it('takes a canary object', async () => {
    expect(await createCanaryObjects(s3).put('models', 'm/canary', 'now')).toBeUndefined()
    const { Body } = await s3.send(new GetObjectCommand({ Bucket: 'models', Key: 'm/canary' }))
    expect(await Body?.transformToString()).toBe('now')
    await expect(createCanaryObjects(s3).put('none', 'canary', 'now')).rejects.toThrow('put s3://none/canary')
  })
})
