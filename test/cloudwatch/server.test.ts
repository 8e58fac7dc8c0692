import {
  CloudWatchClient,
  DescribeAlarmsCommand,
  GetMetricDataCommand,
  ListMetricsCommand,
} from '@aws-sdk/client-cloudwatch'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parseEmf } from '../../local/cloudwatch/emf.ts'
import { type Reported, startCloudWatch } from '../../local/cloudwatch/server.ts'
import { createMetricStore } from '../../local/cloudwatch/store.ts'
import { awsOptions } from '../support/contract-target.ts'

type Served = Awaited<ReturnType<typeof startCloudWatch>>
let served: Served
let client: CloudWatchClient
beforeAll(async () => {
  served = await startCloudWatch({})
  client = new CloudWatchClient({ ...awsOptions(served.url), maxAttempts: 1 })
})
afterAll(async () => {
  client.destroy()
  await served.close()
})

const report = async (reported: Reported, url = served.url): Promise<void> => {
  const answer = await fetch(`${url}/_lifeboat/report`, { method: 'POST', body: JSON.stringify(reported) })
  expect(answer.status).toBe(200)
}
const emf = (timestampMs: number, members: object, metrics = Object.keys(members)): string =>
  JSON.stringify({
    _aws: {
      Timestamp: timestampMs,
      CloudWatchMetrics: [
        { Namespace: 'Lifeboat', Dimensions: [['service']], Metrics: metrics.map((Name) => ({ Name, Unit: 'Count' })) },
      ],
    },
    service: 'lifeboat-local',
    ...members,
  })
const alarm = (name: string, changes: object = {}) => ({
  name,
  description: `about ${name}`,
  namespace: 'Lifeboat',
  metric: 'Heartbeats',
  dimensions: { service: 'lifeboat-local' },
  statistic: 'Sum',
  periodSeconds: 60,
  evaluationPeriods: 2,
  datapointsToAlarm: 2,
  threshold: 1,
  comparison: 'LessThanThreshold' as const,
  missing: 'breaching' as const,
  ...changes,
})
const query = (Id: string, Stat: string, MetricName: string, Period = 60) => ({
  Id,
  MetricStat: {
    Metric: { Namespace: 'Lifeboat', MetricName, Dimensions: [{ Name: 'service', Value: 'lifeboat-local' }] },
    Period,
    Stat,
  },
})

