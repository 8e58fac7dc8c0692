import { describe, expect, it } from 'vitest'
import { toArray } from '../../shared/bounded.ts'
import { CorruptError, UnavailableError } from '../../shared/errors.ts'
import { readChunk } from '../../shared/weights/read.ts'
import { type ChunkToStore, storeChunks } from '../../shared/weights/store-chunks.ts'
import { createWorld, noise } from '../support/weights-world.ts'

const mib = 2 ** 20

/** Raw and compressible chunks of 1 to 4 MiB, as the chunker gives them: each in a buffer of its own. */
const chunks = (): Uint8Array[] => [
  noise(4 * mib, 1),
  Buffer.alloc(4 * mib, 'abc'),
  noise(mib, 2),
  Buffer.alloc(2 * mib + 17, 'other'),
]

async function* each(items: readonly Uint8Array[]): AsyncGenerator<ChunkToStore> {
  for (const item of items) yield { plain: Uint8Array.from(item) }
}

describe('storeChunks', () => {
  it('answers in order with what reads back as it was', async () => {
    const { deps, store } = createWorld()
    const stored = await toArray(storeChunks(deps, each(chunks()), true))
    expect(stored.map(({ ref }) => ref.codec)).toEqual(['raw', 'zstd', 'raw', 'zstd'])
    for (const [index, plain] of chunks().entries())
      expect(Buffer.from(plain).equals(await readChunk(store, stored[index]!.ref))).toBe(true)
  })

  it('takes the buffers over', async () => {
    const { deps } = createWorld()
    const given: Uint8Array[] = []
    async function* remembered(): AsyncGenerator<ChunkToStore> {
      for await (const chunk of each(chunks())) {
        given.push(chunk.plain)
        yield chunk
      }
    }
    await toArray(storeChunks(deps, remembered(), true))
    expect(given.map(({ length }) => length)).toEqual([0, 0, 0, 0])
  })

  it('sends a chunk that comes again once, near or far', async () => {
    const { deps, store } = createWorld()
    const [first, second, third] = [noise(5000, 1), noise(5000, 2), noise(5000, 3)]
    const others = Array.from({ length: 30 }, (_, index) => noise(5000, 10 + index))
    const stored = await toArray(storeChunks(deps, each([first, first, second, ...others, first, third]), true))
    const again = [1, stored.length - 2]
    for (const index of again)
      expect(stored[index]).toMatchObject({ ref: stored[0]!.ref, bytesSent: 0, reused: true, indexed: true })
    expect(stored.filter(({ reused }) => reused)).toHaveLength(again.length)
    expect(store.names()).toHaveLength(33)
  })

  it('believes the index only where it may', async () => {
    const { deps } = createWorld()
    const [{ ref }] = (await toArray(storeChunks(deps, each([noise(5000, 1)]), true))) as unknown as [{ ref: never }]
    await deps.chunks.record([ref])
    expect(await toArray(storeChunks(deps, each([noise(5000, 1)]), true))).toMatchObject([
      { indexed: true, bytesSent: 0 },
    ])
    expect(await toArray(storeChunks(deps, each([noise(5000, 1)]), false))).toMatchObject([
      { indexed: false, reused: true },
    ])
  })

  it('fails as its first failure does, with nothing left running or waiting', async () => {
    let calls = 0
    let underWay = 0
    const { deps } = createWorld({
      onStep: (step, when) => {
        if (step !== 'store.create') return
        underWay += when === 'before' ? 1 : -1
        calls += when === 'before' ? 1 : 0
        if (when === 'before' && calls === 3) {
          underWay -= 1
          throw new UnavailableError('the replica is away')
        }
      },
    })
    const plains = Array.from({ length: 20 }, (_, index) => noise(5000, index % 4))
    await expect(toArray(storeChunks(deps, each(plains), true))).rejects.toThrow('the replica is away')
    expect(underWay).toBe(0)
  })

  it('lets go of who waits for a chunk whose look-up failed', async () => {
    const { deps } = createWorld({
      onStep: (step) => {
        if (step === 'chunks.lookup') throw new CorruptError('the index is not readable')
      },
    })
    const same = [noise(5000, 1), noise(5000, 1), noise(5000, 1)]
    await expect(toArray(storeChunks(deps, each(same), true))).rejects.toThrow('the index is not readable')
  })
})
