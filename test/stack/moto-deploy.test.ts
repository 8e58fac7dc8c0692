import { CreateTableCommand, DescribeTableCommand, DynamoDBClient, ListTablesCommand } from '@aws-sdk/client-dynamodb'
import { CloudWatchClient, ListDashboardsCommand } from '@aws-sdk/client-cloudwatch'
import { LambdaClient, ListEventSourceMappingsCommand, ListFunctionsCommand } from '@aws-sdk/client-lambda'
import { GetBucketEncryptionCommand, ListBucketsCommand, S3Client } from '@aws-sdk/client-s3'
import { GetQueueAttributesCommand, ListQueuesCommand, SQSClient } from '@aws-sdk/client-sqs'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parseConfig } from '../../shared/config.ts'
import { identities } from '../../tools/stack-settings.ts'
import { type Moto, startMoto } from '../support/moto.ts'
import { createService, type Service } from '../support/serverless.ts'
import { findTool } from '../support/tools.ts'

/** `serverless deploy` and `remove` as they are typed, to moto. */

const account = '111122223333'
const region = 'us-east-1'
/**
 * What moto does not make: policy.test.ts and alarms.test.ts look at each of these types in the template instead, and at the
 * architecture of functions, the expiry of the ledger and the versions of the bucket, which moto forgets.
 */
const skippedTypes = [
  'AWS::CloudWatch::Alarm',
  'AWS::CloudWatch::CompositeAlarm',
  'AWS::IAM::RolePolicy',
  'AWS::Lambda::EventInvokeConfig',
  'AWS::S3::BucketPolicy',
  'AWS::SNS::TopicPolicy',
  'AWS::SQS::QueuePolicy',
]
const audience =
  '//iam.googleapis.com/projects/424242424242/locations/global/workloadIdentityPools/lifeboat/providers/aws'

const configText = (streamArn: string): string =>
  JSON.stringify({
    formatVersion: 1,
    source: { account, region },
    replica: { project: 'acme-replica', bucket: 'acme-lifeboat', bigtableInstance: 'lifeboat-rows' },
    buckets: [{ name: 'acme-models', prefix: 'models/', canary: 'lifeboat-canary' }],
    tables: [
      {
        name: 'features',
        canary: { partition: 'lifeboat' },
        streams: [{ arn: streamArn, epoch: 1 }],
      },
    ],
  })

