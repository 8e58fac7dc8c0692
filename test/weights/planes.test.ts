import { describe, expect, it } from 'vitest'
import { elementOf, mergePlanes, splitPlanes } from '../../shared/weights/planes.ts'
import { noise } from '../support/weights-world.ts'

describe('planes', () => {
  it.each(['BF16', 'F16', 'F32'])('of %s do not depend on what was split before', (dtype) => {
    const element = elementOf(dtype)!
    const [small, large] = [noise(1003, 1), noise(6 * 2 ** 20 + 2, 2)]
    const split = (plain: Uint8Array, base: Uint8Array) =>
      splitPlanes(plain, element, base).map((plane) => Buffer.from(plane))
    const first = split(small, large)
    const planes = split(large, small)
    expect(split(small, large)).toEqual(first)
    const count = Math.floor(large.length / element.bytes)
    const merged = Buffer.from(mergePlanes(planes, element, count, small))
    expect(merged.equals(large.subarray(0, count * element.bytes))).toBe(true)
  })

  it('are known of no other dtype', () => {
    for (const dtype of [undefined, 'F64', 'I16', 'F8_E4M3', 'toString']) expect(elementOf(dtype)).toBeUndefined()
  })
})
