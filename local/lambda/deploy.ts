import { basename } from 'node:path'
import { alarmSpecsOf } from './alarm-specs.ts'
import { type Clients, createClients } from './clients.ts'
import type { Pattern } from './event-pattern.ts'
import { ensureBucket, ensureQueue, ensureTable } from './resources.ts'
import { everyMs } from './schedule.ts'
import type {
  Endpoints,
  FunctionSpec,
  QueueSpec,
  RuleSpec,
  ScheduleSpec,
  SqsMapping,
  Stack,
  StreamMapping,
} from './stack.ts'
import { createResolver, type Physical, type Resolver, type Resource, type Template } from './template.ts'

type Properties = Record<string, unknown>
type Deploying = {
  options: DeployOptions
  clients: Clients
  resolver: Resolver
  physical: Map<string, Physical>
  queues: QueueSpec[]
  nameOf(logicalId: string, given: unknown): string
}
export type DeployOptions = {
  template: Template
  endpoints: Endpoints
  account: string
  region: string
  /** For every function, over what the template says. */
  extraEnv?: Record<string, string>
  /** The beginning of the names that the template leaves open. */
  stackName?: string
  /** The visibility timeout of every queue instead of the template's minutes, for tests that kill functions. */
  visibilitySeconds?: number
}

const ofType = ({ options, resolver }: Deploying, type: string): [string, Resource][] =>
  Object.entries(options.template.Resources).filter(
    ([, resource]) => resource.Type === type && (!resource.Condition || resolver.condition(resource.Condition)),
  )

// A dead-letter queue must be there before the queue that names it.
const createdAs = (properties: Properties): number => (properties['RedrivePolicy'] === undefined ? 0 : 1)

const nameQueues = async (deploying: Deploying): Promise<void> => {
  const { clients, options, physical, queues, resolver } = deploying
  const entries = ofType(deploying, 'AWS::SQS::Queue').sort(
    ([, a], [, b]) => createdAs(a.Properties) - createdAs(b.Properties),
  )
  for (const [logicalId, { Properties }] of entries) {
    const given = resolver.resolve(Properties) as Properties
    const name = deploying.nameOf(logicalId, given['QueueName'])
    const { visibilitySeconds: VisibilityTimeout } = options
    const properties = { ...given, ...(VisibilityTimeout === undefined ? {} : { VisibilityTimeout }) }
    const queue = await ensureQueue(clients, { ...options, logicalId, name }, properties)
    queues.push(queue)
    physical.set(logicalId, { ref: queue.url, attributes: { Arn: queue.arn, QueueName: name, QueueUrl: queue.url } })
  }
}

const nameTables = async (deploying: Deploying): Promise<void> => {
  for (const [logicalId, { Properties }] of ofType(deploying, 'AWS::DynamoDB::Table')) {
    const properties = deploying.resolver.resolve(Properties) as Properties
    const name = deploying.nameOf(logicalId, properties['TableName'])
    const table = await ensureTable(deploying.clients, name, properties)
    const attributes: Record<string, string> = { Arn: table.TableArn ?? '' }
    if (table.LatestStreamArn) attributes['StreamArn'] = table.LatestStreamArn
    deploying.physical.set(logicalId, { ref: name, attributes })
  }
}

const nameBuckets = async (deploying: Deploying): Promise<void> => {
  for (const [logicalId, { Properties }] of ofType(deploying, 'AWS::S3::Bucket')) {
    // Where the framework puts the zips: nothing is uploaded here.
    if (logicalId === 'ServerlessDeploymentBucket') continue
    const properties = deploying.resolver.resolve(Properties) as Properties
    const name = deploying.nameOf(logicalId, properties['BucketName']).toLowerCase()
    await ensureBucket(deploying.clients, name, properties)
    deploying.physical.set(logicalId, { ref: name, attributes: { Arn: `arn:aws:s3:::${name}` } })
  }
}

