import { DescribeTableCommand, type DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { DescribeRuleCommand, type EventBridgeClient } from '@aws-sdk/client-eventbridge'
import { type IAMClient, SimulatePrincipalPolicyCommand } from '@aws-sdk/client-iam'
import { DescribeKeyCommand, GetKeyPolicyCommand, type KMSClient } from '@aws-sdk/client-kms'
import {
  GetAccountSettingsCommand,
  GetFunctionConfigurationCommand,
  type LambdaClient,
  paginateListEventSourceMappings,
} from '@aws-sdk/client-lambda'
import {
  GetBucketEncryptionCommand,
  GetBucketLocationCommand,
  GetBucketNotificationConfigurationCommand,
  GetBucketVersioningCommand,
  type S3Client,
} from '@aws-sdk/client-s3'
import { GetCallerIdentityCommand, type STSClient } from '@aws-sdk/client-sts'
import { toArray } from '../../bounded.ts'
import type { SourceBucket, SourceFacts, SourceFunction, SourceKey, SourceTable } from '../../doctor/ports.ts'
import { clockAheadMs } from '../clock.ts'
import { translated } from './errors.ts'

/** What the doctor asks of AWS. infra/aws/doctor-policy.json lists what it takes; nothing there changes anything. */

export type SourceClients = {
  s3: S3Client
  dynamodb: DynamoDBClient
  sts: STSClient
  kms: KMSClient
  iam: IAMClient
  lambda: LambdaClient
  eventBridge: EventBridgeClient
}

const missingNames = new Set([
  'NoSuchBucket',
  'ResourceNotFoundException',
  'ServerSideEncryptionConfigurationNotFoundError',
])

/** undefined where the thing itself is not there; anything else is thrown, translated. */
const unlessMissing = async <T>(operation: string, call: () => Promise<T>): Promise<T | undefined> => {
  try {
    return await call()
  } catch (error) {
    if (error instanceof Error && missingNames.has(error.name)) return undefined
    return translated(operation, () => Promise.reject(error as Error))
  }
}

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketLocation.html */
const regionOf = (constraint: string | undefined): string => {
  if (constraint === undefined || constraint === '') return 'us-east-1'
  return constraint === 'EU' ? 'eu-west-1' : constraint
}

const readBucket = (s3: S3Client, Bucket: string): Promise<SourceBucket | undefined> =>
  unlessMissing(`look at s3://${Bucket}`, async () => {
    const [location, versioning, notification] = await Promise.all([
      s3.send(new GetBucketLocationCommand({ Bucket })),
      s3.send(new GetBucketVersioningCommand({ Bucket })),
      s3.send(new GetBucketNotificationConfigurationCommand({ Bucket })),
    ])
    return {
      region: regionOf(location.LocationConstraint),
      versioning: versioning.Status ?? 'Off',
      eventBridge: notification.EventBridgeConfiguration !== undefined,
    }
  })

const readBucketKey = (s3: S3Client, Bucket: string): Promise<string | undefined> =>
  unlessMissing(`look at the encryption of s3://${Bucket}`, async () => {
    const { ServerSideEncryptionConfiguration } = await s3.send(new GetBucketEncryptionCommand({ Bucket }))
    const rule = ServerSideEncryptionConfiguration?.Rules?.[0]?.ApplyServerSideEncryptionByDefault
    if (!rule?.SSEAlgorithm?.startsWith('aws:kms')) return undefined
    return rule.KMSMasterKeyID ?? 'alias/aws/s3'
  })

const readTable = (dynamodb: DynamoDBClient, TableName: string): Promise<SourceTable | undefined> =>
  unlessMissing(`look at table ${TableName}`, async () => {
    const { Table = {} } = await dynamodb.send(new DescribeTableCommand({ TableName }))
    const { LatestStreamArn, StreamSpecification: stream, SSEDescription: encryption } = Table
    return {
      ...(stream?.StreamEnabled && LatestStreamArn !== undefined && { streamArn: LatestStreamArn }),
      ...(stream?.StreamViewType !== undefined && { viewType: stream.StreamViewType }),
      ...(encryption?.KMSMasterKeyArn !== undefined && { kmsKey: encryption.KMSMasterKeyArn }),
    }
  })

type Statement = {
  Effect?: string
  Principal?: string | { AWS?: string | string[] }
  Action?: string | string[]
  Condition?: unknown
}

const asList = (value: string | string[] | undefined): string[] => (typeof value === 'string' ? [value] : (value ?? []))

/**
 * Whether a key's policy hands the decision to the IAM of `account`.
 * https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-default.html
 */
const trustsIam = (policy: string, account: string): boolean => {
  const { Statement: statements = [] } = JSON.parse(policy) as { Statement?: Statement | Statement[] }
  return [statements].flat().some(({ Effect, Principal, Action, Condition }) => {
    if (Effect !== 'Allow' || Condition !== undefined || Principal === undefined) return false
    const principals = typeof Principal === 'string' ? [Principal] : asList(Principal.AWS)
    const isAccount = principals.some((one) => one === '*' || one === account || one.endsWith(`:iam::${account}:root`))
    return isAccount && asList(Action).some((action) => ['*', 'kms:*', 'kms:Decrypt'].includes(action))
  })
}

const readKey = (kms: KMSClient, KeyId: string): Promise<SourceKey> =>
  translated(`look at the key ${KeyId}`, async () => {
    const { KeyMetadata: key } = await kms.send(new DescribeKeyCommand({ KeyId }))
    const about = { arn: key?.Arn ?? KeyId, state: key?.KeyState ?? 'unknown', isManaged: key?.KeyManager === 'AWS' }
    if (about.isManaged) return { ...about, trustsIam: false }
    const { Policy = '{}' } = await kms.send(new GetKeyPolicyCommand({ KeyId: about.arn, PolicyName: 'default' }))
    return { ...about, trustsIam: trustsIam(Policy, key?.AWSAccountId ?? '') }
  })

const readFunction = (lambda: LambdaClient, FunctionName: string): Promise<SourceFunction | undefined> =>
  unlessMissing(`look at the function ${FunctionName}`, async () => {
    const found = await lambda.send(new GetFunctionConfigurationCommand({ FunctionName }))
    const pages = await toArray(paginateListEventSourceMappings({ client: lambda }, { FunctionName }))
    const mappings = pages.flatMap(({ EventSourceMappings = [] }) => EventSourceMappings)
    const queues = mappings.flatMap(({ ScalingConfig }) => ScalingConfig?.MaximumConcurrency ?? [])
    const { GCP_WIF_AUDIENCE: audience, GCP_SERVICE_ACCOUNT: serviceAccount } = found.Environment?.Variables ?? {}
    return {
      name: FunctionName,
      roleArn: found.Role ?? '',
      ...(audience !== undefined && { audience }),
      ...(serviceAccount !== undefined && { serviceAccount }),
      eventSources: mappings.map(({ UUID = '', EventSourceArn = '', State = 'unknown' }) => ({
        id: UUID,
        arn: EventSourceArn,
        state: State,
      })),
      ...(queues.length > 0 && { concurrencyMax: queues.reduce((sum, one) => sum + one, 0) }),
    }
  })

export const createSourceFacts = (clients: SourceClients, clockUrl: string): SourceFacts => {
  const { s3, dynamodb, sts, kms, iam, lambda, eventBridge } = clients
  return {
    account: () =>
      translated('ask whose credentials these are', async () => {
        const { Account = '' } = await sts.send(new GetCallerIdentityCommand({}))
        return Account
      }),
    bucket: (name) => readBucket(s3, name),
    bucketKey: (name) => readBucketKey(s3, name),
    table: (name) => readTable(dynamodb, name),
    key: (id) => readKey(kms, id),
    mayUseKey: (PolicySourceArn, keyArn, action) =>
      translated(`simulate the policies of ${PolicySourceArn}`, async () => {
        const asked = { PolicySourceArn, ActionNames: [action], ResourceArns: [keyArn] }
        const { EvaluationResults = [] } = await iam.send(new SimulatePrincipalPolicyCommand(asked))
        return EvaluationResults.length > 0 && EvaluationResults.every(({ EvalDecision }) => EvalDecision === 'allowed')
      }),
    deployed: (name) => readFunction(lambda, name),
    rule: (Name) =>
      unlessMissing(`look at the rule ${Name}`, async () => {
        const { State = 'unknown' } = await eventBridge.send(new DescribeRuleCommand({ Name }))
        return State
      }),
    concurrency: () =>
      translated('ask for the concurrency of the account', async () => {
        const { AccountLimit } = await lambda.send(new GetAccountSettingsCommand({}))
        const { ConcurrentExecutions: limit = 0, UnreservedConcurrentExecutions: unreserved = 0 } = AccountLimit ?? {}
        return { limit, unreserved }
      }),
    clockAheadMs: () => clockAheadMs(clockUrl),
  }
}
