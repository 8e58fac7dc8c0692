import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { CorruptError, FormatVersionError } from '../../shared/errors.ts'
import { decodeBodyHeader } from '../../shared/weights/body.ts'
import { type Base, decodeBody, encodeBody, encodeDelta, sha256Hex } from '../../shared/weights/codec.ts'

const plainBytesMax = 2 ** 20
const dtype = fc.constantFrom('BF16', 'F16', 'F32')

/** Bits of 16-bit and, doubled, 32-bit floats that break arithmetic: zeros, subnormals, infinities, NaNs with payloads, both signs. */
const special = fc
  .constantFrom(0, 1, 0x7f, 0x80, 0x3ff, 0x400, 0x3c00, 0x3f80, 0x7c00, 0x7c01, 0x7e2a, 0x7f80, 0x7f81, 0x7fc0, 0x7fff)
  .chain((bits) => fc.constantFrom(bits, bits | 0x8000))
/** Weights, as they come: near one another, and some alike. */
const near = fc.integer({ min: 0x3c00, max: 0x3c20 })
const elements = fc.array(fc.oneof(special, near, fc.integer({ min: 0, max: 0xffff })), { maxLength: 400 })
/** Any number of bytes: odd lengths and tails that make no whole element; sometimes enough for zstd to win on every plane. */
const plain = fc
  .tuple(elements, fc.uint8Array({ maxLength: 3 }), fc.integer({ min: 1, max: 20 }))
  .map(([values, tail, times]) => {
    const unit = Buffer.from(Uint16Array.from(values).buffer)
    return Buffer.concat([...Array.from({ length: times }, () => unit), tail])
  })
/** Views that begin at any byte of a buffer, as bodies come from the network. */
const shifted = fc.tuple(plain, fc.nat(3)).map(([bytes, by]) => Buffer.concat([Buffer.alloc(by), bytes]).subarray(by))

const baseOf = (bytes: Uint8Array): Base => ({ id: sha256Hex(bytes), plain: bytes })

const decodeOrError = (body: Uint8Array, base: Base | undefined): Uint8Array | Error => {
  try {
    return decodeBody(body, { plainBytesMax, base })
  } catch (error) {
    if (error instanceof CorruptError || error instanceof FormatVersionError) return error
    throw error
  }
}

describe('floats', () => {
  it('come back bit by bit, whatever they are, in no more bytes than raw', () => {
    fc.assert(
      fc.property(shifted, dtype, (bytes, kind) => {
        const { codec, body } = encodeBody(bytes, { dtype: kind })
        expect(decodeBodyHeader(body)).toMatchObject({ codec, plainLength: bytes.length })
        expect(body.length).toBeLessThanOrEqual(16 + bytes.length)
        const moved = Buffer.concat([Buffer.alloc(1), body]).subarray(1)
        expect(bytes.equals(decodeBody(moved, { plainBytesMax }))).toBe(true)
      }),
      { numRuns: 300 },
    )
  })

  it('come back from the difference to any base, shorter, longer or empty', () => {
    fc.assert(
      fc.property(shifted, shifted, dtype, (bytes, before, kind) => {
        const base = baseOf(before)
        const { body } = encodeDelta(bytes, { dtype: kind, base })!
        expect(bytes.equals(decodeBody(body, { plainBytesMax, base }))).toBe(true)
      }),
      { numRuns: 300 },
    )
  })

  it('are never taken from another base, nor from none', () => {
    fc.assert(
      fc.property(plain, plain, plain, dtype, (bytes, before, other, kind) => {
        fc.pre(!before.equals(other))
        const { body } = encodeDelta(bytes, { dtype: kind, base: baseOf(before) })!
        expect(() => decodeBody(body, { plainBytesMax, base: baseOf(other) })).toThrow(CorruptError)
        expect(() => decodeBody(body, { plainBytesMax })).toThrow(CorruptError)
      }),
      { numRuns: 50 },
    )
  })

  it('of a damaged body are refused, or are as many bytes as declared', () => {
    const damage = fc.record({
      kind: fc.constantFrom('flip', 'cut', 'append'),
      at: fc.nat(),
      inHeader: fc.boolean(),
      bit: fc.nat(7),
    })
    fc.assert(
      fc.property(plain, fc.option(plain, { nil: undefined }), dtype, damage, (bytes, before, kind, how) => {
        const base = before && baseOf(before)
        const encoded = base ? encodeDelta(bytes, { dtype: kind, base }) : encodeBody(bytes, { dtype: kind })
        const { body } = encoded!
        const at = how.at % (how.inHeader ? Math.min(body.length, 80) : body.length)
        const damaged =
          how.kind === 'cut'
            ? body.subarray(0, at)
            : Buffer.concat([body, how.kind === 'append' ? Buffer.from([how.at & 255]) : Buffer.alloc(0)])
        if (how.kind === 'flip') damaged[at]! ^= 1 << how.bit
        const decoded = decodeOrError(damaged, base)
        if (decoded instanceof Error) return
        // Other bytes can only come of a flip in what no checksum of the codec's own covers: what the rehash is for.
        expect(how.kind).toBe('flip')
        expect(decoded.length).toBe(decodeBodyHeader(damaged).plainLength)
      }),
      { numRuns: 1000 },
    )
  })
})
