import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda'
import {
  GetQueueAttributesCommand,
  ReceiveMessageCommand,
  SendMessageBatchCommand,
  SendMessageCommand,
} from '@aws-sdk/client-sqs'
import { afterEach, describe, expect, it, vi } from 'vitest'
import type { Runner } from '../../local/lambda/runner.ts'
import { type Fixture, fixtureTemplate, openFixture, until } from './runner-fixture.ts'

let fixture: Fixture
afterEach(() => fixture.close())

const send = async (...bodies: object[]): Promise<void> => {
  const Entries = bodies.map((body, at) => ({ Id: String(at), MessageBody: JSON.stringify(body) }))
  await fixture.clients.sqs.send(new SendMessageBatchCommand({ QueueUrl: fixture.queue('jobs').url, Entries }))
}
const waiting = async (name: string): Promise<number> => {
  const answer = await fixture.clients.sqs.send(
    new GetQueueAttributesCommand({
      QueueUrl: fixture.queue(name).url,
      AttributeNames: ['ApproximateNumberOfMessages', 'ApproximateNumberOfMessagesNotVisible'],
    }),
  )
  return Object.values(answer.Attributes ?? {}).reduce((total, value) => total + Number(value), 0)
}
const timesSeen = (n: number): number =>
  fixture.entries().filter((entry) => entry.bodies.some((body) => (body as { n?: number }).n === n)).length

