import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3'
import { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startBigtable } from '../../local/bigtable/server.ts'
import { startDynamoDb } from '../../local/dynamodb/server.ts'
import { packageStack } from '../../local/lambda/package.ts'
import type { Template } from '../../local/lambda/template.ts'
import { createReplicaTables } from '../../local/replica-rows.ts'
import { startS3 } from '../../local/s3/server.ts'
import { createBigtableRowStore } from '../../shared/clouds/gcp/row-store.ts'
import { parseConfig } from '../../shared/config.ts'
import { decodeCells } from '../../shared/features/cells.ts'
import { encodeRowKey } from '../../shared/features/row-key.ts'
import { awsOptions, inFolder } from '../support/contract-target.ts'
import { createTable } from '../support/dynamodb.ts'
import { runBundle } from '../support/run-bundle.ts'
import { findTool } from '../support/tools.ts'

const arnOf = (table: string, month: string): string =>
  `arn:aws:dynamodb:us-east-1:111122223333:table/${table}/stream/2026-${month}-01T00:00:00.000`
// `a.b` and `ab` are one to CloudFormation's names, which know letters and digits only.
const streams = [
  { table: 'features', arn: arnOf('features', '01'), epoch: 1 },
  { table: 'features', arn: arnOf('features', '02'), epoch: 2 },
  { table: 'a.b', arn: arnOf('a.b', '01'), epoch: 1 },
  { table: 'ab.', arn: arnOf('ab.', '01'), epoch: 1 },
]
const configText = JSON.stringify({
  formatVersion: 1,
  source: { account: '111122223333', region: 'us-east-1' },
  replica: { project: 'lifeboat-local', bucket: 'replica', bigtableInstance: 'lifeboat-rows' },
  buckets: [{ name: 'models', prefix: 'm*/', canary: 'lifeboat-canary' }, { name: 'plain' }],
  tables: ['features', 'a.b', 'ab.'].map((name) => ({
    name,
    streams: streams.filter(({ table }) => table === name).map(({ arn, epoch }) => ({ arn, epoch })),
    ...(name === 'features' && { canary: { partition: 'lifeboat', sort: '0' } }),
  })),
})

type Properties = Record<string, unknown>
type Statement = {
  Sid: string
  Action: string[]
  Resource: unknown
  Condition?: unknown
  'Fn::If'?: [string, Statement]
}

let dir: string
let template: Template
let buildDir: string
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'lifeboat-package-rows-'))
  const configFile = join(dir, 'lifeboat.yml')
  writeFileSync(configFile, configText)
  ;({ template, buildDir } = await packageStack({ configFile, stage: 'local', cacheDir: join(dir, 'cache') }))
}, 180_000)
afterAll(() => rmSync(dir, { recursive: true, force: true }))

const within = (folder: string) => ({ 'Fn::Sub': `\${FailedBatchesBucket.Arn}/${folder}/*` })

const properties = (name: string): Properties => template.Resources[name]!.Properties
const statementsOf = (role: string): Map<string, Statement> => {
  const [policy] = properties(role)['Policies'] as { PolicyDocument: { Statement: Statement[] } }[]
  return new Map(
    policy!.PolicyDocument.Statement.map((entry) => entry['Fn::If']?.[1] ?? entry).map((one) => [one.Sid, one]),
  )
}

