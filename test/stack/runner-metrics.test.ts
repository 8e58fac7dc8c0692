import { SendMessageCommand } from '@aws-sdk/client-sqs'
import { PutItemCommand } from '@aws-sdk/client-dynamodb'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startCloudWatch } from '../../local/cloudwatch/server.ts'
import { startReporter } from '../../local/lambda/reporter.ts'
import { type Fixture, fixtureTemplate, openFixture, until } from './runner-fixture.ts'

const speed = 120
const alarmOf = (name: string, namespace: string, metric: string, dimension: object, changes: object = {}) => ({
  Type: 'AWS::CloudWatch::Alarm',
  Properties: {
    AlarmName: name,
    Namespace: namespace,
    MetricName: metric,
    Dimensions: [dimension],
    Statistic: 'Maximum',
    Period: 60,
    EvaluationPeriods: 1,
    ComparisonOperator: 'GreaterThanThreshold',
    Threshold: 0,
    TreatMissingData: 'notBreaching',
    ...changes,
  },
})
const rules = {
  FailsAlarm: alarmOf('fails', 'AWS/Lambda', 'Errors', { Name: 'FunctionName', Value: { Ref: 'Work' } }),
  DeadAlarm: alarmOf('dead', 'AWS/SQS', 'ApproximateNumberOfMessagesVisible', {
    Name: 'QueueName',
    Value: { 'Fn::GetAtt': ['DeadJobs', 'QueueName'] },
  }),
  OldAlarm: alarmOf('old', 'AWS/SQS', 'ApproximateAgeOfOldestMessage', {
    Name: 'QueueName',
    Value: { 'Fn::GetAtt': ['DeadJobs', 'QueueName'] },
  }),
  LateAlarm: alarmOf(
    'late',
    'AWS/Lambda',
    'IteratorAge',
    { Name: 'FunctionName', Value: { Ref: 'Follow' } },
    { Threshold: 1500 },
  ),
  GivenUpAlarm: alarmOf('given-up', 'AWS/Lambda', 'OnFailureDestinationDeliveredEventCount', {
    Name: 'EventSourceMappingUUID',
    Value: { Ref: 'FollowTable' },
  }),
}

let fixture: Fixture
let cloudwatch: Awaited<ReturnType<typeof startCloudWatch>>
beforeAll(async () => {
  fixture = await openFixture(
    fixtureTemplate({ queue: {}, visibilitySeconds: 1, stream: { MaximumRetryAttempts: 5 }, rules }),
  )
  cloudwatch = await startCloudWatch({ speed })
})
afterAll(async () => {
  await fixture.close()
  await cloudwatch.close()
})

type Listed = { name: string; state: string }
const stateOf = async (name: string): Promise<string | undefined> => {
  const listed = (await (await fetch(`${cloudwatch.url}/_lifeboat/alarms`)).json()) as Listed[]
  return listed.find((alarm) => alarm.name === name)?.state
}

describe('a runner with a CloudWatch', () => {
  it('has the alarms of its template fire for what goes wrong in it, and end', async () => {
    const stack = { ...fixture.stack, endpoints: { ...fixture.stack.endpoints, cloudwatch: cloudwatch.url } }
    expect(fixture.stack.alarms.map(({ name }) => name)).toEqual(['fails', 'dead', 'old', 'late', 'given-up'])
    await fixture.start({ stack, metricsSpeed: speed })
    for (const name of ['fails', 'dead', 'late', 'given-up'])
      await until(async () => (await stateOf(name)) === 'OK', `${name} is OK`)
    await fixture.clients.sqs.send(
      new SendMessageCommand({ QueueUrl: fixture.queue('jobs').url, MessageBody: '{"throw":"no"}' }),
    )
    const seen = new Set<string>()
    const sees = async (name: string): Promise<boolean> => {
      for (const one of ['fails', 'dead', 'old', 'late', 'given-up'])
        if ((await stateOf(one)) === 'ALARM') seen.add(one)
      return seen.has(name)
    }
    for (const name of ['fails', 'dead', 'old']) await until(() => sees(name), `${name} fires`)
    await fixture.clients.dynamodb.send(
      new PutItemCommand({ TableName: 'fixture-table', Item: { pk: { S: 'a' }, doing: { S: '{"throw":"never"}' } } }),
    )
    for (const name of ['late', 'given-up']) await until(() => sees(name), `${name} fires`)
    await until(async () => (await stateOf('fails')) === 'OK', 'fails is OK again')
    // Nobody took it away.
    expect(await stateOf('dead')).toBe('ALARM')
  }, 90_000)

  it('has given its functions the endpoint', async () => {
    const stack = { ...fixture.stack, endpoints: { ...fixture.stack.endpoints, cloudwatch: cloudwatch.url } }
    const runner = await fixture.start({ stack, dir: `${fixture.dir}/other` })
    const outcome = await runner.invoke('fixture-work', { environment: true })
    expect(outcome.ok && outcome.payload).toContain(`"AWS_ENDPOINT_URL_CLOUDWATCH":"${cloudwatch.url}"`)
  })
})

describe('what is reported while CloudWatch is away', () => {
  it('comes when it is there again, which has its alarms again too', async () => {
    const first = await startCloudWatch({ speed })
    const stack = { ...fixture.stack, endpoints: { ...fixture.stack.endpoints, cloudwatch: first.url } }
    const failures: unknown[] = []
    const reporter = startReporter(stack, speed, (error) => failures.push(error))
    const known = async (): Promise<{ metrics: number; alarms: number }> =>
      (await (await fetch(`${first.url}/_lifeboat/stats`)).json()) as { metrics: number; alarms: number }
    await until(async () => (await known()).alarms === 5, 'the alarms are there')
    await first.close()
    reporter.add('Lifeboat', 'Late', { service: 'lifeboat-local' }, 7)
    await until(() => failures.length > 0, 'it is missed')
    const second = await startCloudWatch({ speed, port: first.port })
    try {
      await until(async () => (await known()).alarms === 5, 'the alarms are there again')
      const late = async (): Promise<{ points: { value: number | null }[] }[]> =>
        (await (await fetch(`${second.url}/_lifeboat/metrics?name=Late&stat=Sum&minutes=300`)).json()) as {
          points: { value: number | null }[]
        }[]
      await until(async () => (await late()).some(({ points }) => points.some(({ value }) => value === 7)), 'it came')
      expect(failures.length).toBeGreaterThan(0)
    } finally {
      await reporter.stop()
      await second.close()
    }
  }, 60_000)
})
