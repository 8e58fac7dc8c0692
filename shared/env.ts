import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Config, parseConfig } from './config.ts'
import { InvalidInputError } from './errors.ts'

/** The only file that reads the environment of the functions. */

export type Env = {
  stage: string
  config: Config
  ledgerTable: string
  objectsQueueUrl: string
  segmentsQueueUrl: string
  /** The Google service account that this function acts as. */
  serviceAccount: string
  wifAudience: string
  region: string
  /** An emulator's URL; legal in stages named `local` only, since a custom endpoint drops authentication. */
  gcsEndpoint?: string
  /** How long a queue message is held at a time, where it is not the usual; legal in stages named `local` only. */
  leaseSeconds?: number
}

const required = (name: string): string => {
  const value = process.env[name]
  if (value === undefined || value === '')
    throw new InvalidInputError(`environment variable ${name} is not set: deploy with serverless.yml`)
  return value
}

const isLocal = (stage: string): boolean => stage === 'local' || stage.startsWith('local-')

export const readEnv = (): Env => {
  const stage = required('STAGE')
  const file = process.env['LIFEBOAT_CONFIG'] ?? join(required('LAMBDA_TASK_ROOT'), 'lifeboat.json')
  const gcsEndpoint = process.env['GCS_ENDPOINT']
  if (gcsEndpoint !== undefined && !isLocal(stage))
    throw new InvalidInputError(
      `GCS_ENDPOINT is set (${gcsEndpoint}) in stage ${stage}: emulators are refused outside of local stages`,
    )
  const lease = process.env['LEASE_SECONDS']
  if (lease !== undefined && (!isLocal(stage) || !/^[1-9]\d{0,3}$/.test(lease)))
    throw new InvalidInputError(`LEASE_SECONDS is ${lease} in stage ${stage}: expected seconds, in local stages only`)
  return {
    stage,
    config: parseConfig(readFileSync(file, 'utf8'), { stage, file }),
    ledgerTable: required('LEDGER_TABLE'),
    objectsQueueUrl: required('OBJECTS_QUEUE_URL'),
    segmentsQueueUrl: required('SEGMENTS_QUEUE_URL'),
    serviceAccount: required('GCP_SERVICE_ACCOUNT'),
    wifAudience: process.env['GCP_WIF_AUDIENCE'] ?? '',
    region: required('AWS_REGION'),
    ...(gcsEndpoint === undefined ? {} : { gcsEndpoint }),
    ...(lease === undefined ? {} : { leaseSeconds: Number(lease) }),
  }
}