const program = findTool('moto_server')
describe.skipIf(!program)('on moto', () => {
  let dir: string
  let service: Service
  let moto: Moto
  let streamArn: string
  let dynamodb: DynamoDBClient
  let lambda: LambdaClient
  let sqs: SQSClient
  let s3: S3Client
  let cloudwatch: CloudWatchClient

  const serverless = (command: string) =>
    service.run([command, '--stage', 'prod'], {
      AWS_ENDPOINT_URL: moto.url,
      AWS_REGION: region,
      AWS_ACCESS_KEY_ID: 'test',
      AWS_SECRET_ACCESS_KEY: 'test',
      AWS_EC2_METADATA_DISABLED: 'true',
    })

  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'lifeboat-moto-'))
    service = createService(dir)
    moto = await startMoto(program!, account)
    const options = { endpoint: moto.url, region, credentials: { accessKeyId: 'test', secretAccessKey: 'test' } }
    dynamodb = new DynamoDBClient(options)
    lambda = new LambdaClient(options)
    sqs = new SQSClient(options)
    s3 = new S3Client({ ...options, forcePathStyle: true })
    cloudwatch = new CloudWatchClient(options)
    // The source's table is there before Lifeboat is.
    const { TableDescription } = await dynamodb.send(
      new CreateTableCommand({
        TableName: 'features',
        BillingMode: 'PAY_PER_REQUEST',
        AttributeDefinitions: [{ AttributeName: 'pk', AttributeType: 'S' }],
        KeySchema: [{ AttributeName: 'pk', KeyType: 'HASH' }],
        StreamSpecification: { StreamEnabled: true, StreamViewType: 'NEW_AND_OLD_IMAGES' },
      }),
    )
    streamArn = TableDescription!.LatestStreamArn!
    service.setConfig(configText(streamArn))
  }, 90_000)
  afterAll(async () => {
    for (const client of [dynamodb, lambda, sqs, s3, cloudwatch]) client?.destroy()
    await moto?.stop()
    rmSync(dir, { recursive: true, force: true })
  })

  const made = async (): Promise<string[]> => {
    const xml = await moto.query('cloudformation', { Action: 'DescribeStackResources', StackName: 'lifeboat-prod' })
    return [...xml.matchAll(/<LogicalResourceId>([^<]+)</g)].map(([, name]) => name!)
  }
  const queueNamed = async (name: string): Promise<Record<string, string>> => {
    const QueueUrl = `${moto.url}/${account}/lifeboat-prod-${name}`
    const { Attributes = {} } = await sqs.send(new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ['All'] }))
    return Attributes
  }

  it('refuses a placeholder before anything is made', async () => {
    const { failed, said } = await serverless('deploy')
    expect([failed, said]).toEqual([
      true,
      expect.stringContaining('gcpWifAudience: found //iam.googleapis.com/projects/0'),
    ])
    expect(said).not.toContain('source.account')
    await expect(made()).rejects.toThrow('does not exist')
  }, 240_000)

  it('refuses a misspelt parameter, and the account of other credentials', async () => {
    service.setParameters(JSON.stringify({ prod: { gcpWifAudience: audience, kmsKey: 'x' } }))
    expect((await serverless('deploy')).said).toContain('there are no parameters kmsKey in stage prod')
    service.setParameters(JSON.stringify({ prod: { gcpWifAudience: audience } }))
    service.setConfig(configText(streamArn).replaceAll(account, '444455556666'))
    const { said } = await serverless('deploy')
    service.setConfig(configText(streamArn))
    expect(said).toContain(`source.account: lifeboat.yml says 444455556666, the credentials are of account ${account}`)
    await expect(made()).rejects.toThrow('does not exist')
  }, 240_000)

  it('deploys everything that moto makes', async () => {
    const parameters = { default: { logRetentionDays: 90 }, prod: { gcpWifAudience: audience, logRetentionDays: 60 } }
    service.setParameters(JSON.stringify(parameters))
    const { failed, said } = await serverless('deploy')
    expect([failed, said]).toEqual([false, expect.stringContaining('Service deployed to stack lifeboat-prod')])
    const wanted = Object.entries(service.template().Resources).filter(([, { Type }]) => !skippedTypes.includes(Type))
    expect((await made()).toSorted()).toEqual(wanted.map(([name]) => name).toSorted())
    expect([...moto.skippedTypes()].toSorted()).toEqual(skippedTypes)
  }, 240_000)

  it('has the functions, each with its role, its account and its code', async () => {
    const { Functions = [] } = await lambda.send(new ListFunctionsCommand())
    const config = parseConfig(configText(streamArn), { stage: 'prod', file: 'lifeboat.yml' })
    const expected = Object.entries(identities(config, 'prod'))
    expect(Functions.map(({ FunctionName }) => String(FunctionName)).toSorted()).toEqual(
      expected.map(([name]) => `lifeboat-prod-${name}`).toSorted(),
    )
    for (const [name, { roleName, serviceAccount }] of expected) {
      const found = Functions.find(({ FunctionName }) => FunctionName === `lifeboat-prod-${name}`)!
      expect(found).toMatchObject({
        Runtime: 'nodejs24.x',
        Role: `arn:aws:iam::${account}:role/${roleName}`,
      })
      expect(found.CodeSize).toBeGreaterThan(100_000)
      const { Variables = {} } = found.Environment ?? {}
      expect([Variables['GCP_SERVICE_ACCOUNT'], Variables['GCP_WIF_AUDIENCE'], Variables['STAGE']]).toEqual([
        serviceAccount,
        audience,
        'prod',
      ])
      expect(Variables['LEDGER_TABLE']).toBe('lifeboat-prod-ledger')
    }
    const xml = await moto.query('iam', { Action: 'ListRoles', Version: '2010-05-08' })
    const roles = [...xml.matchAll(/<RoleName>([^<]+)</g)].map(([, name]) => name!)
    expect(roles.toSorted()).toEqual(expected.map(([, { roleName }]) => roleName).toSorted())
    const { logGroups } = await moto.json<{ logGroups: { logGroupName: string; retentionInDays: number }[] }>(
      'logs',
      'Logs_20140328.DescribeLogGroups',
    )
    expect(Object.fromEntries(logGroups.map((group) => [group.logGroupName, group.retentionInDays]))).toEqual(
      Object.fromEntries(expected.map(([name]) => [`/aws/lambda/lifeboat-prod-${name}`, 60])),
    )
  })

  it('has the event sources with every setting', async () => {
    const { EventSourceMappings = [] } = await lambda.send(new ListEventSourceMappingsCommand())
    const of = (source: string) => EventSourceMappings.find(({ EventSourceArn }) => EventSourceArn?.includes(source))
    expect(EventSourceMappings).toHaveLength(6)
    const common = { FunctionResponseTypes: ['ReportBatchItemFailures'], State: 'Enabled' }
    const batch = {
      ...common,
      BatchSize: 10,
      MaximumBatchingWindowInSeconds: 1,
      ScalingConfig: { MaximumConcurrency: 10 },
    }
    expect(of(':lifeboat-prod-objects')).toMatchObject(batch)
    expect(of(':lifeboat-prod-segments')).toMatchObject({
      ...common,
      BatchSize: 1,
      ScalingConfig: { MaximumConcurrency: 50 },
    })
    const own = (name: string) => EventSourceMappings.find(({ EventSourceArn }) => EventSourceArn?.endsWith(`:${name}`))
    for (const [name, most] of [['backfill', 32] as const, ['backfill-segments', 10] as const])
      expect(own(`lifeboat-prod-${name}`)).toMatchObject({
        ...common,
        BatchSize: 1,
        ScalingConfig: { MaximumConcurrency: most },
      })
    const stream = {
      ...common,
      StartingPosition: 'TRIM_HORIZON',
      BisectBatchOnFunctionError: true,
      MaximumRetryAttempts: -1,
      MaximumRecordAgeInSeconds: 82_800,
      ParallelizationFactor: 1,
      DestinationConfig: { OnFailure: { Destination: `arn:aws:s3:::lifeboat-prod-held-${account}-${region}` } },
      MetricsConfig: { Metrics: ['EventCount'] },
    }
    expect(of('table/lifeboat-prod-ledger/')).toMatchObject({ ...stream, BatchSize: 10 })
    expect(of('table/features/')).toMatchObject({ ...stream, BatchSize: 500, EventSourceArn: streamArn })
  })

  it('has the queues with their redrive, the ledger with its stream, and the bucket encrypted', async () => {
    const arnOf = (name: string): string => `arn:aws:sqs:${region}:${account}:lifeboat-prod-${name}`
    for (const [name, visibility] of [['objects', '720'] as const, ['segments', '1440'] as const]) {
      const { RedrivePolicy = '{}', ...queue } = await queueNamed(name)
      expect(JSON.parse(RedrivePolicy)).toMatchObject({
        deadLetterTargetArn: arnOf(`${name}-dead`),
        maxReceiveCount: 5,
      })
      expect(queue).toMatchObject({ VisibilityTimeout: visibility, MessageRetentionPeriod: '345600' })
    }
    for (const name of ['objects-dead', 'segments-dead', 'calls-dead'])
      expect(await queueNamed(name)).toMatchObject({ MessageRetentionPeriod: '1209600' })
    const TableName = 'lifeboat-prod-ledger'
    const { Table } = await dynamodb.send(new DescribeTableCommand({ TableName }))
    expect(Table?.StreamSpecification).toEqual({ StreamEnabled: true, StreamViewType: 'NEW_AND_OLD_IMAGES' })
    expect(Table?.GlobalSecondaryIndexes?.map(({ IndexName }) => IndexName)).toEqual(['pending'])
    const Bucket = `lifeboat-prod-held-${account}-${region}`
    const { ServerSideEncryptionConfiguration: sse } = await s3.send(new GetBucketEncryptionCommand({ Bucket }))
    expect(sse?.Rules?.[0]?.ApplyServerSideEncryptionByDefault?.SSEAlgorithm).toBe('AES256')
  })

  it('has the rules, topics and the dashboard', async () => {
    const { Rules } = await moto.json<{
      Rules: { Name: string; ScheduleExpression?: string; EventPattern?: string }[]
    }>('events', 'AWSEvents.ListRules')
    expect(Object.fromEntries(Rules.map(({ Name, ScheduleExpression }) => [Name, ScheduleExpression]))).toEqual({
      'lifeboat-prod-objects': undefined,
      'lifeboat-prod-sweep': 'rate(1 minute)',
      'lifeboat-prod-measure-lag': 'rate(1 minute)',
      'lifeboat-prod-validate': 'rate(15 minutes)',
      'lifeboat-prod-scrub': 'rate(1 hour)',
      'lifeboat-prod-reconcile': 'rate(15 minutes)',
      'lifeboat-prod-compareRows': 'rate(15 minutes)',
    })
    const pattern = Rules.find(({ Name }) => Name === 'lifeboat-prod-objects')?.EventPattern ?? '{}'
    expect(JSON.parse(pattern)).toMatchObject({
      'detail-type': ['Object Created', 'Object Deleted'],
      account: [account],
    })
    const topics = await moto.query('sns', { Action: 'ListTopics', Version: '2010-03-31' })
    expect([...topics.matchAll(/:(lifeboat-[a-z-]+)</g)].map(([, name]) => name!).toSorted()).toEqual([
      'lifeboat-prod-page',
      'lifeboat-prod-ticket',
    ])
    const { DashboardEntries } = await cloudwatch.send(new ListDashboardsCommand())
    expect(DashboardEntries?.map(({ DashboardName }) => DashboardName)).toEqual([`lifeboat-prod-${region}`])
  })

  it('is removed, but for what holds data', async () => {
    const { failed, said } = await serverless('remove')
    expect([failed, said]).toEqual([false, expect.stringContaining('successfully removed')])
    expect((await lambda.send(new ListFunctionsCommand())).Functions).toEqual([])
    expect((await lambda.send(new ListEventSourceMappingsCommand())).EventSourceMappings).toEqual([])
    expect((await sqs.send(new ListQueuesCommand())).QueueUrls).toBeUndefined()
    expect((await moto.json<{ Rules: object[] }>('events', 'AWSEvents.ListRules')).Rules).toEqual([])
    expect((await dynamodb.send(new ListTablesCommand())).TableNames).toEqual(['features', 'lifeboat-prod-ledger'])
    expect((await s3.send(new ListBucketsCommand())).Buckets?.map(({ Name }) => Name)).toEqual([
      `lifeboat-prod-held-${account}-${region}`,
    ])
  }, 120_000)
})
