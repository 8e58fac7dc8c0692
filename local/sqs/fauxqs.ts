/**
 * fauxqs 2.4.1 with what it gets wrong put right, its version pinned since this reaches into its modules:
 * - `startFauxqs` listens on every interface; here there is no listener of its own.
 * - With persistence, ChangeMessageVisibility to 0 breaks a NOT NULL constraint and the message is out of reach.
 * - The move to a dead-letter queue is a delete and an insert of their own: a kill between them loses the message.
 * - A long poll whose client is gone still takes messages, which then are invisible to everyone else.
 * - Characters above U+FFFF, such as an emoji in a key, are refused; SQS takes them
 *   (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html).
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { DatabaseSync } from 'node:sqlite'
import { buildApp, type BuildAppOptions } from 'fauxqs'

type Dequeue = (this: Queue, ...options: unknown[]) => unknown[]
type Held = { sentTimestamp: number }
type Queue = {
  name: string
  url: string
  persistence?: Persistence
  dequeue: Dequeue
  inspectMessages(): { ready: Held[]; delayed: Held[]; inflight: { message: Held }[] }
}
type Persistence = {
  db: DatabaseSync
  loadSqsAndSns(queues: QueueStore, topics: unknown): void
  updateMessageReady(messageId: string): void
  transaction(work: () => void): void
  close(): void
}
type QueueStore = { host: string; persistence?: Persistence; queues: Map<string, Queue>; allQueues(): Iterable<Queue> }
type Stores = NonNullable<BuildAppOptions['stores']>
type Modules = {
  SqsStore: new () => QueueStore
  SqsQueue: { prototype: { dequeue: Dequeue } }
  SnsStore: new () => Stores['snsStore']
  S3Store: new () => Stores['s3Store']
  PersistenceManager: new (dir: string) => Persistence
  INVALID_MESSAGE_BODY_CHAR: RegExp
}

const load = async (): Promise<Modules> => {
  const entry = import.meta.resolve('fauxqs')
  const files = ['./sqs/sqsStore.js', './sqs/sqsTypes.js', './sns/snsStore.js', './s3/s3Store.js', './persistence.js']
  const modules = await Promise.all(files.map((file) => import(new URL(file, entry).href) as Promise<object>))
  return Object.assign({}, ...modules) as Modules
}

/** The response that the request now being handled will be answered by. */
const answering = new AsyncLocalStorage<ServerResponse>()

const repairPersistence = (persistence: Persistence): void => {
  // A kill of the process loses nothing that was written; only a crash of the machine would.
  persistence.db.exec('PRAGMA synchronous = OFF')
  const makeReady = persistence.db.prepare(
    'UPDATE sqs_messages SET receipt_handle = NULL, visibility_deadline = NULL WHERE message_id = ?',
  )
  persistence.updateMessageReady = (messageId) => void makeReady.run(messageId)
}

// oxlint-disable-next-line no-control-regex -- the control characters are what SQS allows
const refusedCharacter = /[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/u

const repairCharacters = (refused: RegExp): void => {
  refused.test = (text) => refusedCharacter.test(text)
}

const repaired = new WeakSet<object>()

const repairQueues = ({ prototype }: Modules['SqsQueue']): void => {
  if (repaired.has(prototype)) return
  repaired.add(prototype)
  const { dequeue } = prototype
  prototype.dequeue = function (...options) {
    if (answering.getStore()?.destroyed) return []
    if (!this.persistence) return dequeue.apply(this, options)
    let messages: unknown[] = []
    this.persistence.transaction(() => {
      messages = dequeue.apply(this, options)
    })
    return messages
  }
}

/** `oldestSeconds` is the age of the oldest message that was not deleted, 0 in an empty queue. */
export type QueueStats = { name: string; visible: number; notVisible: number; delayed: number; oldestSeconds: number }

const statsOf = (queue: Queue): QueueStats => {
  const { ready, delayed, inflight } = queue.inspectMessages()
  const now = Date.now()
  const held = [...ready, ...delayed, ...inflight.map(({ message }) => message)]
  const oldest = held.reduce((least, { sentTimestamp }) => Math.min(least, sentTimestamp), now)
  return {
    name: queue.name,
    visible: ready.length,
    notVisible: inflight.length,
    delayed: delayed.length,
    oldestSeconds: (now - oldest) / 1000,
  }
}

export type Fauxqs = {
  handle(request: IncomingMessage, response: ServerResponse): void
  stats(): QueueStats[]
  /** Gives the queues that were there before the URLs of where they are served now. */
  servedAt(url: string): void
  close(): Promise<void>
}

/** Queues persisted in `dir`; what was in flight there is in flight again until its visibility timeout. */
export const openFauxqs = async (dir: string): Promise<Fauxqs> => {
  const { SqsStore, SqsQueue, SnsStore, S3Store, PersistenceManager, INVALID_MESSAGE_BODY_CHAR } = await load()
  const persistence = new PersistenceManager(dir)
  repairPersistence(persistence)
  repairQueues(SqsQueue)
  repairCharacters(INVALID_MESSAGE_BODY_CHAR)
  const queues = new SqsStore()
  const snsStore = new SnsStore()
  // Without a host of its own, a queue's URL has the host and port that the caller used.
  queues.host = ''
  // Persistence is set after the load, which would else write everything that it reads.
  persistence.loadSqsAndSns(queues, snsStore)
  queues.persistence = persistence
  for (const queue of queues.allQueues()) queue.persistence = persistence
  const stores = { sqsStore: queues as unknown as Stores['sqsStore'], snsStore, s3Store: new S3Store() }
  const app = buildApp({ logger: false, stores })
  await app.ready()
  return {
    handle: (request, response) => answering.run(response, () => app.routing(request, response)),
    stats: () => Array.from(queues.allQueues(), statsOf),
    servedAt: (url) => {
      const moved = [...queues.allQueues()].map((queue): [string, Queue] => {
        queue.url = url + new URL(queue.url).pathname
        return [queue.url, queue]
      })
      queues.queues.clear()
      for (const [queueUrl, queue] of moved) queues.queues.set(queueUrl, queue)
    },
    close: async () => {
      await app.close()
      persistence.close()
    },
  }
}
