import { CorruptError, LifeboatError } from '../errors.ts'
import { type Base, crc32c, decodeBody, sha256Hex } from './codec.ts'
import type { ChunkRef } from './manifest.ts'

/** What of a chunk's reference its body is put to. */
export type ChunkProof = Pick<ChunkRef, 'id' | 'length' | 'crc32c'>

/** Here or in another thread, which takes the body over. */
export type DecodeChunk = (
  name: string,
  body: Uint8Array,
  proof: ChunkProof,
  base: Base | undefined,
) => Uint8Array | Promise<Uint8Array>

const decodeProved = (name: string, body: Uint8Array, proof: ChunkProof, base: Base | undefined): Uint8Array => {
  const plain = decodeBody(body, { plainBytesMax: proof.length, base })
  if (plain.length !== proof.length || `sha256:${sha256Hex(plain)}` !== proof.id)
    throw new CorruptError(`chunk ${name} does not hash to its id`)
  return plain
}

/** The plain bytes that a body stands for. Throws CorruptError where it is no body of the chunk, and says whether it is damaged. */
export const decodeChunk = (name: string, body: Uint8Array, proof: ChunkProof, base: Base | undefined): Uint8Array => {
  try {
    return decodeProved(name, body, proof, base)
  } catch (error) {
    if (!(error instanceof LifeboatError) || crc32c(body) === proof.crc32c) throw error
    throw new CorruptError(`chunk ${name} is damaged: its stored bytes do not have the manifest's crc32c`, {
      cause: error,
    })
  }
}
