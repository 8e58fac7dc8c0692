import { parentPort } from 'node:worker_threads'
import { CorruptError, FormatVersionError } from '../errors.ts'
import { ownMemory } from './buffers.ts'
import type { Base } from './codec.ts'
import { type ChunkProof, decodeChunk } from './decode-chunk.ts'

/** One thread of decode-pool.ts: decodes and proves one body after the other. */

export type DecodeRequest = { call: number; name: string; body: Uint8Array; proof: ChunkProof; base: Base | undefined }
export type DecodeReply = { call: number } & (
  | { plain: Uint8Array }
  | { error: 'CorruptError' | 'FormatVersionError' | 'Error'; message: string }
)

const answer = ({ call, name, body, proof, base }: DecodeRequest): DecodeReply => {
  try {
    return { call, plain: decodeChunk(name, body, proof, base) }
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    const isOurs = error instanceof CorruptError || error instanceof FormatVersionError
    return { call, error: isOurs ? error.name : 'Error', message }
  }
}

parentPort?.on('message', (request: DecodeRequest) => {
  const reply = answer(request)
  parentPort?.postMessage(reply, 'plain' in reply ? ownMemory(reply.plain) : [])
})
