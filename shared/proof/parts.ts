import { deflateSync, inflateSync } from 'node:zlib'
import * as z from 'zod'
import { CorruptError } from '../errors.ts'
import type { ProofState } from './proof-state.ts'

/**
 * Bytes that are too many for one record, as records `NAME/SLOT/INDEX`. There are two slots: the one that is not in use is
 * written, and the caller then makes it the one in use by one write of its own record, so that a call that dies leaves what was.
 * `stamp` is of one writing: parts that another wrote over are found to be.
 */
export const partsRefSchema = z.object({
  slot: z.union([z.literal(0), z.literal(1)]),
  parts: z.number(),
  stamp: z.string(),
})
export type PartsRef = z.infer<typeof partsRefSchema>

/** As base64 with room for the rest of an item of DynamoDB, of 400 KB. */
const partBytesMax = 256 * 1024
const partSchema = z.object({ stamp: z.string(), bytes: z.string() })

const partName = (name: string, slot: number, index: number): string => `${name}/${slot}/${index}`

/** Throws nothing where another writes the same: who wins is decided by the caller's record. */
export const writeParts = async (
  state: ProofState,
  name: string,
  { bytes, stamp }: { bytes: Uint8Array; stamp: string },
  inUse: PartsRef | undefined,
): Promise<PartsRef> => {
  const slot = inUse?.slot === 0 ? 1 : 0
  const packed = deflateSync(bytes)
  const parts = Math.ceil(packed.length / partBytesMax)
  for (let index = 0; index < parts; index += 1) {
    const record = partName(name, slot, index)
    const part = packed.subarray(index * partBytesMax, (index + 1) * partBytesMax)
    const before = await state.read(record)
    await state.write(record, { stamp, bytes: part.toString('base64') }, before?.version)
  }
  return { slot, parts, stamp }
}

/** Throws CorruptError where a part is gone or of another writing. */
export const readParts = async (state: ProofState, name: string, { slot, parts, stamp }: PartsRef): Promise<Buffer> => {
  const packed: Buffer[] = []
  for (let index = 0; index < parts; index += 1) {
    const record = await state.read(partName(name, slot, index))
    const parsed = partSchema.safeParse(record?.value)
    if (!parsed.success || parsed.data.stamp !== stamp)
      throw new CorruptError(`record ${partName(name, slot, index)} is not the part that was written`)
    packed.push(Buffer.from(parsed.data.bytes, 'base64'))
  }
  return inflateSync(Buffer.concat(packed))
}
