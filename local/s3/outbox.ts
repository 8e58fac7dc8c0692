import { setTimeout as sleep } from 'node:timers/promises'
import type { Store } from './store.ts'

const pauseMsMin = 50
const pauseMsMax = 5000
const batchRows = 100

/** Events that wait for delivery, in the same database and transaction as what they tell of. */
export type Outbox = {
  /** To be called within a transaction. */
  add(message: unknown): void
  /** Tells the delivery that there may be something to do. */
  wake(): void
  pending(): number
  close(): Promise<void>
}

const post = async (url: string, message: string, signal: AbortSignal): Promise<void> => {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: message,
    signal: AbortSignal.any([signal, AbortSignal.timeout(30_000)]),
  })
  await response.arrayBuffer()
  if (!response.ok) throw new Error(`${url} answered ${response.status}`)
}

/** A pause that `wake` does not end: a receiver that is down is not asked more often because more happens. */
const pause = async (ms: number, signal: AbortSignal): Promise<void> => {
  await sleep(ms, undefined, { signal }).catch(() => undefined)
}

/**
 * Posts each message to `url`, one at a time in the order of the transactions, until it is answered 2xx; only then is
 * its row deleted, so a message may come twice and none is lost. Without `url` messages wait for a start that has one.
 */
export const openOutbox = (store: Store, url: string | undefined): Outbox => {
  const stop = new AbortController()
  let waiting: (() => void) | undefined
  let woken = false
  const idle = async (): Promise<void> => {
    if (!woken && !stop.signal.aborted) await new Promise<void>((resolve) => (waiting = resolve))
    woken = false
  }
  const deliver = async (to: string): Promise<void> => {
    let pauseMs = pauseMsMin
    while (!stop.signal.aborted) {
      const rows = store.all<{ id: number; message: string }>(
        'SELECT id, message FROM outbox ORDER BY id LIMIT ?',
        batchRows,
      )
      if (rows.length === 0) await idle()
      try {
        for (const row of rows) {
          await post(to, row.message, stop.signal)
          store.run('DELETE FROM outbox WHERE id = ?', row.id)
          pauseMs = pauseMsMin
        }
      } catch (error) {
        if (stop.signal.aborted) return
        if (pauseMs === pauseMsMin) console.error('S3 events wait for their receiver:', String(error))
        await pause(pauseMs, stop.signal)
        pauseMs = Math.min(pauseMs * 2, pauseMsMax)
      }
    }
  }
  const wake = (): void => {
    woken = true
    waiting?.()
    waiting = undefined
  }
  const running = url === undefined ? Promise.resolve() : deliver(url)
  return {
    add: (message) => store.run('INSERT INTO outbox (message) VALUES (?)', JSON.stringify(message)),
    wake,
    pending: () => store.get<{ count: number }>('SELECT count(*) AS count FROM outbox')?.count ?? 0,
    close: async () => {
      stop.abort()
      wake()
      await running
    },
  }
}