/** Roles, functions and rules exist as names only; the names must be there before anything refers to them. */
const nameTheRest = (deploying: Deploying): void => {
  const { options, physical, resolver } = deploying
  const put = (type: string, nameField: string, arn: (name: string) => string): void => {
    for (const [logicalId, { Properties }] of ofType(deploying, type)) {
      const name = deploying.nameOf(logicalId, resolver.resolve(Properties[nameField]))
      physical.set(logicalId, { ref: name, attributes: { Arn: arn(name) } })
    }
  }
  const { account, region } = options
  put('AWS::IAM::Role', 'RoleName', (name) => `arn:aws:iam::${account}:role/${name}`)
  put('AWS::Lambda::Function', 'FunctionName', (name) => `arn:aws:lambda:${region}:${account}:function:${name}`)
  put('AWS::Events::Rule', 'Name', (name) => `arn:aws:events:${region}:${account}:rule/${name}`)
  put('AWS::Scheduler::Schedule', 'Name', (name) => `arn:aws:scheduler:${region}:${account}:schedule/default/${name}`)
  // Ref answers the UUID; here it is the name that failed batches are filed under.
  for (const [logicalId] of ofType(deploying, 'AWS::Lambda::EventSourceMapping'))
    physical.set(logicalId, { ref: logicalId, attributes: {} })
}

const roleOf = (role: unknown, template: Template): string => {
  const named = Object.keys(template.Resources).filter((name) => template.Resources[name]?.Type === 'AWS::IAM::Role')
  const text = JSON.stringify(role) ?? ''
  const found = named.find((name) => text.includes(`"${name}"`) || text.includes(`\${${name}.Arn}`))
  if (!found) throw new Error(`no role of the template is named in ${text}`)
  return found
}

const functionsOf = (deploying: Deploying): FunctionSpec[] =>
  ofType(deploying, 'AWS::Lambda::Function').map(([logicalId, { Properties }]) => {
    const { resolver, physical, options } = deploying
    const { Handler, Timeout = 3, MemorySize = 128, Environment, Role } = Properties
    const { Variables = {} } = (resolver.resolve(Environment) ?? {}) as { Variables?: Record<string, string> }
    const known = physical.get(logicalId)
    const handler = String(Handler)
    return {
      logicalId,
      name: known?.ref ?? logicalId,
      arn: known?.attributes['Arn'] ?? '',
      handler,
      bundle: basename(handler).replace(/\.[^.]+$/, ''),
      role: roleOf(Role, options.template),
      timeoutMs: Number(Timeout) * 1000,
      memoryMb: Number(MemorySize),
      environment: { ...Variables, ...options.extraEnv },
    }
  })

type MappingProperties = {
  EventSourceArn: string
  FunctionName: string
  Enabled?: boolean
  BatchSize?: number
  MaximumBatchingWindowInSeconds?: number
  FilterCriteria?: { Filters?: { Pattern: string }[] }
  FunctionResponseTypes?: string[]
  ScalingConfig?: { MaximumConcurrency?: number }
  StartingPosition?: 'TRIM_HORIZON' | 'LATEST'
  ParallelizationFactor?: number
  BisectBatchOnFunctionError?: boolean
  MaximumRetryAttempts?: number
  MaximumRecordAgeInSeconds?: number
  DestinationConfig?: { OnFailure?: { Destination?: string } }
}