describe('the packaged stack with tables', () => {
  it('reads every stream of every table from its beginning, without end, and stores what is too old whole', () => {
    const mappings = Object.values(template.Resources)
      .filter(({ Type }) => Type === 'AWS::Lambda::EventSourceMapping')
      .map((mapping) => mapping.Properties as Properties)
      .filter((mapping) => typeof mapping['EventSourceArn'] === 'string')
    expect(mappings.map((mapping) => String(mapping['EventSourceArn'])).toSorted()).toEqual(
      streams.map(({ arn }) => arn).toSorted(),
    )
    for (const mapping of mappings)
      expect(mapping).toMatchObject({
        FunctionName: { 'Fn::GetAtt': ['ApplyChangesLambdaFunction', 'Arn'] },
        StartingPosition: 'TRIM_HORIZON',
        ParallelizationFactor: 1,
        MaximumBatchingWindowInSeconds: 1,
        BisectBatchOnFunctionError: true,
        MaximumRetryAttempts: -1,
        MaximumRecordAgeInSeconds: 82_800,
        FunctionResponseTypes: ['ReportBatchItemFailures'],
        DestinationConfig: { OnFailure: { Destination: { 'Fn::GetAtt': ['FailedBatchesBucket', 'Arn'] } } },
      })
  })

  it('has a role for each function of rows, with what it needs', () => {
    const tables = ['features', 'a.b', 'ab.'].map((name) => ({
      'Fn::Sub': `arn:\${AWS::Partition}:dynamodb:\${AWS::Region}:\${AWS::AccountId}:table/${name}`,
    }))
    const places = (role: string): Record<string, unknown> =>
      Object.fromEntries(
        [...statementsOf(role).values()]
          .filter(({ Action }) => Action.some((action) => /^(s3|dynamodb):/.test(action)))
          .map(({ Action, Resource }) => [Action.join(), Resource]),
      )
    const stream = 'dynamodb:DescribeStream,dynamodb:GetShardIterator,dynamodb:GetRecords,dynamodb:ListStreams'
    expect(places('ApplyChangesRole')).toMatchObject({
      [stream]: streams.map(({ arn }) => arn),
      'dynamodb:DescribeTable,dynamodb:GetItem': tables,
    })
    expect(statementsOf('ApplyChangesRole').get('Quarantine')).toMatchObject({
      Action: ['s3:PutObject'],
      Resource: within('quarantine'),
    })
    expect(places('RedriveRole')).toEqual({
      'dynamodb:DescribeTable,dynamodb:GetItem': tables,
      's3:GetObject,s3:PutObject,s3:DeleteObject': within('quarantine'),
      's3:GetObject,s3:DeleteObject': within('aws/lambda'),
      's3:PutObject': within('redriven'),
      's3:ListBucket': { 'Fn::GetAtt': ['FailedBatchesBucket', 'Arn'] },
    })
    // With a condition on the prefix a key that is gone answers 403 to GetObject, and not 404.
    for (const role of ['RedriveRole', 'MeasureLagRole'])
      expect(statementsOf(role).get('ListQuarantine')).toMatchObject({ Action: ['s3:ListBucket'] })
    for (const role of ['RedriveRole', 'MeasureLagRole'])
      expect(statementsOf(role).get('ListQuarantine')).not.toHaveProperty('Condition')
    expect(statementsOf('MeasureLagRole').get('Quarantine')).toMatchObject({
      Action: ['s3:GetObject'],
      Resource: [within('quarantine'), within('aws/lambda')],
    })
    expect(places('CompareRowsRole')).toEqual({
      'dynamodb:DescribeTable,dynamodb:GetItem,dynamodb:Scan': tables,
      'dynamodb:GetItem,dynamodb:PutItem': { 'Fn::GetAtt': ['LedgerTable', 'Arn'] },
    })
    const ofProof = { 'ForAllValues:StringLike': { 'dynamodb:LeadingKeys': ['proof#*'] } }
    expect(statementsOf('CompareRowsRole').get('State')?.Condition).toEqual(ofProof)
    for (const name of ['ApplyChanges', 'Redrive', 'CompareRows']) {
      expect(properties(`${name}LambdaFunction`)['Role']).toEqual({ 'Fn::Sub': `\${${name}Role.Arn}` })
      const { Variables } = properties(`${name}LambdaFunction`)['Environment'] as { Variables: Properties }
      expect(Variables['GCP_SERVICE_ACCOUNT']).toBe('lifeboat-rows@lifeboat-local.iam.gserviceaccount.com')
      expect(Variables['QUARANTINE_BUCKET']).toEqual(
        name === 'CompareRows' ? undefined : { Ref: 'FailedBatchesBucket' },
      )
      for (const { Action } of statementsOf(`${name}Role`).values()) expect(Action.join()).not.toContain('*')
    }
  })

  it('lets measure-lag write canaries where there are any, read the newest stream of their tables, and nothing else', () => {
    const { RoleName, PolicyDocument } = properties('MeasureLagCanaryPolicy') as {
      RoleName: unknown
      PolicyDocument: { Statement: Statement[] }
    }
    expect(RoleName).toEqual({ Ref: 'MeasureLagRole' })
    expect(PolicyDocument.Statement.filter(({ Sid }) => Sid).map(({ Action, Resource }) => [Action, Resource])).toEqual(
      [
        [
          ['s3:PutObject', 's3:GetObject', 's3:GetObjectVersion'],
          [{ 'Fn::Sub': 'arn:${AWS::Partition}:s3:::models/m${!*}/lifeboat-canary' }],
        ],
        [
          ['dynamodb:DescribeTable', 'dynamodb:UpdateItem'],
          [{ 'Fn::Sub': 'arn:${AWS::Partition}:dynamodb:${AWS::Region}:${AWS::AccountId}:table/features' }],
        ],
        [['dynamodb:DescribeStream', 'dynamodb:GetShardIterator', 'dynamodb:GetRecords'], [arnOf('features', '02')]],
      ],
    )
    const least = statementsOf('MeasureLagRole')
    expect(least.get('Remember')).toMatchObject({
      Action: ['dynamodb:PutItem'],
      Condition: { 'ForAllValues:StringEquals': { 'dynamodb:LeadingKeys': ['proof#lag'] } },
    })
    const { Variables } = properties('MeasureLagLambdaFunction')['Environment'] as { Variables: Properties }
    expect(Variables['GCP_SERVICE_ACCOUNT']).toBe('lifeboat-observer@lifeboat-local.iam.gserviceaccount.com')
  })

  it('forgets nothing that waits in quarantine', () => {
    const { Rules } = properties('FailedBatchesBucket')['LifecycleConfiguration'] as { Rules: Properties[] }
    const expiring = Rules.filter((rule) => rule['ExpirationInDays'] !== undefined)
    expect(expiring.map((rule) => rule['Prefix'])).toEqual(['aws/lambda/', 'redriven/'])
  })

  it('carries the client of Bigtable in the functions that touch rows alone, without its admin', () => {
    const bundles = [
      'plan-object',
      'copy-segment',
      'commit-object',
      'measure-lag',
      'apply-changes',
      'compare-rows',
      'redrive',
    ]
    const has = (text: string): string[] =>
      bundles.filter((name) => readFileSync(join(buildDir, name, `functions/${name}.mjs`), 'utf8').includes(text))
    expect(has('CheckAndMutateRow')).toEqual(['measure-lag', 'apply-changes', 'compare-rows', 'redrive'])
    expect(has('GenerateConsistencyToken')).toEqual([])
  })

  const lint = findTool('cfn-lint')
  it.skipIf(!lint)(
    'has nothing that cfn-lint reports',
    () => {
      const file = join(buildDir, '../.serverless/cloudformation-template-update-stack.json')
      expect(String(execFileSync(lint!, [file]))).toBe('')
    },
    120_000,
  )
})

