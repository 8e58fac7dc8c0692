import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { finished } from 'node:stream/promises'
import { bytesPerElement, type Dtype } from './dtypes.ts'

/** `blocks` are the bytes in order, as often as asked; a block is the caller's. */
export type FileTensor = { name: string; dtype: Dtype; shape: readonly number[]; blocks: () => Iterable<Uint8Array> }

export const tensorBytes = ({ dtype, shape }: Pick<FileTensor, 'dtype' | 'shape'>): number =>
  shape.reduce((count, size) => count * size, 1) * bytesPerElement[dtype]

const headerOf = (tensors: readonly FileTensor[]): Buffer => {
  let position = 0
  const entries = tensors.map((tensor) => {
    const { name, dtype, shape } = tensor
    const begin = position
    position += tensorBytes(tensor)
    return [name, { dtype, shape, data_offsets: [begin, position] }]
  })
  const json = JSON.stringify(Object.fromEntries([['__metadata__', { format: 'pt' }], ...entries]))
  const text = Buffer.from(json.padEnd(Math.ceil(json.length / 8) * 8))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(text.length))
  return Buffer.concat([length, text])
}

/** Writes the tensors in the order given, one block in memory at a time. Throws where a tensor is not as long as its shape says. */
export const writeSafetensors = async (file: string, tensors: readonly FileTensor[]): Promise<void> => {
  const out = createWriteStream(file)
  out.write(headerOf(tensors))
  for (const tensor of tensors) {
    let written = 0
    for (const block of tensor.blocks()) {
      written += block.length
      if (!out.write(block)) await once(out, 'drain')
    }
    if (written !== tensorBytes(tensor))
      throw new Error(`${tensor.name} has ${written} bytes, its shape says ${tensorBytes(tensor)}`)
  }
  out.end()
  await finished(out)
}
