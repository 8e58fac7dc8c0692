import { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { DeniedError } from '../../errors.ts'
import type { ItemSource } from '../../features/deps.ts'
import { createItemSource } from './item-source.ts'

const withoutCredentials = new Set(['CredentialsProviderError', 'TokenProviderError'])

/**
 * The tables of a region with the credentials of whoever calls; the endpoint is AWS_ENDPOINT_URL_DYNAMODB where that is set. Throws
 * DeniedError where there are no credentials.
 */
export const openItems = async ({ region }: { region: string }): Promise<{ source: ItemSource; close(): void }> => {
  const client = new DynamoDBClient({
    region,
    requestHandler: { connectionTimeout: 5000, requestTimeout: 60_000, throwOnRequestTimeout: true },
  })
  try {
    await client.config.credentials()
  } catch (error) {
    if (!(error instanceof Error) || !withoutCredentials.has(error.name)) throw error
    throw new DeniedError(`no AWS credentials to read tables with: ${error.message}`, { cause: error })
  }
  return { source: createItemSource(client), close: () => client.destroy() }
}
