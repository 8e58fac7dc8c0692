import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Config, parseConfig } from './config.ts'
import { InvalidInputError } from './errors.ts'

/** The only file that reads the environment of the functions. */

/** What every function has. */
export type BaseEnv = {
  stage: string
  config: Config
  /** The Google service account that this function acts as. */
  serviceAccount: string
  /** The full resource name of the provider at Google that this function logs in by; anything in a local stage. */
  wifAudience: string
  region: string
}

export type Env = BaseEnv & {
  ledgerTable: string
  objectsQueueUrl: string
  segmentsQueueUrl: string
  /** Units of backfills, apart from those that are late. */
  backfillSegmentsQueueUrl: string
  /** An emulator's URL; legal in stages named `local` only, since a custom endpoint drops authentication. */
  gcsEndpoint?: string
  /** How long a queue message is held at a time, where it is not the usual; legal in stages named `local` only. */
  leaseSeconds?: number
}

export type LagEnv = Env & { objectsDeadQueueUrl: string; segmentsDeadQueueUrl: string }

export type RowsEnv = BaseEnv & {
  /** Holds the changes that could not be applied. */
  quarantineBucket: string
  bigtableInstance: string
  /** An emulator's URL, as gcsEndpoint is. */
  bigtableEndpoint?: string
  gcsEndpoint?: string
}

export type CompareRowsEnv = Omit<RowsEnv, 'quarantineBucket'> & Pick<Env, 'ledgerTable'>

const required = (name: string): string => {
  const value = process.env[name]
  if (value === undefined || value === '')
    throw new InvalidInputError(`environment variable ${name} is not set: deploy with serverless.yml`)
  return value
}

const isLocal = (stage: string): boolean => stage === 'local' || stage.startsWith('local-')

const emulatorOf = (name: string, stage: string): string | undefined => {
  const endpoint = process.env[name]
  if (endpoint !== undefined && !isLocal(stage))
    throw new InvalidInputError(
      `${name} is set (${endpoint}) in stage ${stage}: emulators are refused outside of local stages`,
    )
  return endpoint
}

const providerPattern =
  /^\/\/iam\.googleapis\.com\/projects\/(\d+)\/locations\/global\/workloadIdentityPools\/[^/]+\/providers\/[^/]+$/

/** What serverless.yml deploys with where nobody named a provider has project 000000000000. */
const audienceOf = (stage: string): string => {
  if (isLocal(stage)) return process.env['GCP_WIF_AUDIENCE'] ?? ''
  const audience = required('GCP_WIF_AUDIENCE')
  const project = providerPattern.exec(audience)?.[1]
  if (project === undefined || /^0+$/.test(project))
    throw new InvalidInputError(
      `GCP_WIF_AUDIENCE is ${project === undefined ? `"${audience}"` : 'the placeholder'}: deploy with --param="gcpWifAudience=..." and the output wif_audience of infra/gcp`,
    )
  return audience
}

const readBaseEnv = (): BaseEnv => {
  const stage = required('STAGE')
  for (const name of ['GCS_ENDPOINT', 'BIGTABLE_ENDPOINT']) emulatorOf(name, stage)
  const file = process.env['LIFEBOAT_CONFIG'] ?? join(required('LAMBDA_TASK_ROOT'), 'lifeboat.json')
  return {
    stage,
    config: parseConfig(readFileSync(file, 'utf8'), { stage, file }),
    serviceAccount: required('GCP_SERVICE_ACCOUNT'),
    wifAudience: audienceOf(stage),
    region: required('AWS_REGION'),
  }
}

/** The environment of the functions that replicate objects. */
export const readEnv = (): Env => {
  const base = readBaseEnv()
  const gcsEndpoint = emulatorOf('GCS_ENDPOINT', base.stage)
  const lease = process.env['LEASE_SECONDS']
  if (lease !== undefined && (!isLocal(base.stage) || !/^[1-9]\d{0,3}$/.test(lease)))
    throw new InvalidInputError(
      `LEASE_SECONDS is ${lease} in stage ${base.stage}: expected seconds, in local stages only`,
    )
  return {
    ...base,
    ledgerTable: required('LEDGER_TABLE'),
    objectsQueueUrl: required('OBJECTS_QUEUE_URL'),
    segmentsQueueUrl: required('SEGMENTS_QUEUE_URL'),
    backfillSegmentsQueueUrl: required('BACKFILL_SEGMENTS_QUEUE_URL'),
    ...(gcsEndpoint === undefined ? {} : { gcsEndpoint }),
    ...(lease === undefined ? {} : { leaseSeconds: Number(lease) }),
  }
}

/** The environment of measure-lag; where there are tables, it has that of the functions of rows, too. */
export const readLagEnv = (): LagEnv => ({
  ...readEnv(),
  objectsDeadQueueUrl: required('OBJECTS_DEAD_QUEUE_URL'),
  segmentsDeadQueueUrl: required('SEGMENTS_DEAD_QUEUE_URL'),
})

export type BackfillEnv = Env & { backfillQueueUrl: string }

/** The environment of the function that backfills. */
export const readBackfillEnv = (): BackfillEnv => ({ ...readEnv(), backfillQueueUrl: required('BACKFILL_QUEUE_URL') })

const readBigtableEnv = (): Omit<RowsEnv, 'quarantineBucket'> => {
  const base = readBaseEnv()
  const { bigtableInstance } = base.config.replica
  if (bigtableInstance === undefined)
    throw new InvalidInputError('replica.bigtableInstance: found nothing, allowed: a Bigtable instance id')
  const bigtableEndpoint = emulatorOf('BIGTABLE_ENDPOINT', base.stage)
  const gcsEndpoint = emulatorOf('GCS_ENDPOINT', base.stage)
  return {
    ...base,
    bigtableInstance,
    ...(bigtableEndpoint === undefined ? {} : { bigtableEndpoint }),
    ...(gcsEndpoint === undefined ? {} : { gcsEndpoint }),
  }
}

/** The environment of a function that writes rows and has no quarantine. */
export const readBackfillRowsEnv = (): Omit<RowsEnv, 'quarantineBucket'> => readBigtableEnv()

/** The environment of the functions that replicate rows. */
export const readRowsEnv = (): RowsEnv => ({ ...readBigtableEnv(), quarantineBucket: required('QUARANTINE_BUCKET') })

/** The environment of the function that compares rows. */
export const readCompareRowsEnv = (): CompareRowsEnv => ({
  ...readBigtableEnv(),
  ledgerTable: required('LEDGER_TABLE'),
})
