import { describe, expect, it } from 'vitest'
import { CorruptError, UnavailableError } from '../../shared/errors.ts'
import { chunksOf } from '../../shared/weights/chunker.ts'

async function* streamOf(pieces: (string | Uint8Array)[], onClose = (): void => undefined): AsyncGenerator<Uint8Array> {
  try {
    for (const piece of pieces) yield Buffer.from(piece)
  } finally {
    onClose()
  }
}
const textOf = async (chunks: AsyncIterable<Uint8Array>): Promise<string[]> => {
  const texts: string[] = []
  for await (const chunk of chunks) texts.push(Buffer.from(chunk).toString())
  return texts
}
const lengths = (...all: number[]) => ({ cuts: all.map((length) => ({ length })) })

describe('chunksOf', () => {
  it('joins and divides pieces at the cuts', async () => {
    expect(await textOf(chunksOf(streamOf(['ab', '', 'c', 'defghi']), lengths(1, 4, 4)))).toEqual(['a', 'bcde', 'fghi'])
    expect(await textOf(chunksOf(streamOf([]), lengths()))).toEqual([])
    expect(await textOf(chunksOf(streamOf([]), 'gear'))).toEqual([])
  })

  it('gives every chunk a buffer of its own and of its length', async () => {
    for (const how of [lengths(3, 3), 'gear'] as const)
      for await (const chunk of chunksOf(streamOf(['ab', 'cdef']), how))
        expect(chunk.buffer.byteLength).toBe(chunk.length)
  })

  it('throws where the stream is shorter than the cuts', async () => {
    await expect(textOf(chunksOf(streamOf(['abc']), lengths(2, 2)))).rejects.toThrow(UnavailableError)
    await expect(textOf(chunksOf(streamOf(['ab']), lengths(2, 2)))).rejects.toThrow('ended after 2 bytes')
    await expect(textOf(chunksOf(streamOf([]), lengths(1)))).rejects.toThrow(UnavailableError)
  })

  it('throws where the stream is longer than the cuts, after the last chunk', async () => {
    const seen: string[] = []
    const reading = async (): Promise<void> => {
      for await (const chunk of chunksOf(streamOf(['abcd', 'e']), lengths(2, 2)))
        seen.push(Buffer.from(chunk).toString())
    }
    await expect(reading()).rejects.toThrow(CorruptError)
    expect(seen).toEqual(['ab', 'cd'])
  })

  it('closes the stream when its reader leaves early', async () => {
    for (const how of [lengths(1, 1, 1), 'gear'] as const) {
      let closed = false
      const big = Buffer.alloc(5 * 2 ** 20)
      for await (const _ of chunksOf(
        streamOf([how === 'gear' ? big : 'abc'], () => (closed = true)),
        how,
      ))
        break
      expect(closed).toBe(true)
    }
  })

  it('reads no further than the chunk that is asked for', async () => {
    let read = 0
    async function* endless(): AsyncGenerator<Uint8Array> {
      for (;;) {
        read += 1
        yield Buffer.alloc(65_536, read)
      }
    }
    const chunks = chunksOf(endless(), 'gear')
    const first = await chunks.next()
    expect(read).toBeLessThanOrEqual(Math.ceil((first.value as Uint8Array).length / 65_536))
    await chunks.return(undefined)
  })
})
