import type { ReadRange } from './layout.ts'

/** Answers small reads of a file from blocks of `blockBytes`, the last `blocksMax` of which are kept. */
export const readByBlocks = (
  read: ReadRange,
  size: number,
  { blockBytes, blocksMax }: { blockBytes: number; blocksMax: number },
): ReadRange => {
  const blocks = new Map<number, Promise<Uint8Array>>()
  const block = (index: number): Promise<Uint8Array> => {
    const held = blocks.get(index) ?? read(index * blockBytes, Math.min(size, (index + 1) * blockBytes))
    blocks.delete(index)
    blocks.set(index, held)
    for (const oldest of blocks.keys()) {
      if (blocks.size <= blocksMax) break
      blocks.delete(oldest)
    }
    return held
  }
  return async (start, end) => {
    const bytes = new Uint8Array(end - start)
    for (let at = start; at < end;) {
      const index = Math.floor(at / blockBytes)
      const piece = (await block(index)).subarray(at - index * blockBytes, end - index * blockBytes)
      bytes.set(piece, at - start)
      at += piece.length
      if (piece.length === 0) throw new RangeError(`[${start}, ${end}) is not in a file of ${size} bytes`)
    }
    return bytes
  }
}
