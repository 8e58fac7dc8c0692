import {
  type AttributeValue,
  type DynamoDBClient,
  GetItemCommand,
  paginateQuery,
  type QueryCommandInput,
  TransactionCanceledException,
  type TransactWriteItem,
  TransactWriteItemsCommand,
} from '@aws-sdk/client-dynamodb'
import pRetry from 'p-retry'
import { FormatVersionError, UnavailableError } from '../../errors.ts'
import { translated } from './errors.ts'

/** The one table behind every ledger: `pk` and `sk` are strings, a row's fixed part is JSON in `row`, the rest attributes. */

export type Item = Record<string, AttributeValue>
export type Key = { pk: string; sk: string }

export const S = (value: string): AttributeValue => ({ S: value })
export const N = (value: number): AttributeValue => ({ N: String(value) })
export const keyOf = ({ pk, sk }: Key): Item => ({ pk: S(pk), sk: S(sk) })

export const stringOf = (item: Item, name: string): string | undefined => item[name]?.S
export const numberOf = (item: Item, name: string): number | undefined =>
  item[name]?.N === undefined ? undefined : Number(item[name].N)

/** Of an item's layout. A newer one may mean anything: it is refused, so that a rollback leaves it for who wrote it. */
const layout = 1

export const isNewer = (item: Item): boolean => (numberOf(item, 'v') ?? layout) > layout

/** The JSON in `row`, as it was written by this module. Throws FormatVersionError where `v` says by a newer version of it. */
// oxlint-disable-next-line no-unnecessary-type-parameters -- the caller names what it wrote
export const rowOf = <T>(item: Item): T => {
  if (isNewer(item))
    throw new FormatVersionError(
      `ledger item ${stringOf(item, 'pk') ?? ''} is of version ${numberOf(item, 'v')}; this program reads ${layout}: deploy a newer lifeboat`,
    )
  return JSON.parse(item['row']?.S ?? '{}') as T
}

export const getItem = async (client: DynamoDBClient, table: string, key: Key): Promise<Item | undefined> => {
  const output = await translated(`ledger get ${key.pk}`, () =>
    client.send(new GetItemCommand({ TableName: table, Key: keyOf(key), ConsistentRead: true })),
  )
  return output.Item
}

/** Every item of a query, all pages. */
export async function* queryItems(client: DynamoDBClient, input: QueryCommandInput): AsyncGenerator<Item> {
  const pages = paginateQuery({ client }, input)
  for (;;) {
    const page = await translated('ledger query', () => pages.next())
    if (page.done) return
    yield* page.value.Items ?? []
  }
}

const passingCodes = new Set(['TransactionConflict', 'ThrottlingError', 'ProvisionedThroughputExceeded'])

const isConflict = (error: unknown): error is TransactionCanceledException =>
  error instanceof TransactionCanceledException &&
  (error.CancellationReasons ?? []).some(({ Code }) => passingCodes.has(Code ?? ''))

/**
 * One transaction. Resolves undefined when it was done, or the index of the first item whose condition failed. Conflicts
 * with other transactions are tried again with jitter.
 */
export const transact = async (client: DynamoDBClient, items: TransactWriteItem[]): Promise<number | undefined> => {
  const attempt = async (): Promise<number | undefined> => {
    try {
      await client.send(new TransactWriteItemsCommand({ TransactItems: items }))
      return undefined
    } catch (error) {
      if (isConflict(error)) throw new UnavailableError('ledger transaction: conflict', { cause: error })
      if (!(error instanceof TransactionCanceledException)) throw error
      const failed = (error.CancellationReasons ?? []).findIndex(({ Code }) => Code === 'ConditionalCheckFailed')
      if (failed < 0) throw error
      return failed
    }
  }
  return translated('ledger transaction', () =>
    pRetry(attempt, {
      retries: 12,
      minTimeout: 20,
      maxTimeout: 1000,
      factor: 2,
      randomize: true,
      shouldRetry: ({ error }) => error instanceof UnavailableError,
    }),
  )
}
