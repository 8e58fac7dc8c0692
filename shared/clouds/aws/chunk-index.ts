import {
  BatchGetItemCommand,
  BatchWriteItemCommand,
  DeleteItemCommand,
  type DynamoDBClient,
  type WriteRequest,
} from '@aws-sdk/client-dynamodb'
import pRetry from 'p-retry'
import { forEachBounded } from '../../bounded.ts'
import { UnavailableError } from '../../errors.ts'
import type { ChunkIndex } from '../../weights/ledger.ts'
import { type ChunkRef, chunkRefSchema } from '../../weights/manifest.ts'
import { translated } from './errors.ts'
import { isNewer, type Item, keyOf, N, S, stringOf } from './ledger-table.ts'

/** Verified chunks by id: `c#<sha256>` chunk. Lookups that come together go out together; what was found is cached. */

const readMax = 100
const writeMax = 25
const gatherMs = 3
const cachedMax = 20_000

const keyFor = (id: string) => ({ pk: `c#${id}`, sk: 'chunk' })
const retries = {
  retries: 8,
  minTimeout: 50,
  maxTimeout: 2000,
  randomize: true,
  shouldRetry: ({ error }: { error: unknown }) => error instanceof UnavailableError,
}

type Waiting = { id: string; resolve: (ref: ChunkRef | undefined) => void; reject: (error: unknown) => void }

const readBatch = async (
  client: DynamoDBClient,
  table: string,
  ids: readonly string[],
): Promise<Map<string, ChunkRef>> => {
  const found = new Map<string, ChunkRef>()
  let keys: Item[] = [...new Set(ids)].map((id) => keyOf(keyFor(id)))
  await pRetry(async () => {
    const output = await translated('chunk index read', () =>
      client.send(new BatchGetItemCommand({ RequestItems: { [table]: { Keys: keys, ConsistentRead: true } } })),
    )
    for (const item of output.Responses?.[table] ?? []) {
      // Without a record that it can read, the body is compared.
      if (isNewer(item)) continue
      const ref = chunkRefSchema.parse(JSON.parse(stringOf(item, 'row') ?? '{}'))
      found.set(ref.id.slice('sha256:'.length), ref)
    }
    keys = output.UnprocessedKeys?.[table]?.Keys ?? []
    if (keys.length > 0) throw new UnavailableError('chunk index read: throttled')
  }, retries)
  return found
}

const writeBatch = async (client: DynamoDBClient, table: string, chunks: readonly ChunkRef[]): Promise<void> => {
  let requests: WriteRequest[] = chunks.map((ref) => ({
    PutRequest: { Item: { ...keyOf(keyFor(ref.id.slice('sha256:'.length))), v: N(1), row: S(JSON.stringify(ref)) } },
  }))
  await pRetry(async () => {
    const output = await translated('chunk index write', () =>
      client.send(new BatchWriteItemCommand({ RequestItems: { [table]: requests } })),
    )
    requests = output.UnprocessedItems?.[table] ?? []
    if (requests.length > 0) throw new UnavailableError('chunk index write: throttled')
  }, retries)
}

const groups = <T>(items: readonly T[], size: number): T[][] =>
  Array.from({ length: Math.ceil(items.length / size) }, (_, index) => items.slice(index * size, (index + 1) * size))

export const createChunkIndex = (client: DynamoDBClient, table: string): ChunkIndex => {
  const cache = new Map<string, ChunkRef>()
  let waiting: Waiting[] = []
  const remember = (id: string, ref: ChunkRef): void => {
    const oldest = cache.size >= cachedMax ? cache.keys().next().value : undefined
    if (oldest !== undefined) cache.delete(oldest)
    cache.set(id, ref)
  }
  const flush = async (): Promise<void> => {
    const batch = waiting
    waiting = []
    for (const group of groups(batch, readMax)) {
      try {
        const found = await readBatch(
          client,
          table,
          group.map(({ id }) => id),
        )
        for (const { id, resolve } of group) {
          const ref = found.get(id)
          if (ref) remember(id, ref)
          resolve(ref)
        }
      } catch (error) {
        for (const { reject } of group) reject(error)
      }
    }
  }
  return {
    lookup: async (id) =>
      cache.get(id) ??
      new Promise((resolve, reject) => {
        waiting.push({ id, resolve, reject })
        if (waiting.length === 1) setTimeout(() => void flush(), gatherMs)
      }),
    record: async (chunks) => {
      const unique = [...new Map(chunks.map((ref) => [ref.id, ref])).values()]
      await forEachBounded(groups(unique, writeMax), 4, async (group) => writeBatch(client, table, group))
      for (const ref of unique) remember(ref.id.slice('sha256:'.length), ref)
    },
    forget: async (id) => {
      cache.delete(id)
      await translated('chunk index forget', () =>
        client.send(new DeleteItemCommand({ TableName: table, Key: keyOf(keyFor(id)) })),
      )
    },
  }
}