// The library under Bigtable's client reads this variable as soon as it is loaded.
const importProgram = (bundle: string): string => `
const asked = new Set()
process.env = new Proxy(process.env, { get: (env, name) => (asked.add(name), env[name]) })
const before = process.cpuUsage().user
await import('./functions/${bundle}.mjs')
console.log(JSON.stringify({ importMs: (process.cpuUsage().user - before) / 1000, loads: asked.has('GRPC_TRACE') }))
process.exit()
`

describe('the bundle of measureLag in an empty folder', () => {
  const names = ['OBJECTS', 'SEGMENTS', 'OBJECTS_DEAD', 'SEGMENTS_DEAD', 'BACKFILL_SEGMENTS']
  const urls = Object.fromEntries(names.map((name) => [`${name}_QUEUE_URL`, `http://127.0.0.1:9/1/${name}`]))
  const start = async (bundle: string): Promise<{ importMs: number; loads: boolean }> => {
    const stdout = await runBundle(
      buildDir,
      { LEDGER_TABLE: 'ledger', ...urls },
      { bundle, program: importProgram(bundle) },
    )
    return JSON.parse(stdout) as { importMs: number; loads: boolean }
  }

  it('starts without the client of Bigtable, which the functions of rows start with', async () => {
    const { importMs, loads } = await start('measure-lag')
    console.log(`measureLag: ${Math.round(importMs)} ms of CPU to import`)
    expect([loads, (await start('apply-changes')).loads]).toEqual([false, true])
  })
})

