import { type _Stream as Stream, DynamoDBStreamsClient, ListStreamsCommand } from '@aws-sdk/client-dynamodb-streams'
import type { Config } from '../shared/config.ts'
import { createClients } from './lambda/clients.ts'
import { ensureTable } from './lambda/resources.ts'
import type { Endpoints } from './lambda/stack.ts'

export type KeyAttribute = { name: string; type: 'S' | 'N' | 'B' }
export type TableKeys = { partition: KeyAttribute; sort?: KeyAttribute }

const usualKeys: TableKeys = { partition: { name: 'pk', type: 'S' }, sort: { name: 'sk', type: 'N' } }
const timeToLiveAttribute = 'expiresAt'

const propertiesOf = ({ partition, sort }: TableKeys) => {
  const attributes = sort ? [partition, sort] : [partition]
  return {
    KeySchema: attributes.map(({ name }, index) => ({ AttributeName: name, KeyType: index === 0 ? 'HASH' : 'RANGE' })),
    AttributeDefinitions: attributes.map(({ name, type }) => ({ AttributeName: name, AttributeType: type })),
    StreamSpecification: { StreamViewType: 'NEW_AND_OLD_IMAGES' },
    TimeToLiveSpecification: { AttributeName: timeToLiveAttribute, Enabled: true },
  }
}

const label = (stream: Stream): string => stream.StreamLabel ?? ''

/** The streams of a table, the oldest first. */
const streamsOf = async (client: DynamoDBStreamsClient, table: string): Promise<string[]> => {
  const streams: Stream[] = []
  let start: string | undefined
  do {
    const page = await client.send(
      new ListStreamsCommand({ TableName: table, ...(start === undefined ? {} : { ExclusiveStartStreamArn: start }) }),
    )
    streams.push(...(page.Streams ?? []))
    start = page.LastEvaluatedStreamArn
  } while (start !== undefined)
  return streams.sort((a, b) => (label(a) < label(b) ? -1 : 1)).map(({ StreamArn }) => StreamArn ?? '')
}

/**
 * Creates the tables of the configuration that are not there, with a stream of both images and `expiresAt` as TTL; keys are
 * `pk` (S) and `sk` (N) unless `keys` says others. Answers the real ARN of every configured stream: the label of a stream
 * is when it was enabled, which a file written before cannot know, so the oldest stream stands for the first in the list.
 */
export const createSourceTables = async (
  endpoints: Endpoints,
  config: Config,
  keys: Readonly<Record<string, TableKeys>> = {},
): Promise<Map<string, string>> => {
  const arns = new Map<string, string>()
  if (config.tables.length === 0) return arns
  const { region } = config.source
  const clients = createClients(endpoints, region)
  const credentials = { accessKeyId: 'local', secretAccessKey: 'local' }
  const streamsClient = new DynamoDBStreamsClient({ endpoint: endpoints.dynamodb, region, credentials })
  try {
    for (const { name, streams } of config.tables) {
      await ensureTable(clients, name, propertiesOf(keys[name] ?? usualKeys))
      const real = await streamsOf(streamsClient, name)
      streams.forEach(({ arn }, index) => {
        const found = real[index]
        if (found === undefined)
          throw new Error(`table ${name} has ${real.length} streams, and the configuration lists ${streams.length}`)
        arns.set(arn, found)
      })
    }
  } finally {
    clients.close()
    streamsClient.destroy()
  }
  return arns
}
