/**
 * Amazon S3 over HTTP on loopback, for the AWS SDK, the aws CLI and the tests. Path-style only; signatures are not
 * checked. State is one SQLite file and one file per body under `dir`: what was acknowledged survives a SIGKILL.
 *
 * Covered: buckets (create, head, delete, list, location, versioning, notification configuration); objects (put, get,
 * head, copy, delete, delete many, tags, attributes) with versions, ranges, parts and conditions; multipart uploads
 * (create, upload, copy part, list, complete, abort); listings of objects (1 and 2), versions and uploads by page;
 * checksums CRC64NVME, CRC32, CRC32C, SHA1 and SHA256 by header or trailer, of full objects and composite; events to
 * EventBridge and to queues. Any other operation, and object lock, ACLs, customer keys and archive restores, answer
 * 501 NotImplemented. Two things are ours: a request header `x-lifeboat-no-checksum: true` stores an object without
 * an S3 checksum, and events are posted to `eventsUrl` in place of SQS and EventBridge.
 */
import { mkdirSync } from 'node:fs'
import { type Listening, listen } from '../http.ts'
import { openBodies } from './bodies.ts'
import type { S3, Traffic } from './call.ts'
import { createHandler, sendFault } from './handle.ts'
import { openOutbox } from './outbox.ts'
import { openStore } from './store.ts'

export type S3Options = {
  dir: string
  port?: number
  /** Where each event is POSTed as `{kind: 'eventbridge', event}` or `{kind: 'queue', queueArn, message}`, until a 2xx. */
  eventsUrl?: string
  region?: string
  account?: string
  now?: () => number
}

export type S3Server = Listening & { traffic: Traffic; pendingEvents(): number }

export const startS3 = async (options: S3Options): Promise<S3Server> => {
  mkdirSync(options.dir, { recursive: true })
  const store = openStore(options.dir)
  const owned = new Set(
    store
      .all<{ body: string }>('SELECT body FROM versionParts UNION ALL SELECT body FROM uploadParts')
      .map(({ body }) => body),
  )
  const bodies = openBodies(options.dir, (id) => owned.has(id))
  const outbox = openOutbox(store, options.eventsUrl)
  const traffic: Traffic = { bytesRead: 0, bytesWritten: 0, gets: 0, puts: 0 }
  const s3: S3 = {
    store,
    bodies,
    outbox,
    region: options.region ?? 'us-east-1',
    account: options.account ?? '111122223333',
    now: options.now ?? Date.now,
    traffic,
  }
  const listening = await listen({
    ...(options.port === undefined ? {} : { port: options.port }),
    handle: createHandler(s3),
    onFault: sendFault,
    stats: () => traffic,
  })
  return {
    ...listening,
    traffic,
    pendingEvents: () => outbox.pending(),
    close: async () => {
      await listening.close()
      await outbox.close()
      store.close()
    },
  }
}