describe('the bundle of applyChanges in an empty folder', () => {
  it('applies a batch, and quarantines what it does not know', async () => {
    const servers = await Promise.all([
      inFolder((home) => startBigtable({ dir: home })),
      inFolder((home) => startDynamoDb({ dir: home })),
      inFolder((home) => startS3({ dir: home })),
    ])
    const [bigtable, dynamo, bucket] = servers
    const dynamodb = new DynamoDBClient(awsOptions(dynamo.url))
    const s3 = new S3Client({ ...awsOptions(bucket.url), forcePathStyle: true })
    const config = parseConfig(configText, { stage: 'local', file: 'lifeboat.yml' })
    const rows = createBigtableRowStore({
      projectId: 'lifeboat-local',
      instanceId: 'lifeboat-rows',
      endpoint: bigtable.url,
      token: 'lifeboat-rows',
    })
    try {
      await createReplicaTables(bigtable.url, config)
      await createTable(dynamodb, { TableName: 'features' })
      await s3.send(new CreateBucketCommand({ Bucket: 'quarantine' }))
      const Keys = { pk: { S: 'a' }, sk: { N: '1' } }
      const record = (eventSourceARN: string, SequenceNumber: string) => ({
        eventName: 'INSERT',
        eventSourceARN,
        dynamodb: {
          ApproximateCreationDateTime: 1_790_000_000,
          Keys,
          NewImage: { ...Keys, score: { N: '0.5' } },
          SequenceNumber,
        },
      })
      const Records = [record(streams[0]!.arn, '1'.repeat(21)), record(arnOf('other', '01'), '2'.repeat(21))]
      const stdout = await runBundle(buildDir, {
        EVENT: JSON.stringify({ Records }),
        BIGTABLE_ENDPOINT: bigtable.url,
        AWS_ENDPOINT_URL_DYNAMODB: dynamo.url,
        AWS_ENDPOINT_URL_S3: bucket.url,
      })
      const lines = stdout.trim().split('\n')
      const last = JSON.parse(lines.at(-1)!) as { importMs: number; batchMs: number; answer: unknown }
      expect(last.answer).toEqual({ batchItemFailures: [] })
      const [importMs, batchMs] = [last.importMs, last.batchMs].map(Math.round)
      console.log(`applyChanges: ${importMs} ms of CPU to import, ${batchMs} ms for a first batch`)
      expect(lines.some((line) => line.includes('"ChangesQuarantined":1'))).toBe(true)
      const key = encodeRowKey({ partition: { S: 'a' }, sort: { N: '1' } })
      const [row] = await rows.read('features', [key])
      expect(decodeCells(row!.cells)).toEqual({ ...Keys, score: { N: '0.5' } })
    } finally {
      await rows.close()
      dynamodb.destroy()
      s3.destroy()
      for (const server of servers) await server.close()
    }
  }, 60_000)

  it.each([
    ['in a real stage', { STAGE: 'production', BIGTABLE_ENDPOINT: 'http://127.0.0.1:9' }, 'emulators are refused'],
    ['without a bucket for what it cannot apply', { QUARANTINE_BUCKET: '' }, 'QUARANTINE_BUCKET is not set'],
  ])('does not start %s', async (_case, env, message) => {
    await expect(runBundle(buildDir, env)).rejects.toThrow(message)
  })
})
