import type { WorkQueue } from '../../ports.ts'

/** `messages` are those not yet taken, as the JSON that a consumer would get, oldest first. */
export type MemoryQueue<T> = WorkQueue<T> & { messages: string[] }

/** A queue that keeps what it is given. */
export const createMemoryQueue = <T>(): MemoryQueue<T> => {
  const messages: string[] = []
  return {
    messages,
    send: async (batch) => {
      let sent = 0
      for await (const message of batch) {
        messages.push(JSON.stringify(message))
        sent += 1
      }
      return sent
    },
  }
}
