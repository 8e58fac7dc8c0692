import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startDynamoDb } from '../../local/dynamodb/server.ts'
import { type Clients, createClients } from '../../local/lambda/clients.ts'
import { deployStack } from '../../local/lambda/deploy.ts'
import { type Runner, type RunnerOptions, startRunner } from '../../local/lambda/runner.ts'
import type { QueueSpec, Stack } from '../../local/lambda/stack.ts'
import { parseTemplate } from '../../local/lambda/template.ts'
import { startS3 } from '../../local/s3/server.ts'
import { startSqs } from '../../local/sqs/server.ts'

/** What a handler of a test has written down: one entry for every invocation. */
export type Entry = { function: string; pid: number; ids: string[]; bodies: unknown[] }

// Bodies say what becomes of their record: fail, fail until the n-th time, hang, exit or answer something else.
const handlerSource = `
import { appendFileSync, existsSync, readFileSync } from 'node:fs'
const file = process.env.RECORD_FILE
const bodyOf = (record) => {
  if (record.body !== undefined) return JSON.parse(record.body)
  const image = record.dynamodb.NewImage ?? record.dynamodb.OldImage ?? {}
  return { ...JSON.parse(image.doing?.S ?? '{}'), key: record.dynamodb.Keys.pk.S, eventName: record.eventName }
}
const idOf = (record) => record.messageId ?? record.dynamodb.SequenceNumber
const seen = (id) =>
  existsSync(file) ? readFileSync(file, 'utf8').split('\\n').filter((line) => line.includes(id)).length : 0
export const handler = async (event, context) => {
  const records = event.Records ?? []
  const bodies = event.Records ? records.map(bodyOf) : [event]
  appendFileSync(file, JSON.stringify({ function: context.functionName, pid: process.pid, ids: records.map(idOf), bodies }) + '\\n')
  console.log(JSON.stringify({ line: 'handled', remaining: context.getRemainingTimeInMillis() }))
  for (const body of bodies) {
    if (body.sleepMs) await new Promise((resolve) => setTimeout(resolve, body.sleepMs))
    if (body.spin) for (;;);
    if (body.exit) process.exit(3)
    if (body.throw) throw new TypeError(body.throw)
    if (body.environment) return process.env
    if ('answer' in body) return body.answer
  }
  const failed = records.filter((record, at) => bodies[at].fail || seen(idOf(record)) < (bodies[at].failUntil ?? 0))
  return { batchItemFailures: failed.map((record) => ({ itemIdentifier: idOf(record) })) }
}
`

const functionResource = (name: string, properties: object = {}) => ({
  Type: 'AWS::Lambda::Function',
  Properties: {
    FunctionName: `fixture-${name}`,
    Handler: 'functions/fixture.handler',
    Role: { 'Fn::Sub': '${FixtureRole.Arn}' },
    Timeout: 5,
    MemorySize: 256,
    Environment: { Variables: { JOBS_URL: { Ref: 'Jobs' } } },
    ...properties,
  },
})
const queueResource = (name: string, properties: object = {}) => ({
  Type: 'AWS::SQS::Queue',
  Properties: { QueueName: `fixture-${name}`, VisibilityTimeout: 1, ...properties },
})

