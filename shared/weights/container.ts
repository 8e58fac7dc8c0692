import { tensorCutter } from './cut.ts'
import { readGguf } from './gguf.ts'
import type { Layout, ReadRange } from './layout.ts'
import { headerLength, parseSafetensors, type Refusal } from './safetensors.ts'
import { readTorchZip } from './torch-zip.ts'

const readSafetensors = async (size: number, read: ReadRange): Promise<Layout | Refusal> => {
  const first = await read(0, Math.min(size, 64 * 1024))
  const length = headerLength(first.subarray(0, 8), size)
  if (!length.ok) return length
  const headerEnd = 8 + length.bytes
  const header = headerEnd <= first.length ? first.subarray(0, headerEnd) : await read(0, headerEnd)
  const parsed = parseSafetensors(header, size)
  return parsed.ok ? { ok: true, cutter: tensorCutter, dataStart: parsed.dataStart, tensors: parsed.tensors } : parsed
}

const isZip = async (size: number, read: ReadRange): Promise<boolean> =>
  size >= 4 && Buffer.from(await read(0, 4)).readUInt32LE(0) === 0x04_03_4b_50

/**
 * Where the tensors of a file lie, told by its name and its own header; undefined for a file of no known kind.
 * Refused with a reason where the name promises a kind and the bytes are not whole.
 */
export const readLayout = async (key: string, size: number, read: ReadRange): Promise<Layout | Refusal | undefined> => {
  if (key.endsWith('.safetensors')) return readSafetensors(size, read)
  if (key.endsWith('.gguf')) return readGguf(size, read)
  // PyTorch's older files and much else have these names too.
  if (/\.(pt|pth|bin|ckpt)$/.test(key)) return (await isZip(size, read)) ? readTorchZip(size, read) : undefined
  return undefined
}
