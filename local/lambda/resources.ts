import {
  CreateTableCommand,
  DescribeTableCommand,
  DescribeTimeToLiveCommand,
  ResourceNotFoundException,
  type TableDescription,
  UpdateTimeToLiveCommand,
  type CreateTableCommandInput,
} from '@aws-sdk/client-dynamodb'
import { BucketAlreadyOwnedByYou, CreateBucketCommand, PutBucketVersioningCommand } from '@aws-sdk/client-s3'
import {
  CreateQueueCommand,
  GetQueueAttributesCommand,
  GetQueueUrlCommand,
  type QueueAttributeName,
  QueueDoesNotExist,
  SetQueueAttributesCommand,
} from '@aws-sdk/client-sqs'
import type { Clients } from './clients.ts'
import type { Endpoints, QueueSpec } from './stack.ts'

type Properties = Record<string, unknown>

const queueAttributes = [
  'VisibilityTimeout',
  'MessageRetentionPeriod',
  'DelaySeconds',
  'ReceiveMessageWaitTimeSeconds',
  'MaximumMessageSize',
  'RedrivePolicy',
] as const satisfies QueueAttributeName[]

const attributesOf = (properties: Properties): Partial<Record<QueueAttributeName, string>> => {
  const given = queueAttributes.filter((name) => properties[name] !== undefined)
  return Object.fromEntries(
    given.map((name) => {
      const value = properties[name]
      return [name, typeof value === 'string' ? value : JSON.stringify(value)]
    }),
  )
}

/** Creates the queue or brings the one that is there to these properties. */
export const ensureQueue = async (
  clients: Clients,
  target: { logicalId: string; name: string; endpoints: Endpoints; account: string },
  properties: Properties,
): Promise<QueueSpec> => {
  const { logicalId, name, endpoints, account } = target
  const Attributes = attributesOf(properties)
  // The queue's own URL may name a host that this machine does not resolve; the path is what identifies it.
  const url = async (answered: string | undefined): Promise<string> =>
    `${endpoints.sqs}${new URL(answered ?? `${endpoints.sqs}/${account}/${name}`).pathname}`
  const existing = await clients.sqs.send(new GetQueueUrlCommand({ QueueName: name })).catch((error: unknown) => {
    if (error instanceof QueueDoesNotExist) return undefined
    throw error
  })
  const made = existing ?? (await clients.sqs.send(new CreateQueueCommand({ QueueName: name, Attributes })))
  const QueueUrl = await url(made.QueueUrl)
  if (existing && Object.keys(Attributes).length > 0)
    await clients.sqs.send(new SetQueueAttributesCommand({ QueueUrl, Attributes }))
  const known = await clients.sqs.send(new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ['QueueArn'] }))
  const arn = known.Attributes?.QueueArn
  if (!arn) throw new Error(`queue ${name} has no ARN`)
  return { logicalId, name, url: QueueUrl, arn }
}

const describe = async (clients: Clients, TableName: string): Promise<TableDescription | undefined> => {
  try {
    return (await clients.dynamodb.send(new DescribeTableCommand({ TableName }))).Table
  } catch (error) {
    if (error instanceof ResourceNotFoundException) return undefined
    throw error
  }
}

const untilActive = async (clients: Clients, name: string): Promise<TableDescription> => {
  for (let attempt = 0; attempt < 500; attempt += 1) {
    const table = await describe(clients, name)
    if (table?.TableStatus === 'ACTIVE') return table
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  throw new Error(`table ${name} did not become active`)
}

const ensureTimeToLive = async (clients: Clients, TableName: string, specification: unknown): Promise<void> => {
  const { AttributeName, Enabled } = (specification ?? {}) as { AttributeName?: string; Enabled?: boolean }
  if (!AttributeName || !Enabled) return
  const current = await clients.dynamodb.send(new DescribeTimeToLiveCommand({ TableName }))
  if (current.TimeToLiveDescription?.AttributeName === AttributeName) return
  await clients.dynamodb.send(
    new UpdateTimeToLiveCommand({ TableName, TimeToLiveSpecification: { AttributeName, Enabled } }),
  )
}

/** Creates the table unless it is there; answers its description once it is active. */
export const ensureTable = async (
  clients: Clients,
  name: string,
  properties: Properties,
): Promise<TableDescription> => {
  const { KeySchema, AttributeDefinitions, GlobalSecondaryIndexes, LocalSecondaryIndexes, StreamSpecification } =
    properties as unknown as CreateTableCommandInput
  if (!(await describe(clients, name)))
    await clients.dynamodb.send(
      new CreateTableCommand({
        TableName: name,
        BillingMode: 'PAY_PER_REQUEST',
        KeySchema,
        AttributeDefinitions,
        ...(GlobalSecondaryIndexes ? { GlobalSecondaryIndexes } : {}),
        ...(LocalSecondaryIndexes ? { LocalSecondaryIndexes } : {}),
        ...(StreamSpecification ? { StreamSpecification: { ...StreamSpecification, StreamEnabled: true } } : {}),
      }),
    )
  const table = await untilActive(clients, name)
  await ensureTimeToLive(clients, name, properties['TimeToLiveSpecification'])
  return table
}

/** Creates the bucket unless it is there, and switches its versions on where the template does. */
export const ensureBucket = async (clients: Clients, name: string, properties: Properties): Promise<void> => {
  try {
    await clients.s3.send(new CreateBucketCommand({ Bucket: name }))
  } catch (error) {
    if (!(error instanceof BucketAlreadyOwnedByYou)) throw error
  }
  const versioning = properties['VersioningConfiguration'] as { Status?: 'Enabled' | 'Suspended' } | undefined
  if (versioning?.Status)
    await clients.s3.send(
      new PutBucketVersioningCommand({ Bucket: name, VersioningConfiguration: { Status: versioning.Status } }),
    )
}
