import { hash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { isAbsolute, join } from 'node:path'
import { type Config, parseConfig } from '../shared/config.ts'
import { InvalidInputError } from '../shared/errors.ts'
import { thresholdParameters } from './alarm-thresholds.ts'

const root = join(import.meta.dirname, '..')

/** Reads lifeboat.yml, or the file that LIFEBOAT_CONFIG names (relative to the repository), for one stage. */
export const readStackConfig = (stage: string): Config => {
  const named = process.env['LIFEBOAT_CONFIG'] ?? 'lifeboat.yml'
  const file = isAbsolute(named) ? named : join(root, named)
  return parseConfig(readFileSync(file, 'utf8'), { stage, file: named })
}

const sub = (text: string): { 'Fn::Sub': string } => ({ 'Fn::Sub': text })
// IAM reads *, ? and $ in a resource as themselves when written as ${*}, ${?} and ${$}; Fn::Sub writes ${ as ${!.
const literal = (text: string): string => text.replaceAll(/[*?$]/g, '${!$&}')

type Table = Config['tables'][number]

/** CloudFormation's names are of letters and digits only; two tables that differ in something else differ in their hash. */
const mappingName = ({ name }: Table, epoch: number): string =>
  `ApplyChanges${name.replaceAll(/[^A-Za-z0-9]/g, '').slice(0, 100)}${hash('sha256', name, 'hex').slice(0, 8)}Epoch${epoch}`

/** One event source for every stream of every table. Written here: the framework makes one name of two streams of a table. */
const streamMappings = (config: Config): Record<string, object> =>
  Object.fromEntries(
    config.tables.flatMap((table) =>
      table.streams.map(({ arn, epoch }) => [
        mappingName(table, epoch),
        {
          Type: 'AWS::Lambda::EventSourceMapping',
          Properties: {
            EventSourceArn: arn,
            FunctionName: { 'Fn::GetAtt': ['ApplyChangesLambdaFunction', 'Arn'] },
            Enabled: true,
            BatchSize: 500,
            MaximumBatchingWindowInSeconds: 1,
            StartingPosition: 'TRIM_HORIZON',
            // A shard carries about 1,000 changes a second, and one function applies more.
            ParallelizationFactor: 1,
            BisectBatchOnFunctionError: true,
            MaximumRetryAttempts: -1,
            // As of commitObject: what Bigtable could not take for 23 hours is written to FailedBatchesBucket whole.
            MaximumRecordAgeInSeconds: 82_800,
            FunctionResponseTypes: ['ReportBatchItemFailures'],
            DestinationConfig: { OnFailure: { Destination: { 'Fn::GetAtt': ['FailedBatchesBucket', 'Arn'] } } },
            // What was given up is counted: an alarm looks at it.
            MetricsConfig: { Metrics: ['EventCount'] },
          },
        },
      ]),
    ),
  )

const tableArn = ({ name }: Table) =>
  sub(`arn:\${AWS::Partition}:dynamodb:\${AWS::Region}:\${AWS::AccountId}:table/${name}`)

/** IAM refuses a statement without resources. */
const allow = (Sid: string, Action: string[], Resource: unknown[]): object[] =>
  Resource.length === 0 ? [] : [{ Sid, Effect: 'Allow', Action, Resource }]

/** What measure-lag needs for the canaries that there are. */
const canaryPolicy = ({ buckets, tables }: Config): Record<string, object> => {
  const objects = buckets.flatMap(({ name, prefix, canary }) =>
    canary === undefined ? [] : [sub(`arn:\${AWS::Partition}:s3:::${name}/${literal(prefix + canary)}`)],
  )
  const watched = tables.filter(({ canary }) => canary)
  const streams = watched.flatMap(({ streams: listed }) => listed.slice(-1).map(({ arn }) => arn))
  const statements = [
    ...allow('CanaryObjects', ['s3:PutObject', 's3:GetObject', 's3:GetObjectVersion'], objects),
    ...allow('CanaryItems', ['dynamodb:DescribeTable', 'dynamodb:UpdateItem'], watched.map(tableArn)),
    ...allow('Streams', ['dynamodb:DescribeStream', 'dynamodb:GetShardIterator', 'dynamodb:GetRecords'], streams),
  ]
  if (statements.length === 0) return {}
  const Resource = { Ref: 'SourceKmsKeyArns' }
  const keys = { Sid: 'SourceKeys', Effect: 'Allow', Action: ['kms:Decrypt', 'kms:GenerateDataKey'], Resource }
  const withKeys = { 'Fn::If': ['SourceKeys', keys, { Ref: 'AWS::NoValue' }] }
  return {
    MeasureLagCanaryPolicy: {
      Type: 'AWS::IAM::RolePolicy',
      Properties: {
        RoleName: { Ref: 'MeasureLagRole' },
        PolicyName: 'canaries',
        PolicyDocument: { Version: '2012-10-17', Statement: [...statements, withKeys] },
      },
    },
  }
}

/** What backfills of tables need, where there are tables. */
const backfillTablesPolicy = ({ tables }: Config): Record<string, object> => {
  const statements = allow('ReadItems', ['dynamodb:DescribeTable', 'dynamodb:Scan'], tables.map(tableArn))
  if (statements.length === 0) return {}
  return {
    BackfillTablesPolicy: {
      Type: 'AWS::IAM::RolePolicy',
      Properties: {
        RoleName: { Ref: 'BackfillRole' },
        PolicyName: 'tables',
        PolicyDocument: { Version: '2012-10-17', Statement: statements },
      },
    },
  }
}

/** Which account of the replica's project each function acts as. */
const serviceAccounts = {
  planObject: 'lifeboat-writer',
  copySegment: 'lifeboat-writer',
  commitObject: 'lifeboat-committer',
  validate: 'lifeboat-validator',
  reconcile: 'lifeboat-validator',
  measureLag: 'lifeboat-observer',
  applyChanges: 'lifeboat-rows',
  redrive: 'lifeboat-rows',
  compareRows: 'lifeboat-rows',
  backfill: 'lifeboat-backfill',
} as const

type FunctionName = keyof typeof serviceAccounts

export type Identity = { roleName: string; serviceAccount: string }

/**
 * Of every function, the name of its role in AWS and the Google service account that the role becomes: infra/gcp binds one to
 * the other by these names. A role's name is of the whole account, and at most 64 characters long.
 */
export const identities = (config: Config, stage: string): Record<FunctionName, Identity> => {
  const of = (name: FunctionName): Identity => ({
    roleName: `lifeboat-${stage}-${config.source.region}-${name}`,
    serviceAccount: `${serviceAccounts[name]}@${config.replica.project}.iam.gserviceaccount.com`,
  })
  const names = Object.keys(serviceAccounts) as FunctionName[]
  return Object.fromEntries(names.map((name) => [name, of(name)])) as Record<FunctionName, Identity>
}

/** What the configuration says as CloudFormation needs it. */
export const stackSettings = (config: Config, stage: string) => {
  if (config.buckets.length === 0)
    throw new InvalidInputError('buckets: found none, allowed: at least one, since the stack replicates objects')
  const names = [...new Set(config.buckets.map((bucket) => bucket.name))]
  return {
    region: config.source.region,
    /** Events of the configured buckets and prefixes only: another object never costs an invocation. */
    objectEvents: {
      source: ['aws.s3'],
      account: [config.source.account],
      'detail-type': ['Object Created', 'Object Deleted'],
      detail: {
        $or: config.buckets.map(({ name, prefix }) => ({
          bucket: { name: [name] },
          ...(prefix ? { object: { key: [{ prefix }] } } : {}),
        })),
      },
    },
    bucketArns: names.map((name) => sub(`arn:\${AWS::Partition}:s3:::${name}`)),
    objectArns: config.buckets.map(({ name, prefix }) =>
      sub(`arn:\${AWS::Partition}:s3:::${name}/${literal(prefix)}*`),
    ),
    /** The files of what replicates and compares rows: nothing of it is deployed without a table. */
    rowsFile: config.tables.length > 0 ? 'rows.yml' : 'no-rows.yml',
    compareRowsFile: config.tables.length > 0 ? 'compare-rows.yml' : 'no-rows.yml',
    thresholdParameters: thresholdParameters(config),
    streamMappings: streamMappings(config),
    streamArns: config.tables.flatMap(({ streams }) => streams.map(({ arn }) => arn)),
    tableArns: config.tables.map(tableArn),
    canaryPolicy: canaryPolicy(config),
    backfillTablesPolicy: backfillTablesPolicy(config),
    identities: identities(config, stage),
  }
}

/** What the framework calls for every `${file(infra/aws/settings.cjs):NAME}`. */
export const readStackSettings = async (request: {
  resolveVariable(variable: string): Promise<unknown>
}): Promise<ReturnType<typeof stackSettings>> => {
  const stage = String(await request.resolveVariable('sls:stage'))
  return stackSettings(readStackConfig(stage), stage)
}
