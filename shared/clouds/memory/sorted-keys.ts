/** Keys in the order of their code units, however many: what is added moves no more than a block of them. */
export type SortedKeys = {
  /** Nothing where it is there. */
  add(key: string): void
  /** `key` itself or the first behind it. */
  from(key: string): string | undefined
  behind(key: string): string | undefined
}

const blockKeysMax = 1024

/** Where a key is, or would be. */
const positionOf = (count: number, isBefore: (index: number) => boolean): number => {
  let [low, high] = [0, count]
  while (low < high) {
    const middle = (low + high) >> 1
    if (isBefore(middle)) low = middle + 1
    else high = middle
  }
  return low
}

export const createSortedKeys = (initial: Iterable<string> = []): SortedKeys => {
  const all = [...new Set(initial)].toSorted()
  const blocks: string[][] = [[]]
  for (let at = 0; at < all.length; at += blockKeysMax / 2) blocks.push(all.slice(at, at + blockKeysMax / 2))
  if (blocks.length > 1) blocks.shift()
  const find = (key: string): { block: string[]; index: number; at: number } => {
    const index = Math.max(0, positionOf(blocks.length, (one) => (blocks[one]?.[0] ?? '') <= key) - 1)
    const block = blocks[index] ?? []
    return { block, index, at: positionOf(block.length, (one) => (block[one] ?? '') < key) }
  }
  return {
    add: (key) => {
      const { block, index, at } = find(key)
      if (block[at] === key) return
      block.splice(at, 0, key)
      if (block.length > blockKeysMax) blocks.splice(index + 1, 0, block.splice(blockKeysMax / 2))
    },
    from: (key) => {
      const { block, index, at } = find(key)
      return block[at] ?? blocks[index + 1]?.[0]
    },
    behind: (key) => {
      const { block, index, at } = find(key)
      return block[block[at] === key ? at + 1 : at] ?? blocks[index + 1]?.[0]
    },
  }
}
