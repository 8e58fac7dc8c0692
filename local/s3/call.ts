import type { IncomingMessage } from 'node:http'
import type { Bodies } from './bodies.ts'
import type { Outbox } from './outbox.ts'
import type { Store } from './store.ts'
import type { Xml } from './xml.ts'

/** Object body bytes served and received, and the requests that carried them. */
export type Traffic = { bytesRead: number; bytesWritten: number; gets: number; puts: number }

export type S3 = {
  store: Store
  bodies: Bodies
  outbox: Outbox
  region: string
  account: string
  now: () => number
  traffic: Traffic
}

/** One request: `bucket` and `key` are decoded, and empty where the path has none. */
export type Call = {
  s3: S3
  request: IncomingMessage
  bucket: string
  key: string
  query: URLSearchParams
  requestId: string
}

export type AnswerHeaders = Record<string, string | number | undefined>
export type Answer = { status: number; headers?: AnswerHeaders; xml?: Xml; body?: AsyncIterable<Uint8Array> }
export type Operation = (call: Call) => Answer | Promise<Answer>

export const header = (call: Call, name: string): string | undefined => {
  const value = call.request.headers[name]
  return Array.isArray(value) ? value.join(',') : value
}

/**
 * Runs `work` as one transaction; then deletes the bodies that it put into `dropped` and wakes the event delivery.
 * Bodies go last because a row without its body would be a lost object, a body without its row is only garbage.
 */
export const change = <T>(s3: S3, work: (dropped: string[]) => T): T => {
  const dropped: string[] = []
  const result = s3.store.transaction(() => work(dropped))
  s3.bodies.drop(dropped)
  s3.outbox.wake()
  return result
}
