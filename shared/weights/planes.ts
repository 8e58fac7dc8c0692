import { CorruptError } from '../errors.ts'

/**
 * Elements of floating point taken apart into planes of bytes (docs/format.md, 3.3): plane k has byte k of every element, the
 * highest first. Without a base the elements are rotated left by one bit before, so that the exponent is on top and the
 * sign at the bottom. With a base each is subtracted from the base's element at its place, both as integers in the order
 * of the floats, modulo 2^width, and zigzagged; the elements are then in the order of the exponents of the base's, which
 * foretell how large a difference is. Against a base of zeros that is the same as without one.
 */
export type Element = { code: number; bytes: 2 | 4; exponentShift: number; exponentMask: number }

const elements: Readonly<Record<string, Element>> = {
  BF16: { code: 1, bytes: 2, exponentShift: 7, exponentMask: 0xff },
  F16: { code: 2, bytes: 2, exponentShift: 10, exponentMask: 0x1f },
  F32: { code: 3, bytes: 4, exponentShift: 23, exponentMask: 0xff },
}

/** By the name that safetensors gives a dtype; undefined for what is no float of two or four bytes. */
export const elementOf = (dtype: string | undefined): Element | undefined =>
  dtype === undefined ? undefined : elements[dtype]

/** By the code in a body's parameters. */
export const elementByCode = (code: number | undefined): Element => {
  const found = Object.values(elements).find((element) => element.code === code)
  if (!found) throw new CorruptError(`a body's elements are of the unknown kind ${code}`)
  return found
}

// Views need an aligned offset. Every platform that Node 24 is built for here is little endian.
const aligned = (bytes: Uint8Array): Uint8Array => (bytes.byteOffset % 4 === 0 ? bytes : new Uint8Array(bytes))
const halvesOf = (bytes: Uint8Array): Uint16Array => new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length >>> 1)
const wordsOf = (bytes: Uint8Array): Uint32Array => new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >>> 2)

type Planes = readonly Uint8Array[]
const none = new Uint8Array(0)

// ------------------------------------------------------------ without a base

/** Four elements a step, as words: twice as fast as one by one. */
const split16 = (plain: Uint8Array, [high = none, low = none]: Planes): void => {
  const [from, highs, lows] = [wordsOf(plain), wordsOf(high), wordsOf(low)]
  for (let i = 0; i < highs.length; i += 1) {
    const a = from[2 * i] ?? 0
    const b = from[2 * i + 1] ?? 0
    const x = ((a << 1) & 0xfffe_fffe) | ((a >>> 15) & 0x0001_0001)
    const y = ((b << 1) & 0xfffe_fffe) | ((b >>> 15) & 0x0001_0001)
    highs[i] = ((x >>> 8) & 0xff) | ((x >>> 16) & 0xff00) | ((y << 8) & 0xff_0000) | (y & 0xff00_0000)
    lows[i] = (x & 0xff) | ((x >>> 8) & 0xff00) | ((y & 0xff) << 16) | ((y << 8) & 0xff00_0000)
  }
  const rest = halvesOf(plain)
  for (let i = highs.length * 4; i < high.length; i += 1) {
    const element = rest[i] ?? 0
    high[i] = element >>> 7
    low[i] = (element << 1) | (element >>> 15)
  }
}

const merge16 = ([high = none, low = none]: Planes, plain: Uint8Array): void => {
  const [to, highs, lows] = [wordsOf(plain), wordsOf(high), wordsOf(low)]
  for (let i = 0; i < highs.length; i += 1) {
    const a = highs[i] ?? 0
    const b = lows[i] ?? 0
    const x = (b & 0xff) | ((a & 0xff) << 8) | ((b & 0xff00) << 8) | ((a & 0xff00) << 16)
    const y = ((b >>> 16) & 0xff) | ((a >>> 8) & 0xff00) | ((b >>> 8) & 0xff_0000) | (a & 0xff00_0000)
    to[2 * i] = ((x >>> 1) & 0x7fff_7fff) | ((x << 15) & 0x8000_8000)
    to[2 * i + 1] = ((y >>> 1) & 0x7fff_7fff) | ((y << 15) & 0x8000_8000)
  }
  const rest = halvesOf(plain)
  for (let i = highs.length * 4; i < high.length; i += 1) {
    const rotated = ((high[i] ?? 0) << 8) | (low[i] ?? 0)
    rest[i] = (rotated >>> 1) | (rotated << 15)
  }
}

