import { readFileSync } from 'node:fs'
import { isAbsolute, join } from 'node:path'
import { type Config, parseConfig } from '../shared/config.ts'
import { InvalidInputError } from '../shared/errors.ts'

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

/** What the configuration says as CloudFormation needs it. */
export const stackSettings = (config: Config) => {
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
    writer: `lifeboat-writer@${config.replica.project}.iam.gserviceaccount.com`,
    committer: `lifeboat-committer@${config.replica.project}.iam.gserviceaccount.com`,
  }
}

/** What the framework calls for every `${file(infra/aws/settings.cjs):NAME}`. */
export const readStackSettings = async (request: {
  resolveVariable(variable: string): Promise<unknown>
}): Promise<ReturnType<typeof stackSettings>> =>
  stackSettings(readStackConfig(String(await request.resolveVariable('sls:stage'))))
