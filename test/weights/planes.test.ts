import { readFile } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { elementOf, mergePlanes, splitPlanes } from '../../shared/weights/planes.ts'
import { buildKernels } from '../../tools/build-kernels.ts'
import { noise } from '../support/weights-world.ts'

describe('the kernels', () => {
  it('are what their source builds to', async () => {
    const committed = new URL('../../shared/weights/kernels/planes.wasm.ts', import.meta.url)
    expect(await buildKernels()).toBe(await readFile(committed, 'utf8'))
  })
})

describe('planes', () => {
  it.each(['BF16', 'F16', 'F32'])('of %s do not depend on what was split before', (dtype) => {
    const element = elementOf(dtype)!
    const [small, large] = [noise(1003, 1), noise(5 * 2 ** 20 + 2, 2)]
    const first = splitPlanes(small, element, large)
    const planes = splitPlanes(large, element, small)
    expect(splitPlanes(small, element, large)).toEqual(first)
    const merged = Buffer.alloc(large.length)
    mergePlanes(planes, element, merged, small)
    const whole = large.length - (large.length % element.bytes)
    expect(merged.subarray(0, whole).equals(Buffer.from(large.subarray(0, whole)))).toBe(true)
  })

  it('are known of no other dtype', () => {
    for (const dtype of [undefined, 'F64', 'I16', 'F8_E4M3', 'toString']) expect(elementOf(dtype)).toBeUndefined()
  })
})