describe('the embedded CloudWatch', () => {
  it('answers the client what functions printed, by the minute, newest first', async () => {
    const minute = Math.floor(Date.now() / 60_000) * 60_000 - 600_000
    await report({
      lines: [
        emf(minute + 1000, { BytesSent: 10, LagSeconds: Array.from({ length: 100 }, (_, index) => index + 1) }),
        emf(minute + 59_000, { BytesSent: [5, 5] }),
        emf(minute + 60_000, { BytesSent: 7 }),
        '{"level":"INFO","message":"no metric"}',
        'no JSON with "_aws"',
      ],
    })
    const { MetricDataResults } = await client.send(
      new GetMetricDataCommand({
        StartTime: new Date(minute),
        EndTime: new Date(minute + 120_000),
        MetricDataQueries: [
          query('sum', 'Sum', 'BytesSent'),
          query('both', 'Sum', 'BytesSent', 300),
          query('count', 'SampleCount', 'BytesSent'),
          query('p99', 'p99', 'LagSeconds'),
          query('average', 'Average', 'LagSeconds'),
          query('none', 'Maximum', 'Other'),
        ],
      }),
    )
    const found: Record<string, number[]> = Object.fromEntries(
      MetricDataResults!.map(({ Id, Values }) => [Id!, Values!]),
    )
    expect(found).toMatchObject({ sum: [7, 20], count: [1, 3], p99: [99], average: [50.5], none: [] })
    expect(found['both']!.reduce((total, value) => total + value, 0)).toBe(27)
    expect(MetricDataResults![0]!.Timestamps).toEqual([new Date(minute + 60_000), new Date(minute)])
  })

  it('describes alarms by page, prefix and state', async () => {
    await report({ alarms: Array.from({ length: 60 }, (_, index) => alarm(`a-${String(index).padStart(2, '0')}`)) })
    const first = await client.send(new DescribeAlarmsCommand({}))
    const second = await client.send(new DescribeAlarmsCommand({ NextToken: first.NextToken }))
    expect([first.MetricAlarms!.length, second.MetricAlarms!.length, second.NextToken]).toEqual([50, 10, undefined])
    expect(first.MetricAlarms![0]).toMatchObject({
      AlarmName: 'a-00',
      AlarmDescription: 'about a-00',
      StateValue: 'INSUFFICIENT_DATA',
      MetricName: 'Heartbeats',
      Dimensions: [{ Name: 'service', Value: 'lifeboat-local' }],
      TreatMissingData: 'breaching',
    })
    const some = await client.send(new DescribeAlarmsCommand({ AlarmNamePrefix: 'a-5' }))
    expect(some.MetricAlarms).toHaveLength(10)
    const none = await client.send(new DescribeAlarmsCommand({ StateValue: 'ALARM' }))
    expect(none.MetricAlarms).toEqual([])
  })

  it('answers 501 to everything else, and refuses what it cannot compute', async () => {
    await expect(client.send(new ListMetricsCommand({}))).rejects.toMatchObject({
      $metadata: { httpStatusCode: 501 },
    })
    const ask = (queries: object[]) =>
      client.send(
        new GetMetricDataCommand({ StartTime: new Date(0), EndTime: new Date(), MetricDataQueries: queries as never }),
      )
    await expect(ask([{ Id: 'e', Expression: 'SUM(METRICS())' }])).rejects.toThrow('do not run here')
    await expect(ask([query('s', 'TM(10%:90%)', 'BytesSent')])).rejects.toThrow('a statistic that is not there')
    await expect(ask([query('s', 'Sum', 'BytesSent')])).rejects.toThrow('more than 100800 datapoints')
  })

  it('evaluates alarms as its minutes pass, and shows a chart', async () => {
    const fast = await startCloudWatch({ speed: 300 })
    try {
      await report({ alarms: [alarm('silent'), alarm('quiet', { missing: 'notBreaching' })] }, fast.url)
      const states = async (): Promise<Record<string, string>> => {
        const listed = (await (await fetch(`${fast.url}/_lifeboat/alarms`)).json()) as { name: string; state: string }[]
        return Object.fromEntries(listed.map(({ name, state }) => [name, state]))
      }
      const until = async (wanted: Record<string, string>): Promise<void> => {
        for (let round = 0; round < 100; round += 1) {
          if (JSON.stringify(await states()) === JSON.stringify(wanted)) return
          await report({ lines: wanted['silent'] === 'OK' ? [emf(Date.now(), { Heartbeats: 1 })] : [] }, fast.url)
          await new Promise((resolve) => setTimeout(resolve, 50))
        }
        expect(await states()).toEqual(wanted)
      }
      await until({ silent: 'ALARM', quiet: 'OK' })
      await until({ silent: 'OK', quiet: 'OK' })
      await until({ silent: 'ALARM', quiet: 'OK' })
      const chart = (await (
        await fetch(`${fast.url}/_lifeboat/metrics?name=Heartbeats&stat=Sum&minutes=200`)
      ).json()) as {
        points: { at: number; value: number | null }[]
      }[]
      expect(chart).toHaveLength(1)
      const seen = chart[0]!.points.filter(({ value }) => value !== null)
      expect(chart[0]!.points).toHaveLength(200)
      expect(seen.length).toBeGreaterThan(0)
      // Real times: minutes of a fast clock are a fifth of a second apart.
      expect(chart[0]!.points[1]!.at - chart[0]!.points[0]!.at).toBeCloseTo(200, 0)
    } finally {
      await fast.close()
    }
  })
})

describe('the metrics kept', () => {
  it('are bounded', () => {
    const store = createMetricStore()
    const id = { namespace: 'Lifeboat', name: 'BytesSent', dimensions: {} }
    for (let minute = 0; minute < 5000; minute += 1) store.add({ ...id, values: [1], timestampMs: minute * 60_000 })
    expect(store.read(id, 'Sum', 0, 5000 * 60_000)).toBe(4500)
    expect(store.read(id, 'Sum', 0, 500 * 60_000)).toBeUndefined()
  })

  it('are told apart by dimensions in any order', () => {
    const line = JSON.stringify({
      _aws: {
        Timestamp: 0,
        CloudWatchMetrics: [{ Namespace: 'n', Dimensions: [['b', 'a'], ['a']], Metrics: [{ Name: 'm' }] }],
      },
      a: '1',
      b: '2',
      m: 3,
    })
    const store = createMetricStore()
    for (const datum of parseEmf(line)) store.add(datum)
    expect(store.list()).toHaveLength(2)
    const read = (dimensions: Record<string, string>) =>
      store.read({ namespace: 'n', name: 'm', dimensions }, 'Sum', 0, 60_000)
    expect([read({ a: '1', b: '2' }), read({ b: '2', a: '1' }), read({ a: '1' }), read({ b: '2' })]).toEqual([
      3,
      3,
      3,
      undefined,
    ])
  })
})