const split32 = (plain: Uint8Array, [p3 = none, p2 = none, p1 = none, p0 = none]: Planes): void => {
  const from = wordsOf(plain)
  const [w3, w2, w1, w0] = [wordsOf(p3), wordsOf(p2), wordsOf(p1), wordsOf(p0)]
  const rotated = (at: number): number => {
    const element = from[at] ?? 0
    return (element << 1) | (element >>> 31)
  }
  for (let i = 0; i < w3.length; i += 1) {
    const a = rotated(4 * i)
    const b = rotated(4 * i + 1)
    const c = rotated(4 * i + 2)
    const d = rotated(4 * i + 3)
    w3[i] = (a >>> 24) | ((b >>> 16) & 0xff00) | ((c >>> 8) & 0xff_0000) | (d & 0xff00_0000)
    w2[i] = ((a >>> 16) & 0xff) | ((b >>> 8) & 0xff00) | (c & 0xff_0000) | ((d << 8) & 0xff00_0000)
    w1[i] = ((a >>> 8) & 0xff) | (b & 0xff00) | ((c << 8) & 0xff_0000) | ((d << 16) & 0xff00_0000)
    w0[i] = (a & 0xff) | ((b & 0xff) << 8) | ((c & 0xff) << 16) | (d << 24)
  }
  for (let i = w3.length * 4; i < p3.length; i += 1) {
    const element = rotated(i)
    p3[i] = element >>> 24
    p2[i] = element >>> 16
    p1[i] = element >>> 8
    p0[i] = element
  }
}

const merge32 = ([p3 = none, p2 = none, p1 = none, p0 = none]: Planes, plain: Uint8Array): void => {
  const to = wordsOf(plain)
  for (let i = 0; i < p3.length; i += 1) {
    const rotated = ((p3[i] ?? 0) << 24) | ((p2[i] ?? 0) << 16) | ((p1[i] ?? 0) << 8) | (p0[i] ?? 0)
    to[i] = (rotated >>> 1) | (rotated << 31)
  }
}

// -------------------------------------------------------------- with a base

/** Where the elements of each exponent of the base's begin; those past the base's end count as 0. */
const bucketsOf = (base: Uint16Array | Uint32Array, count: number, element: Element): Uint32Array => {
  const { exponentShift, exponentMask } = element
  const buckets = new Uint32Array(exponentMask + 1)
  const known = Math.min(base.length, count)
  for (let i = 0; i < known; i += 1) {
    const exponent = ((base[i] ?? 0) >>> exponentShift) & exponentMask
    buckets[exponent] = (buckets[exponent] ?? 0) + 1
  }
  buckets[0] = (buckets[0] ?? 0) + count - known
  let start = 0
  for (const [exponent, size] of buckets.entries()) {
    buckets[exponent] = start
    start += size
  }
  return buckets
}

/** The bits of a float as an integer that grows with it, and back. */
const ordered16 = (bits: number): number => {
  const signed = (bits << 16) >> 16
  return signed ^ ((signed >> 15) & 0x7fff)
}
const ordered32 = (bits: number): number => (bits | 0) ^ ((bits >> 31) & 0x7fff_ffff)