describe('a queue as event source', () => {
  it('deletes what succeeded, gives what failed again, and leaves poison to the dead-letter queue', async () => {
    fixture = await openFixture(fixtureTemplate({ visibilitySeconds: 1, queue: {} }))
    await send({ n: 1 }, { n: 2, failUntil: 2 }, { n: 3, fail: true })
    const runner = await fixture.start({ instancesMax: 1 })
    await runner.idle()
    expect([timesSeen(1), timesSeen(2), timesSeen(3)]).toEqual([1, 2, 2])
    expect(await waiting('dead')).toBe(1)
    const dead = await fixture.clients.sqs.send(new ReceiveMessageCommand({ QueueUrl: fixture.queue('dead').url }))
    expect(dead.Messages?.map((message) => message.Body)).toEqual(['{"n":3,"fail":true}'])
  })

  it.each([
    ['throws', { throw: 'no' }],
    ['ends its process', { exit: true }],
    ['names a message that is not in the batch', { answer: { batchItemFailures: [{ itemIdentifier: 'other' }] } }],
    ['answers a list of the wrong shape', { answer: { batchItemFailures: [{ id: 'x' }] } }],
  ])('fails the whole batch of a function that %s', async (_, body) => {
    fixture = await openFixture(fixtureTemplate({ visibilitySeconds: 1, queue: {} }))
    await send({ n: 1, ...body }, { n: 2 })
    // One batch at a time, so that both messages are in the same one.
    const runner = await fixture.start({ instancesMax: 1 })
    await until(async () => (await waiting('dead')) === 2, 'both messages in the dead-letter queue')
    expect([timesSeen(1), timesSeen(2)]).toEqual([2, 2])
    expect(runner.stats()['fixture-work']?.invocations).toBe(2)
  })

  it('takes a null answer as success', async () => {
    fixture = await openFixture(fixtureTemplate({ queue: {} }))
    await send({ n: 1, answer: null })
    await (await fixture.start()).idle()
    expect([timesSeen(1), await waiting('dead')]).toEqual([1, 0])
  })

  it('drops what the filter leaves out without an invocation', async () => {
    const Pattern = JSON.stringify({ body: { kind: ['wanted'] } })
    fixture = await openFixture(fixtureTemplate({ queue: { FilterCriteria: { Filters: [{ Pattern }] } } }))
    await send({ n: 1, kind: 'wanted' }, { n: 2, kind: 'other' })
    await (await fixture.start()).idle()
    expect([timesSeen(1), timesSeen(2), await waiting('jobs')]).toEqual([1, 0, 0])
  })

  it('keeps to the batch size and to the number of instances', async () => {
    fixture = await openFixture(fixtureTemplate({ queue: { BatchSize: 1, ScalingConfig: { MaximumConcurrency: 2 } } }))
    await send(...Array.from({ length: 6 }, (_, n) => ({ n, sleepMs: 60 })))
    const runner = await fixture.start({ instancesMax: 5 })
    await runner.idle()
    const entries = fixture.entries()
    expect(entries.every((entry) => entry.ids.length === 1)).toBe(true)
    expect(entries).toHaveLength(6)
    expect(new Set(entries.map((entry) => entry.pid)).size).toBe(2)
  })

  it('waits for more until the window ends', async () => {
    fixture = await openFixture(fixtureTemplate({ queue: { MaximumBatchingWindowInSeconds: 1 } }))
    const runner = await fixture.start({ instancesMax: 1 })
    for (const n of [1, 2, 3]) {
      await send({ n })
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
    await runner.idle()
    expect(fixture.entries().map((entry) => entry.ids.length)).toEqual([3])
  })

  it('kills a function that passes its timeout, and its messages come again', async () => {
    fixture = await openFixture(fixtureTemplate({ visibilitySeconds: 1, queue: {}, function: { Timeout: 1 } }))
    const runner = await fixture.start({ instancesMax: 1 })
    const outcome = await runner.invoke('fixture-work', { spin: true })
    expect(outcome).toMatchObject({ ok: false, timedOut: true, error: { errorType: 'Sandbox.Timedout' } })
    const stuck = fixture.entries()[0]?.pid ?? 0
    await until(() => !runner.pids().includes(stuck), 'the process is gone')
    expect(() => process.kill(stuck, 0)).toThrow('ESRCH')
    await send({ n: 1, spin: true })
    await until(async () => (await waiting('dead')) === 1, 'the message in the dead-letter queue')
    expect(timesSeen(1)).toBe(2)
    expect(runner.stats()['fixture-work']).toMatchObject({ invocations: 3, timeouts: 3, errors: 3 })
  })

  it('loses nothing when every instance is killed in the middle of its work', async () => {
    fixture = await openFixture(fixtureTemplate({ visibilitySeconds: 4, queue: { BatchSize: 2 } }))
    await send(...Array.from({ length: 8 }, (_, n) => ({ n, sleepMs: 100 })))
    const runner = await fixture.start()
    await until(() => fixture.entries().length > 0, 'an invocation')
    await runner.kill()
    await runner.idle()
    const times = Array.from({ length: 8 }, (_, n) => timesSeen(n))
    expect(times.every((seen) => seen > 0)).toBe(true)
    expect(times.reduce((total, seen) => total + seen)).toBeGreaterThan(8)
    expect(await waiting('dead')).toBe(0)
  })
})

const client = (runner: Runner) =>
  new LambdaClient({
    endpoint: runner.url,
    region: 'eu-west-1',
    credentials: { accessKeyId: 'x', secretAccessKey: 'x' },
  })

describe('invocations', () => {
  it('answer what the function answers, or its error, to the SDK', async () => {
    fixture = await openFixture(fixtureTemplate())
    const runner = await fixture.start()
    const lambda = client(runner)
    const invoke = (payload: object) =>
      lambda.send(new InvokeCommand({ FunctionName: 'fixture-work', Payload: JSON.stringify(payload) }))
    const answered = await invoke({ answer: { fine: true } })
    expect([answered.FunctionError, JSON.parse(answered.Payload!.transformToString())]).toEqual([
      undefined,
      { fine: true },
    ])
    const failed = await invoke({ throw: 'not today' })
    expect(failed.FunctionError).toBe('Unhandled')
    expect(JSON.parse(failed.Payload!.transformToString())).toMatchObject({
      errorType: 'TypeError',
      errorMessage: 'not today',
    })
    const missing = lambda.send(new InvokeCommand({ FunctionName: 'other', Payload: '{}' }))
    await expect(missing).rejects.toMatchObject({ name: 'ResourceNotFoundException' })
    lambda.destroy()
  })

  it('come again twice when they are asynchronous and fail', async () => {
    fixture = await openFixture(fixtureTemplate())
    const runner = await fixture.start()
    const lambda = client(runner)
    const Payload = JSON.stringify({ throw: 'never' })
    const accepted = await lambda.send(
      new InvokeCommand({ FunctionName: 'fixture-work', InvocationType: 'Event', Payload }),
    )
    expect(accepted.StatusCode).toBe(202)
    await runner.idle()
    expect(fixture.entries()).toHaveLength(3)
    lambda.destroy()
  })

  it('run with the environment of the template and nothing of this process', async () => {
    fixture = await openFixture(fixtureTemplate())
    process.env['LIFEBOAT_TEST_SECRET'] = 'must not be seen'
    const runner = await fixture.start()
    const outcome = await runner.invoke('fixture-work', { environment: true })
    delete process.env['LIFEBOAT_TEST_SECRET']
    const environment = JSON.parse(outcome.ok ? outcome.payload : '{}') as Record<string, string>
    expect(environment).toMatchObject({
      JOBS_URL: fixture.queue('jobs').url,
      AWS_ACCESS_KEY_ID: 'FixtureRole',
      AWS_REGION: 'eu-west-1',
      AWS_LAMBDA_FUNCTION_NAME: 'fixture-work',
      LAMBDA_TASK_ROOT: join(fixture.buildDir, 'fixture'),
      AWS_ENDPOINT_URL_SQS: fixture.stack.endpoints.sqs,
      GCS_ENDPOINT: fixture.stack.endpoints.gcs,
    })
    expect(environment).not.toHaveProperty('LIFEBOAT_TEST_SECRET')
  })

  it('leave their lines in the log and tell how much memory they took', async () => {
    fixture = await openFixture(fixtureTemplate())
    const heard: string[] = []
    const runner = await fixture.start({ onLog: (name, line) => heard.push(`${name} ${line}`) })
    await runner.invoke('fixture-work', {})
    await until(() => heard.length === 1, 'a line')
    expect(heard[0]).toMatch(/^fixture-work \{"line":"handled","remaining":[45]\d{3}\}$/)
    expect(`fixture-work ${readFileSync(join(fixture.dir, 'runner/logs/fixture-work.jsonl'), 'utf8').trim()}`).toBe(
      heard[0],
    )
    expect(runner.stats()['fixture-work']?.rssMaxBytes).toBeGreaterThan(20 * 2 ** 20)
  })

  it('end their process when it has nothing to do', async () => {
    fixture = await openFixture(fixtureTemplate())
    const runner = await fixture.start({ idleMs: 50 })
    await runner.invoke('fixture-work', {})
    await until(() => runner.stats()['fixture-work']?.instances === 0, 'no instance left')
    expect(await runner.invoke('fixture-work', { answer: 1 })).toEqual({ ok: true, payload: '1' })
  })
})

const post = (runner: Runner, body: object) =>
  fetch(`${runner.url}/events`, { method: 'POST', body: JSON.stringify(body) })

const event = (key: string) => ({ source: 'aws.s3', detail: { object: { key } } })

describe('rules', () => {
  const rules = {
    Created: {
      Type: 'AWS::Events::Rule',
      Properties: {
        EventPattern: { source: ['aws.s3'], detail: { object: { key: [{ prefix: 'models/' }] } } },
        Targets: [{ Id: 'jobs', Arn: { 'Fn::GetAtt': ['Jobs', 'Arn'] } }],
      },
    },
    Sweep: {
      Type: 'AWS::Events::Rule',
      Properties: {
        ScheduleExpression: 'rate(1 minute)',
        State: 'ENABLED',
        Targets: [{ Id: 'sweep', Arn: { 'Fn::GetAtt': ['Work', 'Arn'] }, Input: '{"lifeboat":"sweep"}' }],
      },
    },
  }
  it('send the events that match to their queue, and queue notifications to theirs', async () => {
    fixture = await openFixture(fixtureTemplate({ rules }))
    const runner = await fixture.start()
    expect((await post(runner, { kind: 'eventbridge', event: event('models/a') })).status).toBe(200)
    expect((await post(runner, { kind: 'eventbridge', event: event('other/a') })).status).toBe(200)
    const { arn } = fixture.queue('jobs')
    expect((await post(runner, { kind: 'queue', queueArn: arn, message: { Records: [] } })).status).toBe(200)
    const answer = await fixture.clients.sqs.send(
      new ReceiveMessageCommand({ QueueUrl: fixture.queue('jobs').url, MaxNumberOfMessages: 10 }),
    )
    expect(answer.Messages?.map((message) => message.Body).sort()).toEqual([
      '{"Records":[]}',
      JSON.stringify(event('models/a')),
    ])
  })

  it('answer an error when a send fails, so that the event is posted again', async () => {
    fixture = await openFixture(fixtureTemplate({ rules }))
    const runner = await fixture.start()
    const complaint = vi.spyOn(console, 'error').mockImplementation(() => undefined)
    const answer = await post(runner, {
      kind: 'queue',
      queueArn: 'arn:aws:sqs:eu-west-1:123456789012:none',
      message: {},
    })
    expect(answer.status).toBe(500)
    expect(complaint).toHaveBeenCalledOnce()
    complaint.mockRestore()
  })

  it('run a schedule with its input', async () => {
    fixture = await openFixture(fixtureTemplate({ rules }))
    await fixture.start({ scheduleSpeed: 600 })
    await until(() => fixture.entries().length >= 2, 'two runs')
    expect(fixture.entries()[0]?.bodies).toEqual([{ lifeboat: 'sweep' }])
  })
})

describe('deployment', () => {
  it('changes nothing the second time and keeps the messages', async () => {
    fixture = await openFixture(fixtureTemplate({ queue: {} }))
    await fixture.clients.sqs.send(
      new SendMessageCommand({ QueueUrl: fixture.queue('jobs').url, MessageBody: '{"n":1}' }),
    )
    const { deployStack } = await import('../../local/lambda/deploy.ts')
    const { parseTemplate } = await import('../../local/lambda/template.ts')
    const { account, region, endpoints } = fixture.stack
    const environment = fixture.stack.functions[0]?.environment ?? {}
    const again = await deployStack({
      account,
      region,
      endpoints,
      template: parseTemplate(fixture.template),
      extraEnv: environment,
    })
    expect(again).toEqual(fixture.stack)
    expect(await waiting('jobs')).toBe(1)
  })
})
