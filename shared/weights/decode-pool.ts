import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import { CorruptError, FormatVersionError } from '../errors.ts'
import { ownMemory } from './buffers.ts'
import { decodeChunk, type DecodeChunk } from './decode-chunk.ts'
import type { DecodeReply, DecodeRequest } from './decode-worker.ts'

/** Below this the way to another thread takes longer than decoding. */
const pooledBytesMin = 64 * 2 ** 10

type Thread = {
  pending(): number
  run(request: Omit<DecodeRequest, 'call'>): Promise<Uint8Array>
  close(): Promise<void>
}

const errors = { CorruptError, FormatVersionError, Error }

const startThread = (onExit: () => void): Thread => {
  const worker = new Worker(new URL('decode-worker.ts', import.meta.url))
  const waiting = new Map<number, PromiseWithResolvers<Uint8Array>>()
  let calls = 0
  worker.on('message', (reply: DecodeReply) => {
    const call = waiting.get(reply.call)
    waiting.delete(reply.call)
    if ('plain' in reply) call?.resolve(reply.plain)
    else call?.reject(new errors[reply.error](reply.message))
  })
  const fail = (error: Error): void => {
    for (const call of waiting.values()) call.reject(error)
    waiting.clear()
  }
  worker.on('error', fail)
  worker.on('exit', (code) => {
    onExit()
    fail(new Error(`a thread that decodes ended with ${code}`))
  })
  return {
    pending: () => waiting.size,
    run: (request) => {
      calls += 1
      const call = Promise.withResolvers<Uint8Array>()
      waiting.set(calls, call)
      worker.postMessage({ ...request, call: calls } satisfies DecodeRequest, ownMemory(request.body))
      return call.promise
    },
    close: async () => {
      await worker.terminate()
    },
  }
}

export type DecodePool = { decode: DecodeChunk; close(): Promise<void> }

/** Decodes in as many threads as there are cores, the first of which starts when there is something for it. */
export const createDecodePool = (threads = availableParallelism()): DecodePool => {
  const started = new Set<Thread>()
  const leastBusy = (): Thread => {
    const least = [...started].sort((a, b) => a.pending() - b.pending())[0]
    if (least && (least.pending() === 0 || started.size >= threads)) return least
    const thread = startThread(() => started.delete(thread))
    started.add(thread)
    return thread
  }
  return {
    decode: (name, body, proof, base) =>
      body.length < pooledBytesMin
        ? decodeChunk(name, body, proof, base)
        : leastBusy().run({ name, body, proof: { id: proof.id, length: proof.length, crc32c: proof.crc32c }, base }),
    close: async () => {
      await Promise.all(Array.from(started, (thread) => thread.close()))
    },
  }
}
