import * as fc from 'fast-check'
import { createCRC32, createCRC64 } from 'hash-wasm'
import { expect, it } from 'vitest'
import { createRangeCrc } from '../../shared/weights/checksums.ts'
import { noise } from '../support/weights-world.ts'

/** Another's implementation, of the same polynomials. */
const theirs = { CRC64NVME: await createCRC64('9a6c9329ac4bc9b5'), CRC32C: await createCRC32(0x82f63b78) }

it.each(['CRC64NVME', 'CRC32C'] as const)('%s is that of hash-wasm, however the bytes come', (algorithm) => {
  const bytes = noise(1_200_000, 3)
  const cuts = fc.array(fc.oneof(fc.nat(40), fc.nat(5000), fc.nat(700_000)), { maxLength: 6 })
  fc.assert(
    fc.property(fc.nat(9), cuts, (from, lengths) => {
      const crc = createRangeCrc(algorithm)
      const hasher = theirs[algorithm].init()
      let at = from
      for (const length of lengths) {
        const piece = bytes.subarray(at, at + length)
        crc.update(piece)
        hasher.update(piece)
        at += piece.length
      }
      expect(Buffer.from(crc.digest()).toString('hex')).toBe(hasher.digest())
    }),
    { numRuns: 100 },
  )
})
