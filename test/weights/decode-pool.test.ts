import { createHash } from 'node:crypto'
import { afterEach, describe, expect, it } from 'vitest'
import { CorruptError, FormatVersionError } from '../../shared/errors.ts'
import { crc32c, encodeBody, encodeDelta, sha256Hex } from '../../shared/weights/codec.ts'
import { createDecodePool } from '../../shared/weights/decode-pool.ts'
import { noise } from '../support/weights-world.ts'

const pool = createDecodePool(2)
afterEach(() => pool.close())

const megabyte = 2 ** 20
const proofOf = (plain: Uint8Array, body: Uint8Array) => ({
  id: `sha256:${sha256Hex(plain)}`,
  length: plain.length,
  crc32c: crc32c(body),
})
const encoded = (seed: number, bytes = megabyte, dtype?: string) => {
  const plain = Buffer.from(noise(bytes, seed))
  const { body } = encodeBody(plain, { dtype })
  return { plain, body, proof: proofOf(plain, body) }
}

describe('a pool of threads', () => {
  it('decodes many bodies at once, small ones and deltas too, each to its own bytes', async () => {
    const all = [1, 2, 3, 4, 5, 6].map((seed) => encoded(seed, seed === 3 ? 1000 : megabyte, 'BF16'))
    const decoded = await Promise.all(
      all.map(async ({ body, proof }, index) => pool.decode(`chunk-${index}`, body, proof, undefined)),
    )
    expect(decoded.map((bytes) => sha256Hex(bytes))).toEqual(all.map(({ plain }) => sha256Hex(plain)))

    const base = { id: sha256Hex(all[0]!.plain), plain: all[0]!.plain }
    const plain = Buffer.from(base.plain)
    plain[10]! ^= 1
    const { body } = encodeDelta(plain, { dtype: 'BF16', base })!
    const delta = Buffer.concat([body, Buffer.alloc(0)])
    expect(sha256Hex(await pool.decode('delta', delta, proofOf(plain, delta), base))).toBe(sha256Hex(plain))
    // The base is still the caller's.
    expect(sha256Hex(base.plain)).toBe(base.id)
  })

  it('throws what decoding in this thread throws, and goes on', async () => {
    const { body, proof } = encoded(7)
    const flipped = Buffer.from(body)
    flipped[flipped.length >> 1]! ^= 1
    await expect(pool.decode('chunk', flipped, proof, undefined)).rejects.toThrow('is damaged: its stored bytes')
    const other = encoded(8)
    const wrong = { ...proof, crc32c: other.proof.crc32c }
    const wrongly = pool.decode('chunk', other.body, wrong, undefined)
    await expect(wrongly).rejects.toThrow('does not hash to its id')
    await expect(wrongly).rejects.toThrow(CorruptError)
    const newer = Buffer.from(encoded(9).body)
    newer.write('9', 3, 'latin1')
    await expect(
      pool.decode('chunk', newer, { ...encoded(9).proof, crc32c: crc32c(newer) }, undefined),
    ).rejects.toThrow(FormatVersionError)
    expect(
      createHash('sha256')
        .update(await pool.decode('chunk', body, proof, undefined))
        .digest('hex'),
    ).toBe(proof.id.slice('sha256:'.length))
  })

  it('ends what waits for a thread that is stopped', async () => {
    const { body, proof } = encoded(11)
    const waiting = pool.decode('chunk', body, proof, undefined)
    await Promise.all([expect(waiting).rejects.toThrow('ended with'), pool.close()])
  })
})
