import type { Config } from '../shared/config.ts'
import { thresholds } from './alarm-thresholds.ts'

/** What serverless.yml and infra/aws take as `${param:NAME}`, besides the thresholds of alarms. */
export const parameterNames = [
  'gcpWifAudience',
  'kmsKeyArn',
  'sourceKmsKeyArns',
  'backfillExportArns',
  'logLevel',
  'logRetentionDays',
  'runbookUrl',
  'pageTopicArn',
  'ticketTopicArn',
]

const thresholdName = (name: string): string => `${name.charAt(0).toLowerCase()}${name.slice(1)}`

/** The framework takes any name: a queue whose key is misspelt would be encrypted with another one, and nobody told. */
export const unknownParameters = (config: Config, given: readonly string[]): string[] => {
  const known = new Set([...parameterNames, ...Object.keys(thresholds(config)).map(thresholdName)])
  return given.filter((name) => !known.has(name))
}

/** What the lifeboat.yml of the repository says until someone writes their own. */
const example = {
  account: '123456789012',
  project: 'example-project',
  bucket: 'example-lifeboat',
  sourceBucket: 'example-models',
}

const audiencePattern =
  /^\/\/iam\.googleapis\.com\/projects\/(?!0+\/)\d+\/locations\/global\/workloadIdentityPools\/[a-z0-9-]+\/providers\/[a-z0-9-]+$/

export type Deployment = { config: Config; stage: string; region: string; audience: string }

/** Why this cannot be deployed to a real account, one sentence each with what to do; empty where it can. */
export const deployRefusals = ({ config, stage, region, audience }: Deployment): string[] => {
  const { source, replica, buckets } = config
  const refusals: [boolean, string][] = [
    [
      /^local(-|$)/.test(stage),
      `stage ${stage}: functions of local stages take emulators for Google; deploy another stage`,
    ],
    [
      !audiencePattern.test(audience),
      `gcpWifAudience: found ${audience}, which names no identity provider; it is the output wif_audience of infra/gcp: write it into params.yml, or give --param="gcpWifAudience=$(terraform -chdir=infra/gcp output -raw wif_audience)"`,
    ],
    [source.account === example.account, `source.account: ${example.account} is the example's; write your own`],
    [
      source.region !== region,
      `source.region: lifeboat.yml says ${source.region}, and this would deploy to ${region}; leave --region out, or change lifeboat.yml`,
    ],
    [replica.project === example.project, `replica.project: ${example.project} is the example's; write your own`],
    [replica.bucket === example.bucket, `replica.bucket: ${example.bucket} is the example's; write your own`],
    [
      buckets.some(({ name }) => name === example.sourceBucket),
      `buckets: ${example.sourceBucket} is the example's; write your own`,
    ],
  ]
  return refusals.flatMap(([refused, why]) => (refused ? [why] : []))
}
