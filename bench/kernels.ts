import { open } from 'node:fs/promises'
import { discard } from '../shared/weights/buffers.ts'
import { createRangeCrc } from '../shared/weights/checksums.ts'
import { crc32c, encodeBody, hashBody, sha256Hex } from '../shared/weights/codec.ts'

/** CPU of every thread. */
export type Kernel = { name: string; cpuMsPerMegabyte: number }

const chunkBytes = 4 * 2 ** 20
const chunkCount = 24
/** Of the files that are measured. */
const dtype = 'BF16'

const readChunks = async (file: string): Promise<Uint8Array[]> => {
  const handle = await open(file)
  try {
    const chunks: Uint8Array[] = []
    for (let index = 0; index < chunkCount; index += 1) {
      const chunk = Buffer.alloc(chunkBytes)
      const { bytesRead } = await handle.read(chunk, 0, chunkBytes, index * chunkBytes)
      if (bytesRead < chunkBytes) break
      chunks.push(chunk)
    }
    return chunks
  } finally {
    await handle.close()
  }
}

const encode = (chunk: Uint8Array): void => discard(encodeBody(chunk, { dtype }).body)

/** The steps that a copy takes with every chunk, each timed alone on chunks of `file`. */
export const measureKernels = async (file: string): Promise<Kernel[]> => {
  const chunks = await readChunks(file)
  const bodies: Uint8Array[] = []
  for (const chunk of chunks) bodies.push(encodeBody(chunk, { dtype }).body)
  const [nvme, ieee] = [createRangeCrc('CRC64NVME'), createRangeCrc('CRC32')]
  const steps: [string, Uint8Array[], (bytes: Uint8Array) => unknown][] = [
    ['encode', chunks, encode],
    ['read back: decode and SHA-256', bodies, (body) => hashBody(body, { plainBytesMax: chunkBytes })],
    ['SHA-256 of the chunk', chunks, sha256Hex],
    ['CRC32C of the body', bodies, crc32c],
    ['CRC-64/NVME of the source', chunks, (chunk) => nvme.update(chunk)],
    ['CRC-32 of the source, where its checksum is that', chunks, (chunk) => ieee.update(chunk)],
  ]
  const kernels: Kernel[] = []
  for (const [name, inputs, step] of steps) {
    const before = process.cpuUsage()
    for (const input of inputs) step(input)
    const { user, system } = process.cpuUsage(before)
    kernels.push({ name, cpuMsPerMegabyte: ((user + system) * 1000) / (chunks.length * chunkBytes) })
  }
  return kernels
}
