import { gguf } from '@huggingface/gguf'
import { ggufCutter } from './cut.ts'
import { laidOut, type Layout, type ReadRange } from './layout.ts'
import type { Refusal, Tensor } from './safetensors.ts'

/** GGML's numbers of the types whose elements stand alone, as safetensors names them: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md */
const plainTypes: ReadonlyMap<number, { dtype: string; bytes: number }> = new Map([
  [0, { dtype: 'F32', bytes: 4 }],
  [1, { dtype: 'F16', bytes: 2 }],
  [24, { dtype: 'I8', bytes: 1 }],
  [25, { dtype: 'I16', bytes: 2 }],
  [26, { dtype: 'I32', bytes: 4 }],
  [27, { dtype: 'I64', bytes: 8 }],
  [28, { dtype: 'F64', bytes: 8 }],
  [30, { dtype: 'BF16', bytes: 2 }],
])

/** What the header's parser holds at once is bounded by it, in either order of bytes. */
const tensorsMax = 100_000n

type Entry = { name: string; type: number; shape: number[]; start: number }

/** Blocks of quantised elements: where they end is taken from where the next tensor begins. */
const tensorOf = (entry: Entry, next: number, isLittleEndian: boolean): Tensor | Refusal => {
  const { name, type, shape, start } = entry
  const plain = plainTypes.get(type)
  if (!plain) return { name, dtype: `GGML_${type}`, shape, start, end: next }
  const end = start + shape.reduce((product, size) => product * size, plain.bytes)
  if (!(end <= next))
    return { ok: false, reason: `the tensor ${JSON.stringify(name)} does not fit before byte ${next}` }
  return { name, dtype: isLittleEndian ? plain.dtype : `${plain.dtype}_BE`, shape, start, end }
}

/**
 * The tensors of a GGUF file of `size` bytes, from its header alone. Never throws for what the file holds: one that is
 * cut short or contradicts itself is refused with a reason.
 */
export const readGguf = async (size: number, read: ReadRange): Promise<Layout | Refusal> => {
  const counts = Buffer.from(await read(0, Math.min(size, 24)))
  if (counts.length === 24 && counts.readBigUInt64LE(8) > tensorsMax)
    return { ok: false, reason: `the GGUF header claims more than ${tensorsMax} tensors` }
  let lost: unknown
  // The parser reads by ranges of HTTP; what it asks for is read from the object instead.
  const ranged = async (_url: unknown, init?: RequestInit): Promise<Response> => {
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(new Headers(init?.headers).get('range') ?? '') ?? []
    const start = Math.min(Number(first), size)
    const bytes = await read(start, Math.min(Number(last) + 1, size)).catch((error: unknown) => {
      lost = error
      throw error
    })
    return new Response(Uint8Array.from(bytes), { status: 206 })
  }
  let parsed: Awaited<ReturnType<typeof gguf>>
  try {
    parsed = await gguf('https://object.invalid/', { fetch: ranged })
  } catch (error) {
    if (lost) throw lost
    return {
      ok: false,
      reason: `the GGUF header cannot be read: ${error instanceof Error ? error.message : String(error)}`,
    }
  }
  const dataStart = Number(parsed.tensorDataOffset)
  // The parser takes what is missing of its first read for zeros.
  if (dataStart > size)
    return { ok: false, reason: `the GGUF header ends at byte ${dataStart}, the file at ${size}: it is cut short` }
  const entries = parsed.tensorInfos
    .map(({ name, dtype, shape, offset }) => ({
      name,
      type: dtype as number,
      // GGUF names the innermost dimension first.
      shape: shape.map(Number).toReversed(),
      start: dataStart + Number(offset),
    }))
    .toSorted((a, b) => a.start - b.start)
  const tensors: Tensor[] = []
  for (const [at, entry] of entries.entries()) {
    const tensor = tensorOf(entry, entries[at + 1]?.start ?? size, parsed.littleEndian)
    if ('ok' in tensor) return tensor
    tensors.push(tensor)
  }
  return laidOut(ggufCutter, dataStart, tensors, size)
}