const subtract16 = (plain: Uint8Array, base: Uint8Array, [high = none, low = none]: Planes, element: Element): void => {
  const { exponentShift, exponentMask } = element
  const [from, against] = [halvesOf(plain), halvesOf(base)]
  const next = bucketsOf(against, high.length, element)
  for (let i = 0; i < high.length; i += 1) {
    const bits = against[i] ?? 0
    const difference = ((ordered16(from[i] ?? 0) - ordered16(bits)) << 16) >> 16
    const zigzag = (difference << 1) ^ (difference >> 15)
    const exponent = (bits >>> exponentShift) & exponentMask
    const at = next[exponent] ?? 0
    next[exponent] = at + 1
    high[at] = zigzag >>> 8
    low[at] = zigzag
  }
}

const add16 = ([high = none, low = none]: Planes, base: Uint8Array, plain: Uint8Array, element: Element): void => {
  const { exponentShift, exponentMask } = element
  const [to, against] = [halvesOf(plain), halvesOf(base)]
  const next = bucketsOf(against, high.length, element)
  for (let i = 0; i < high.length; i += 1) {
    const bits = against[i] ?? 0
    const exponent = (bits >>> exponentShift) & exponentMask
    const at = next[exponent] ?? 0
    next[exponent] = at + 1
    const zigzag = ((high[at] ?? 0) << 8) | (low[at] ?? 0)
    to[i] = ordered16(ordered16(bits) + ((zigzag >>> 1) ^ -(zigzag & 1)))
  }
}

const subtract32 = (
  plain: Uint8Array,
  base: Uint8Array,
  [p3 = none, p2 = none, p1 = none, p0 = none]: Planes,
  element: Element,
): void => {
  const { exponentShift, exponentMask } = element
  const [from, against] = [wordsOf(plain), wordsOf(base)]
  const next = bucketsOf(against, p3.length, element)
  for (let i = 0; i < p3.length; i += 1) {
    const bits = against[i] ?? 0
    const difference = (ordered32(from[i] ?? 0) - ordered32(bits)) | 0
    const zigzag = (difference << 1) ^ (difference >> 31)
    const exponent = (bits >>> exponentShift) & exponentMask
    const at = next[exponent] ?? 0
    next[exponent] = at + 1
    p3[at] = zigzag >>> 24
    p2[at] = zigzag >>> 16
    p1[at] = zigzag >>> 8
    p0[at] = zigzag
  }
}

const add32 = (
  [p3 = none, p2 = none, p1 = none, p0 = none]: Planes,
  base: Uint8Array,
  plain: Uint8Array,
  element: Element,
): void => {
  const { exponentShift, exponentMask } = element
  const [to, against] = [wordsOf(plain), wordsOf(base)]
  const next = bucketsOf(against, p3.length, element)
  for (let i = 0; i < p3.length; i += 1) {
    const bits = against[i] ?? 0
    const exponent = (bits >>> exponentShift) & exponentMask
    const at = next[exponent] ?? 0
    next[exponent] = at + 1
    const zigzag = ((p3[at] ?? 0) << 24) | ((p2[at] ?? 0) << 16) | ((p1[at] ?? 0) << 8) | (p0[at] ?? 0)
    to[i] = ordered32(ordered32(bits) + ((zigzag >>> 1) ^ -(zigzag & 1)))
  }
}

// ------------------------------------------------------------------- either

/** Fills `element.bytes` planes, each of as many bytes as `plain` has whole elements and each a buffer of its own. */
export const splitPlanes = (plain: Uint8Array, element: Element, planes: Planes, base?: Uint8Array): void => {
  const from = aligned(plain)
  if (element.bytes === 2)
    if (base) subtract16(from, aligned(base), planes, element)
    else split16(from, planes)
  else if (base) subtract32(from, aligned(base), planes, element)
  else split32(from, planes)
}

/** The way back, into a buffer of its own that has at least those elements. */
export const mergePlanes = (planes: Planes, element: Element, plain: Uint8Array, base?: Uint8Array): void => {
  const from = planes.map(aligned)
  if (element.bytes === 2)
    if (base) add16(from, aligned(base), plain, element)
    else merge16(from, plain)
  else if (base) add32(from, aligned(base), plain, element)
  else merge32(from, plain)
}
