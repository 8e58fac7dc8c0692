import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { encodeFloats, type FloatDtype, roundToBfloat } from '../../bench/bytes/dtypes.ts'

const encode = (value: number, dtype: FloatDtype): number => {
  const bytes = Buffer.from(encodeFloats(Float32Array.of(value), dtype))
  return bytes.length === 1 ? bytes.readUInt8() : bytes.readUInt16LE()
}

test.for([
  [1, 0x3f80],
  [-2, 0xc000],
  // Halfway between two: to the even one.
  [1 + 2 ** -8, 0x3f80],
  [1 + 3 * 2 ** -8, 0x3f82],
  [1 + 2 ** -8 + 2 ** -20, 0x3f81],
] as const)('%s as BF16', ([value, bits]) => {
  expect(encode(value, 'BF16')).toBe(bits)
})

/** DataView's own, of which the compiler does not know yet. */
const halfOf = (value: number): number => {
  const view = new DataView(new ArrayBuffer(2)) as DataView & {
    setFloat16(at: number, value: number, little: true): void
  }
  view.setFloat16(0, value, true)
  return view.getUint16(0, true)
}

test('FP16 is what the engine makes of the same float', () => {
  fc.assert(
    fc.property(fc.float({ min: -65_000, max: 65_000, noNaN: true }), (value) => {
      expect(encode(value, 'F16')).toBe(halfOf(value))
    }),
  )
  fc.assert(
    fc.property(fc.float({ min: Math.fround(-1e-4), max: Math.fround(1e-4), noNaN: true }), (value) => {
      expect(encode(value, 'F16')).toBe(halfOf(value))
    }),
  )
})

// OCP 8-bit floating point, section 5: E4M3 with a bias of 7.
test.for([
  [0, 0x00],
  [1, 0x38],
  [-1.125, 0xb9],
  [448, 0x7e],
  [10_000, 0x7e],
  [2 ** -6, 0x08],
  [2 ** -9, 0x01],
  [1.0625, 0x38],
  [1.1875, 0x3a],
] as const)('%s as FP8', ([value, bits]) => {
  expect(encode(value, 'F8_E4M3')).toBe(bits)
})

test('a value rounded to BF16 is one that BF16 keeps', () => {
  const values = Float32Array.of(1.2345678, -3e-5, 70_000)
  const before = Float32Array.from(values)
  roundToBfloat(values)
  expect(encodeFloats(values, 'BF16')).toEqual(encodeFloats(before, 'BF16'))
  expect(new Uint16Array(values.buffer).filter((_, index) => index % 2 === 0)).toEqual(Uint16Array.of(0, 0, 0))
})
