import { once } from 'node:events'
import type { KeyAttribute } from '../source-tables.ts'
import type { LocalStack } from '../stack.ts'
import type { Live } from './live.ts'
import type { RowsPlan } from './rows.ts'

/** What `--keep` prints, as lines to copy into another terminal. */

const sampleText = { S: 'my-item', N: '1', B: 'AQ==' } as const

const keyAttributes = ({ keys }: RowsPlan): KeyAttribute[] =>
  keys.sort ? [keys.partition, keys.sort] : [keys.partition]

/** A text in single quotes for a shell. */
const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`

const rowLines = (plan: RowsPlan): string[] => {
  const attributes = keyAttributes(plan)
  const key = Object.fromEntries(attributes.map(({ name, type }) => [name, { [type]: sampleText[type] }]))
  const item = { ...key, score: { N: '0.12345678901234567890123456789012345678' } }
  const isPlain = attributes.every(({ name, type }) => type !== 'B' && /^[\w-]+$/.test(name))
  const short = attributes.map(({ name, type }) => `${name}=${sampleText[type]}`).join(',')
  return [
    `aws dynamodb put-item --table-name ${plan.table} --item ${quoted(JSON.stringify(item))}     # replicated by itself`,
    `npx lifeboat rows get ${plan.table} ${quoted(isPlain ? short : JSON.stringify(key))}`,
  ]
}

/** Prints how to use the clouds, and waits for an interrupt. */
export const keepRunning = async (stack: LocalStack, plan: RowsPlan, bucket: string, live: Live): Promise<void> => {
  const { replica } = stack.config
  live.say('\nThe clouds go on until Ctrl-C. In another terminal:\n')
  for (const [name, value] of Object.entries(stack.environment)) live.say(`export ${name}=${value}`)
  live.say(`export CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE=${stack.clouds.endpoints.gcs}/storage/v1/`)
  live.say(`export CLOUDSDK_AUTH_ACCESS_TOKEN_FILE=${stack.tokenFile}`)
  live.say(`export CLOUDSDK_CORE_PROJECT=${replica.project}`)
  live.say(`\naws s3 cp FILE s3://${bucket}/my-model/v1/FILE     # replicated by itself`)
  live.say(`gcloud storage ls --recursive gs://${replica.bucket}/objects/`)
  live.say(`npx lifeboat ls`)
  live.say(`npx lifeboat restore s3://${bucket}/my-model/v1/FILE --to DIR`)
  for (const line of rowLines(plan)) live.say(line)
  live.say(
    `functions: POST ${stack.runner().url}/2015-03-31/functions/lifeboat-local-planObject/invocations (events/README.md)`,
  )
  const { s3, sqs, dynamodb, gcs, bigtable } = stack.clouds.pids
  live.say(`kill -9 ${s3} ${sqs} ${dynamodb}     # AWS is gone: ls, restore and rows get go on without it`)
  live.say(
    `processes: s3 ${s3}, sqs ${sqs}, dynamodb ${dynamodb}, gcs ${gcs}, bigtable ${bigtable}, runner ${stack.runner().pid}`,
  )
  live.say(`logs and data: ${stack.dir}`)
  await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')])
}
