import type { OwnerStore } from '../owner.ts'

/** What the doctor asks of each side. Every method throws where it is denied or unreachable: then nothing is known. */

export type SourceBucket = {
  region: string
  versioning: 'Enabled' | 'Suspended' | 'Off'
  eventBridge: boolean
}
/** `streamArn` is of the stream that is enabled now. */
export type SourceTable = { streamArn?: string; viewType?: string; kmsKey?: string }
export type SourceKey = {
  arn: string
  /** https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html */
  state: string
  /** One of AWS's own for a service (aws/s3): everybody who may use the service there uses it. */
  isManaged: boolean
  /** True where the key's policy leaves it to IAM of its account who may use it. */
  trustsIam: boolean
}
/**
 * A queue or stream that calls a function. `state`: Creating, Enabling, Enabled, Disabling, Disabled, Updating or Deleting.
 * https://docs.aws.amazon.com/lambda/latest/api/API_EventSourceMappingConfiguration.html
 */
export type EventSource = { id: string; arn: string; state: string }
export type SourceFunction = {
  name: string
  roleArn: string
  /** GCP_WIF_AUDIENCE and GCP_SERVICE_ACCOUNT of its environment. */
  audience?: string
  serviceAccount?: string
  /** How many of it run at most, as far as its event sources say; undefined where nothing bounds it. */
  concurrencyMax?: number
  eventSources: readonly EventSource[]
}

export interface SourceFacts {
  account(): Promise<string>
  /** undefined where there is no such bucket. */
  bucket(name: string): Promise<SourceBucket | undefined>
  /** The key of the bucket's default encryption, where it is KMS: ARN, id or alias. */
  bucketKey(name: string): Promise<string | undefined>
  table(name: string): Promise<SourceTable | undefined>
  key(id: string): Promise<SourceKey>
  /** Whether the identity policies of a role allow the action on the key, as IAM simulates it. */
  mayUseKey(roleArn: string, keyArn: string, action: string): Promise<boolean>
  deployed(name: string): Promise<SourceFunction | undefined>
  /** State of a rule of the default event bus (ENABLED, DISABLED); undefined where there is none. */
  rule(name: string): Promise<string | undefined>
  /** Concurrent executions of the account: all, and those that nobody has reserved. */
  concurrency(): Promise<{ limit: number; unreserved: number }>
  /** How far its clock is ahead of this machine's, in ms; within a second. */
  clockAheadMs(): Promise<number>
}

export type ReplicaBucket = {
  location: string
  objectRetention: boolean
  publicAccessPrevention: boolean
  uniformAccess: boolean
  versioning: boolean
  softDeleteSeconds: number
  kmsKey?: string
}
export type ReplicaKey = { state: string; protection: string }
export type ReplicaTable = {
  /** Family -> its garbage collection rule: versions, seconds, `none`, or anything else as text. */
  families: Readonly<Record<string, { versions: number } | { seconds: number } | 'none' | { other: string }>>
}
/** `cluster` is the one that all goes to; undefined: to any. */
export type AppProfile = { cluster?: string; hasTransactions: boolean }
export type IdentityProvider = { isActive: boolean; awsAccount?: string }

export interface ReplicaFacts {
  bucket(): Promise<ReplicaBucket | undefined>
  key(name: string): Promise<ReplicaKey>
  table(name: string): Promise<ReplicaTable | undefined>
  appProfile(id: string): Promise<AppProfile | undefined>
  clusterKeys(): Promise<{ cluster: string; zone: string; kmsKey?: string }[]>
  /** `audience` is the full resource name. */
  provider(audience: string): Promise<IdentityProvider | undefined>
  /** Members that may become the account by workload identity; undefined where there is no such account. */
  federatedMembers(serviceAccount: string): Promise<string[] | undefined>
  /** What kind of credentials this program reads with, and whether they come from AWS. */
  credentials(): Promise<{ kind: string; isFromAws: boolean }>
  clockAheadMs(): Promise<number>
  store: Pick<OwnerStore, 'read'> & { list(prefix: string): AsyncIterable<{ name: string; createdAt: number }> }
}