const mappingsOf = (deploying: Deploying): { sqsMappings: SqsMapping[]; streamMappings: StreamMapping[] } => {
  const sqsMappings: SqsMapping[] = []
  const streamMappings: StreamMapping[] = []
  for (const [logicalId, { Properties }] of ofType(deploying, 'AWS::Lambda::EventSourceMapping')) {
    const mapping = deploying.resolver.resolve(Properties) as MappingProperties
    if (mapping.Enabled === false) continue
    if ((mapping.ParallelizationFactor ?? 1) > 1)
      throw new Error(`${logicalId}: ParallelizationFactor above 1 does not run here`)
    const queue = deploying.queues.find((candidate) => candidate.arn === mapping.EventSourceArn)
    const common = {
      logicalId,
      functionArn: mapping.FunctionName,
      sourceArn: mapping.EventSourceArn,
      batchSize: mapping.BatchSize ?? (queue ? 10 : 100),
      batchWindowMs: (mapping.MaximumBatchingWindowInSeconds ?? 0) * 1000,
      filters: (mapping.FilterCriteria?.Filters ?? []).map((filter) => JSON.parse(filter.Pattern) as Pattern),
      partialFailures: mapping.FunctionResponseTypes?.includes('ReportBatchItemFailures') ?? false,
    }
    if (queue)
      sqsMappings.push({
        ...common,
        queueUrl: queue.url,
        concurrencyMax: mapping.ScalingConfig?.MaximumConcurrency ?? 1000,
      })
    else
      streamMappings.push({
        ...common,
        startingPosition: mapping.StartingPosition ?? 'LATEST',
        bisect: mapping.BisectBatchOnFunctionError ?? false,
        retriesMax: mapping.MaximumRetryAttempts ?? -1,
        recordAgeMaxMs:
          (mapping.MaximumRecordAgeInSeconds ?? -1) > 0 ? (mapping.MaximumRecordAgeInSeconds ?? 0) * 1000 : -1,
        onFailure: mapping.DestinationConfig?.OnFailure?.Destination,
      })
  }
  return { sqsMappings, streamMappings }
}

type RuleProperties = {
  State?: string
  EventPattern?: Pattern
  ScheduleExpression?: string
  Targets?: { Arn: string; Input?: string }[]
  Target?: { Arn: string; Input?: string }
}

const rulesOf = (deploying: Deploying): { rules: RuleSpec[]; schedules: ScheduleSpec[] } => {
  const rules: RuleSpec[] = []
  const schedules: ScheduleSpec[] = []
  const entries = [...ofType(deploying, 'AWS::Events::Rule'), ...ofType(deploying, 'AWS::Scheduler::Schedule')]
  for (const [logicalId, { Properties }] of entries) {
    const rule = deploying.resolver.resolve(Properties) as RuleProperties
    if (rule.State === 'DISABLED') continue
    const targets = (rule.Targets ?? (rule.Target ? [rule.Target] : [])).map(({ Arn, Input }) => ({
      arn: Arn,
      input: Input,
    }))
    if (rule.EventPattern) rules.push({ logicalId, pattern: rule.EventPattern, targets })
    const arn = deploying.physical.get(logicalId)?.attributes['Arn'] ?? ''
    if (rule.ScheduleExpression) {
      const every = everyMs(rule.ScheduleExpression)
      for (const target of targets)
        schedules.push({ logicalId, arn, everyMs: every, functionArn: target.arn, input: target.input })
    }
  }
  return { rules, schedules }
}

/**
 * Creates what the template declares on the embedded clouds (queues, tables, buckets) unless it is there already, and
 * resolves everything that the runner needs. A second call on the same data changes nothing.
 */
export const deployStack = async (options: DeployOptions): Promise<Stack> => {
  const { template, account, region, endpoints, stackName = 'lifeboat' } = options
  const clients = createClients(endpoints, region)
  const physical = new Map<string, Physical>()
  const resolver = createResolver({ template, account, region, stackName, physical })
  const nameOf = (logicalId: string, given: unknown): string =>
    typeof given === 'string' ? given : `${stackName}-${logicalId}`
  const deploying: Deploying = { options, clients, resolver, physical, queues: [], nameOf }
  try {
    nameTheRest(deploying)
    await nameQueues(deploying)
    await nameTables(deploying)
    await nameBuckets(deploying)
    return {
      account,
      region,
      endpoints,
      functions: functionsOf(deploying),
      queues: deploying.queues,
      ...mappingsOf(deploying),
      ...rulesOf(deploying),
      alarms: alarmSpecsOf(template, resolver),
    }
  } finally {
    clients.close()
  }
}
