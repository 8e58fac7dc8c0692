import { FormatVersionError } from '../errors.ts'
import { planesWasm } from './kernels/planes.wasm.ts'
import { instantiate, memoryOf, type WasmMemory } from './wasm.ts'

/**
 * Elements of floating point taken apart into planes of bytes (docs/format.md, 3.3): plane k has byte k of every element, the
 * highest first. Without a base the elements are rotated left by one bit before, so that the exponent is on top and the
 * sign at the bottom. With a base each is subtracted from the base's element at its place, both as integers in the order
 * of the floats, modulo 2^width, and zigzagged; the elements are then in the order of the exponents of the base's, which
 * foretell how large a difference is. Against a base of zeros that is the same as without one.
 */
export type Element = { code: number; bytes: 2 | 4; exponentShift: number; exponentMask: number }

const elements: ReadonlyMap<string, Element> = new Map([
  ['BF16', { code: 1, bytes: 2, exponentShift: 7, exponentMask: 0xff }],
  ['F16', { code: 2, bytes: 2, exponentShift: 10, exponentMask: 0x1f }],
  ['F32', { code: 3, bytes: 4, exponentShift: 23, exponentMask: 0xff }],
])

/** By the name that safetensors gives a dtype; undefined for what is no float of two or four bytes. */
export const elementOf = (dtype: string | undefined): Element | undefined =>
  dtype === undefined ? undefined : elements.get(dtype)

/** By the code in a body's parameters. */
export const elementByCode = (code: number | undefined): Element => {
  const found = [...elements.values()].find((element) => element.code === code)
  if (!found) throw new FormatVersionError(`a body's elements are of the unknown kind ${code}: upgrade this program`)
  return found
}

/** The layout is that of kernels/planes.ts: pointers, then counts. */
type Split = (from: number, count: number, planes: number, stride: number) => void
type Merge = (planes: number, stride: number, count: number, to: number) => void
/** The last three: 2 KiB of scratch, then where the exponent is. */
type Subtract = (from: number, base: number, count: number, planes: number, stride: number, ...rest: number[]) => void
type Add = (planes: number, stride: number, base: number, count: number, to: number, ...rest: number[]) => void
type Kernels = {
  memory: WasmMemory
  split16: Split
  split32: Split
  merge16: Merge
  merge32: Merge
  subtract16: Subtract
  subtract32: Subtract
  add16: Add
  add32: Add
}

let loaded: Kernels | undefined
const load = (): Kernels => instantiate(planesWasm) as Kernels

const bucketsAt = 4096
const dataAt = 8192
const padded = (bytes: number): number => (bytes + 63) & ~63

/** Memory of the kernels that is used again: three times a chunk of ours, and what the layout adds. */
const keptBytesMax = 16 * 2 ** 20

/** The kernels' memory, laid out for `count` elements and for the time of one call. */
const layOut = (count: number, element: Element) => {
  const stride = padded(count)
  const plainAt = dataAt
  const baseAt = plainAt + stride * element.bytes
  const planesAt = baseAt + stride * element.bytes
  const bytes = planesAt + stride * element.bytes
  const kernels = bytes > keptBytesMax ? load() : (loaded ??= load())
  const { exponentShift, exponentMask } = element
  const memory = memoryOf(kernels.memory, bytes)
  return { kernels, memory, stride, plainAt, baseAt, planesAt, exponentShift, exponentMask }
}

/** Whole elements of the base as far as there are, then zeros. */
const placeBase = (memory: Uint8Array, at: number, bytes: number, base: Uint8Array, element: Element): void => {
  const known = Math.min(bytes, base.length - (base.length % element.bytes))
  memory.set(base.subarray(0, known), at)
  memory.fill(0, at + known, at + bytes)
}

/**
 * The planes of the whole elements of `plain`, as views of the kernels' memory that hold until the next call of this module;
 * bytes after the last whole element are in none.
 */
export const splitPlanes = (plain: Uint8Array, element: Element, base?: Uint8Array): Uint8Array[] => {
  const count = Math.floor(plain.length / element.bytes)
  const { kernels, memory, stride, plainAt, baseAt, planesAt, ...exponent } = layOut(count, element)
  const bytes = count * element.bytes
  memory.set(plain.subarray(0, bytes), plainAt)
  if (base) {
    placeBase(memory, baseAt, bytes, base, element)
    const subtract = element.bytes === 2 ? kernels.subtract16 : kernels.subtract32
    subtract(plainAt, baseAt, count, planesAt, stride, bucketsAt, exponent.exponentShift, exponent.exponentMask)
  } else {
    const split = element.bytes === 2 ? kernels.split16 : kernels.split32
    split(plainAt, count, planesAt, stride)
  }
  return Array.from({ length: element.bytes }, (_, index) => {
    const at = planesAt + index * stride
    return memory.subarray(at, at + count)
  })
}

/** The way back: `count` elements, as a view of the kernels' memory that holds until the next call of this module. */
export const mergePlanes = (
  planes: readonly Uint8Array[],
  element: Element,
  count: number,
  base?: Uint8Array,
): Uint8Array => {
  const { kernels, memory, stride, plainAt, baseAt, planesAt, ...exponent } = layOut(count, element)
  const bytes = count * element.bytes
  for (const [index, plane] of planes.entries()) memory.set(plane, planesAt + index * stride)
  if (base) {
    placeBase(memory, baseAt, bytes, base, element)
    const add = element.bytes === 2 ? kernels.add16 : kernels.add32
    add(planesAt, stride, baseAt, count, plainAt, bucketsAt, exponent.exponentShift, exponent.exponentMask)
  } else {
    const merge = element.bytes === 2 ? kernels.merge16 : kernels.merge32
    merge(planesAt, stride, count, plainAt)
  }
  return memory.subarray(plainAt, plainAt + bytes)
}
