/**
 * DynamoDB and DynamoDB Streams on one port, over dynalite's tables.
 *
 * Covered: tables (with streams, tags, TTL, deletion protection; encryption, table class and point-in-time recovery are
 * remembered and do nothing), items, batches, queries, scans, transactions, streams with retention and shard splits.
 * Not covered, answered by 501: adding or removing an index, replicas, backups, exports, PartiQL. Not there: throttling,
 * IAM, signatures, ReturnConsumedCapacity of transactions.
 *
 * Controls: `POST /_lifeboat/split?table=T` closes the widest open shard and opens two children (`children=1`: one, as
 * AWS does every few hours; `shard=ID`: that one), `POST /_lifeboat/sweep` deletes what has expired now.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { type Listening, listen, readBody, sendJson } from '../http.ts'
import { act, validate } from './dynalite.ts'
import { type Engine, openEngine } from './engine.ts'
import type { Shard } from './stream-catalog.ts'
import { createReads } from './reads.ts'
import { createStreamsApi } from './streams-api.ts'
import { createTables } from './tables.ts'
import { createTimeToLive, sweepExpired } from './time-to-live.ts'
import { createTransactions, dropOldTokens } from './transactions.ts'
import { answer, answerFault, notImplemented, refusal, ServiceError } from './wire.ts'
import { createWrites } from './writes.ts'

const dayMs = 24 * 3600_000
const passedOn = ['GetItem', 'BatchGetItem', 'ListTables', 'TagResource', 'UntagResource', 'ListTagsOfResource']

export type DynamoDb = Listening & {
  /** Closes an open shard of the table's stream and opens children in its place; resolves to their ids. */
  split(table: string, options?: { shard?: string; children?: number }): Promise<string[]>
  /** Deletes what has expired; resolves to how many items. */
  sweep(): Promise<number>
}

// Each operation knows its own input; what arrives is JSON whatever its author meant.
type Operation = (input: never) => Promise<unknown>

const passOn =
  (engine: Engine, operation: string): Operation =>
  async (input) => {
    const output = await act(engine.store, operation, validate(engine.store, operation, input))
    return output === '' ? {} : output
  }

const splitShard = (engine: Engine, table: string, shard: string | undefined, children: number): Promise<Shard[]> =>
  engine.commits.alone(() => {
    const stream = engine.catalog.enabled(table)
    const open = stream?.shards.filter(
      (candidate) => candidate.last === undefined && (!shard || candidate.id === shard),
    )
    const widest = open?.toSorted((a, b) => b.high - b.low - (a.high - a.low))[0]
    if (!stream || !widest) throw refusal('ResourceNotFoundException', `no open shard of a stream of ${table} to split`)
    const last = engine.log.next()
    const opened = engine.catalog.split(stream, widest, engine.now(), last, children)
    engine.log.next()
    return opened
  })

/** Sweeps and waits in turn; a sweep that takes long is not begun again at once. */
const startSweeping = (engine: Engine, everyMs: number): (() => Promise<void>) => {
  let timer: NodeJS.Timeout | undefined
  let running: Promise<void> = Promise.resolve()
  let stopped = false
  const plan = (inMs: number): void => {
    timer = setTimeout(() => void (running = run()), inMs).unref()
  }
  const run = async (): Promise<void> => {
    const begun = performance.now()
    try {
      await sweepExpired(engine)
      await dropOldTokens(engine)
    } catch (error) {
      console.error('the sweep of expired items failed', error)
    }
    if (!stopped) plan(Math.max(everyMs, 20 * (performance.now() - begun)))
  }
  plan(everyMs)
  return async () => {
    stopped = true
    clearTimeout(timer)
    await running
  }
}

const handle = async (
  operations: Map<string, Operation>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> => {
  const target = String(request.headers['x-amz-target'] ?? '')
  const body = await readBody(request, 16 * 2 ** 20)
  try {
    const operation = operations.get(target)
    if (!operation) throw notImplemented(target || `${request.method} ${request.url}`)
    answer(response, 200, await operation(JSON.parse(String(body)) as never))
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error
    answer(response, error.status, error.body)
  }
}

const operationsOf = (engine: Engine, streamRetentionMs: number): Map<string, Operation> => {
  const tables: Record<string, Operation> = {
    ...Object.fromEntries(passedOn.map((name) => [name, passOn(engine, name)])),
    ...createTables(engine),
    ...createTimeToLive(engine),
    ...createReads(engine.store),
    ...createWrites(engine),
    ...createTransactions(engine),
  }
  const streams: Record<string, Operation> = createStreamsApi(engine, streamRetentionMs)
  return new Map([
    ...Object.entries(tables).map(([name, operation]) => [`DynamoDB_20120810.${name}`, operation] as const),
    ...Object.entries(streams).map(([name, operation]) => [`DynamoDBStreams_20120810.${name}`, operation] as const),
  ])
}

/** Serves what is in `dir` (made where it is not); what was acknowledged there before a kill is there again. */
export const startDynamoDb = async (options: {
  dir: string
  port?: number
  ttlSweepMs?: number
  now?: () => number
  streamRetentionMs?: number
  region?: string
  account?: string
}): Promise<DynamoDb> => {
  const { dir, port, ttlSweepMs = 1000, now = Date.now, streamRetentionMs = dayMs } = options
  const { region = 'us-east-1', account = '000000000000' } = options
  const engine = await openEngine({ dir, now, region, account })
  const operations = operationsOf(engine, streamRetentionMs)
  const split: DynamoDb['split'] = async (table, { shard, children = 2 } = {}) =>
    (await splitShard(engine, table, shard, children)).map((opened) => opened.id)
  const stopSweeping = startSweeping(engine, ttlSweepMs)
  const server = await listen({
    ...(port !== undefined && { port }),
    handle: (request, response) => handle(operations, request, response),
    onFault: answerFault,
    stats: () => ({ streamRecords: engine.log.count() }),
    control: async (path, request, response) => {
      const query = new URL(request.url ?? '/', 'http://localhost').searchParams
      if (request.method !== 'POST' || (path !== '/_lifeboat/split' && path !== '/_lifeboat/sweep')) return false
      if (path === '/_lifeboat/sweep') sendJson(response, 200, { deleted: await sweepExpired(engine) })
      else {
        const shard = query.get('shard')
        const children = Number(query.get('children') ?? 2)
        sendJson(response, 200, {
          shards: await split(query.get('table') ?? '', { children, ...(shard && { shard }) }),
        })
      }
      return true
    },
  })
  return {
    ...server,
    split,
    sweep: () => sweepExpired(engine),
    close: async () => {
      await server.close()
      await stopSweeping()
      await engine.close()
    },
  }
}
