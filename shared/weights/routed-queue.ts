import type { WorkQueue } from '../ports.ts'

const batchMessages = 500

/** Work of backfills to a queue of its own, so that none of it stands before what production publishes. */
export const createRoutedQueue = <T extends { backfill?: string | undefined }>(
  live: WorkQueue<T>,
  backfill: WorkQueue<T>,
): WorkQueue<T> => ({
  send: async (messages) => {
    let sent = 0
    let batch: T[] = []
    const flush = async (): Promise<void> => {
      const ofBackfill = batch.filter((message) => message.backfill !== undefined)
      const others = batch.filter((message) => message.backfill === undefined)
      if (others.length > 0) sent += await live.send(others)
      if (ofBackfill.length > 0) sent += await backfill.send(ofBackfill)
      batch = []
    }
    for await (const message of messages) {
      batch.push(message)
      if (batch.length === batchMessages) await flush()
    }
    await flush()
    return sent
  },
})