/** A template of one function behind a queue and one behind a stream; each option overrides what the test is about. */
export const fixtureTemplate = (
  options: { queue?: object; visibilitySeconds?: number; stream?: object; function?: object; rules?: object } = {},
) => ({
  Resources: {
    FixtureRole: { Type: 'AWS::IAM::Role', Properties: { RoleName: 'fixture-role' } },
    DeadJobs: queueResource('dead'),
    Jobs: queueResource('jobs', {
      VisibilityTimeout: options.visibilitySeconds ?? 20,
      RedrivePolicy: { deadLetterTargetArn: { 'Fn::GetAtt': ['DeadJobs', 'Arn'] }, maxReceiveCount: 2 },
    }),
    Work: functionResource('work', options.function),
    ...(options.queue && {
      WorkOnJobs: {
        Type: 'AWS::Lambda::EventSourceMapping',
        Properties: {
          EventSourceArn: { 'Fn::GetAtt': ['Jobs', 'Arn'] },
          FunctionName: { 'Fn::GetAtt': ['Work', 'Arn'] },
          BatchSize: 10,
          FunctionResponseTypes: ['ReportBatchItemFailures'],
          ...options.queue,
        },
      },
    }),
    ...(options.stream && {
      Table: {
        Type: 'AWS::DynamoDB::Table',
        Properties: {
          TableName: 'fixture-table',
          AttributeDefinitions: [{ AttributeName: 'pk', AttributeType: 'S' }],
          KeySchema: [{ AttributeName: 'pk', KeyType: 'HASH' }],
          StreamSpecification: { StreamViewType: 'NEW_AND_OLD_IMAGES' },
        },
      },
      Failures: { Type: 'AWS::S3::Bucket', Properties: { BucketName: 'fixture-failures' } },
      Follow: functionResource('follow', options.function),
      FollowTable: {
        Type: 'AWS::Lambda::EventSourceMapping',
        Properties: {
          EventSourceArn: { 'Fn::GetAtt': ['Table', 'StreamArn'] },
          FunctionName: { 'Fn::GetAtt': ['Follow', 'Arn'] },
          BatchSize: 10,
          StartingPosition: 'TRIM_HORIZON',
          FunctionResponseTypes: ['ReportBatchItemFailures'],
          DestinationConfig: { OnFailure: { Destination: { 'Fn::GetAtt': ['Failures', 'Arn'] } } },
          ...options.stream,
        },
      },
    }),
    ...options.rules,
  },
})

export type Fixture = {
  dir: string
  buildDir: string
  stack: Stack
  clients: Clients
  dynamodb: Awaited<ReturnType<typeof startDynamoDb>>
  template: object
  entries(): Entry[]
  queue(name: string): QueueSpec
  start(options?: Partial<RunnerOptions>): Promise<Runner>
  close(): Promise<void>
}

/** The embedded clouds, the fixture's bundle and its deployed template, in a folder of their own. */
export const openFixture = async (template: object): Promise<Fixture> => {
  const dir = mkdtempSync(join(tmpdir(), 'lifeboat-runner-'))
  const buildDir = join(dir, 'build')
  const recordFile = join(dir, 'recorded.jsonl')
  mkdirSync(join(buildDir, 'fixture/functions'), { recursive: true })
  writeFileSync(join(buildDir, 'fixture/functions/fixture.mjs'), handlerSource)
  const [sqs, dynamodb, s3] = await Promise.all([
    startSqs({ dir: join(dir, 'sqs') }),
    startDynamoDb({ dir: join(dir, 'dynamodb') }),
    startS3({ dir: join(dir, 's3') }),
  ])
  const endpoints = { sqs: sqs.url, dynamodb: dynamodb.url, s3: s3.url, gcs: 'http://127.0.0.1:9' }
  const common = { endpoints, account: '123456789012', region: 'eu-west-1', extraEnv: { RECORD_FILE: recordFile } }
  const stack = await deployStack({ ...common, template: parseTemplate(template) })
  const clients = createClients(endpoints, 'eu-west-1')
  const runners: Runner[] = []
  return {
    dir,
    buildDir,
    stack,
    clients,
    dynamodb,
    template,
    entries: () => {
      try {
        const lines = readFileSync(recordFile, 'utf8').trim().split('\n')
        return lines.map((line) => JSON.parse(line) as Entry)
      } catch {
        return []
      }
    },
    queue: (name) => {
      const found = stack.queues.find((queue) => queue.name === `fixture-${name}`)
      if (!found) throw new Error(`no queue ${name}`)
      return found
    },
    start: async (options) => {
      const runner = await startRunner({ stack, buildDir, dir: join(dir, 'runner'), ...options })
      runners.push(runner)
      return runner
    },
    close: async () => {
      await Promise.all(runners.map((runner) => runner.stop()))
      clients.close()
      await Promise.all([sqs.close(), dynamodb.close(), s3.close()])
      rmSync(dir, { recursive: true, force: true })
    },
  }
}

/** Waits until the check holds, at most twenty seconds. */
export const until = async (check: () => boolean | Promise<boolean>, what: string): Promise<void> => {
  const deadline = Date.now() + 20_000
  while (Date.now() < deadline) {
    if (await check()) return
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
  throw new Error(`after twenty seconds still not: ${what}`)
}
