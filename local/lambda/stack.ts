import type { AlarmSpec } from '../cloudwatch/alarms.ts'
import type { Pattern } from './event-pattern.ts'

/** A deployed template, as the runner needs it: plain data, with every intrinsic function resolved. */
export type Endpoints = {
  s3: string
  sqs: string
  dynamodb: string
  gcs: string
  /** Absent where no function writes rows. */
  bigtable?: string
  /** Absent where nobody measures. */
  cloudwatch?: string
}

export type FunctionSpec = {
  logicalId: string
  name: string
  arn: string
  handler: string
  /** The folder of the unpacked bundle, below the build folder. */
  bundle: string
  /** The logical id of its role: the principal it calls as. */
  role: string
  timeoutMs: number
  memoryMb: number
  environment: Record<string, string>
}
export type QueueSpec = { logicalId: string; name: string; url: string; arn: string }

type Mapping = {
  logicalId: string
  functionArn: string
  sourceArn: string
  batchSize: number
  batchWindowMs: number
  filters: Pattern[]
  partialFailures: boolean
}
export type SqsMapping = Mapping & { queueUrl: string; concurrencyMax: number }
export type StreamMapping = Mapping & {
  startingPosition: 'TRIM_HORIZON' | 'LATEST'
  bisect: boolean
  /** -1: without end. */
  retriesMax: number
  /** -1: without end. */
  recordAgeMaxMs: number
  /** The ARN of a bucket or queue. */
  onFailure: string | undefined
}
export type RuleSpec = { logicalId: string; pattern: Pattern; targets: { arn: string; input: string | undefined }[] }
export type ScheduleSpec = {
  logicalId: string
  arn: string
  everyMs: number
  functionArn: string
  input: string | undefined
}

export type Stack = {
  account: string
  region: string
  endpoints: Endpoints
  functions: FunctionSpec[]
  queues: QueueSpec[]
  sqsMappings: SqsMapping[]
  streamMappings: StreamMapping[]
  rules: RuleSpec[]
  schedules: ScheduleSpec[]
  alarms: AlarmSpec[]
}
