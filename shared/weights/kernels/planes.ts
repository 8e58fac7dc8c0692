// AssemblyScript, built by tools/build-kernels.ts: the loops of planes.ts, 16 bytes a step where SIMD can.
// Pointers are 16-aligned and every region is padded to 16 bytes, so that whole vectors may be read past its end.
// Plane k of n elements begins at planes + k * stride; the highest bytes are plane 0.

@inline function splat16(value: i16): v128 { return i16x8.splat(value) }

// ------------------------------------------------------------ without a base

/** Eight elements rotated left by one bit. */
@inline function rotated16(x: v128): v128 { return v128.or(i16x8.shl(x, 1), i16x8.shr_u(x, 15)) }

export function split16(from: usize, n: usize, planes: usize, stride: usize): void {
  const mask = splat16(0xff)
  for (let i: usize = 0; i < n; i += 16) {
    const a = rotated16(v128.load(from + (i << 1)))
    const b = rotated16(v128.load(from + (i << 1), 16))
    v128.store(planes + i, i8x16.narrow_i16x8_u(i16x8.shr_u(a, 8), i16x8.shr_u(b, 8)))
    v128.store(planes + stride + i, i8x16.narrow_i16x8_u(v128.and(a, mask), v128.and(b, mask)))
  }
}

@inline function joined16(high: v128, low: v128): v128 {
  const x = v128.or(i16x8.shl(high, 8), low)
  return v128.or(i16x8.shr_u(x, 1), i16x8.shl(x, 15))
}

export function merge16(planes: usize, stride: usize, n: usize, to: usize): void {
  for (let i: usize = 0; i < n; i += 16) {
    const high = v128.load(planes + i)
    const low = v128.load(planes + stride + i)
    v128.store(to + (i << 1), joined16(i16x8.extend_low_i8x16_u(high), i16x8.extend_low_i8x16_u(low)))
    v128.store(to + (i << 1), joined16(i16x8.extend_high_i8x16_u(high), i16x8.extend_high_i8x16_u(low)), 16)
  }
}

@inline function rotated32(x: v128): v128 { return v128.or(i32x4.shl(x, 1), i32x4.shr_u(x, 31)) }

export function split32(from: usize, n: usize, planes: usize, stride: usize): void {
  for (let i: usize = 0; i < n; i += 16) {
    const at = from + (i << 2)
    const a = rotated32(v128.load(at))
    const b = rotated32(v128.load(at, 16))
    const c = rotated32(v128.load(at, 32))
    const d = rotated32(v128.load(at, 48))
    const ab0 = i8x16.shuffle(a, b, 0, 4, 8, 12, 16, 20, 24, 28, 1, 5, 9, 13, 17, 21, 25, 29)
    const cd0 = i8x16.shuffle(c, d, 0, 4, 8, 12, 16, 20, 24, 28, 1, 5, 9, 13, 17, 21, 25, 29)
    const ab2 = i8x16.shuffle(a, b, 2, 6, 10, 14, 18, 22, 26, 30, 3, 7, 11, 15, 19, 23, 27, 31)
    const cd2 = i8x16.shuffle(c, d, 2, 6, 10, 14, 18, 22, 26, 30, 3, 7, 11, 15, 19, 23, 27, 31)
    const plane = planes + i
    v128.store(plane, i64x2.shuffle(ab2, cd2, 1, 3))
    v128.store(plane + stride, i64x2.shuffle(ab2, cd2, 0, 2))
    v128.store(plane + 2 * stride, i64x2.shuffle(ab0, cd0, 1, 3))
    v128.store(plane + 3 * stride, i64x2.shuffle(ab0, cd0, 0, 2))
  }
}

@inline function unrotated32(x: v128): v128 { return v128.or(i32x4.shr_u(x, 1), i32x4.shl(x, 31)) }

export function merge32(planes: usize, stride: usize, n: usize, to: usize): void {
  for (let i: usize = 0; i < n; i += 16) {
    const plane = planes + i
    const p3 = v128.load(plane)
    const p2 = v128.load(plane + stride)
    const p1 = v128.load(plane + 2 * stride)
    const p0 = v128.load(plane + 3 * stride)
    const low01 = i8x16.shuffle(p0, p1, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
    const high01 = i8x16.shuffle(p0, p1, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
    const low23 = i8x16.shuffle(p2, p3, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
    const high23 = i8x16.shuffle(p2, p3, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
    const at = to + (i << 2)
    v128.store(at, unrotated32(i16x8.shuffle(low01, low23, 0, 8, 1, 9, 2, 10, 3, 11)))
    v128.store(at, unrotated32(i16x8.shuffle(low01, low23, 4, 12, 5, 13, 6, 14, 7, 15)), 16)
    v128.store(at, unrotated32(i16x8.shuffle(high01, high23, 0, 8, 1, 9, 2, 10, 3, 11)), 32)
    v128.store(at, unrotated32(i16x8.shuffle(high01, high23, 4, 12, 5, 13, 6, 14, 7, 15)), 48)
  }
}

// -------------------------------------------------------------- with a base

/** Two counters for each exponent, taken in turn: neighbours of one exponent do not wait for each other. */
@inline function count(buckets: usize, exponent: u32): void {
  const at = buckets + (<usize>exponent << 2)
  store<u32>(at, load<u32>(at) + 1)
}

/** Turns the two counts of each exponent into the place in `planes` where its elements begin. */
@inline function begin(buckets: usize, planes: usize): void {
  let start = <u32>planes
  for (let exponent: usize = 0; exponent < 256; exponent++) {
    const at = buckets + (exponent << 2)
    const size = load<u32>(at) + load<u32>(at, 1024)
    store<u32>(at, start)
    start += size
  }
}

@inline function buckets16(base: usize, n: usize, buckets: usize, planes: usize, shift: u32, mask: u32): void {
  memory.fill(buckets, 0, 2048)
  let i: usize = 0
  for (; i + 2 <= n; i += 2) {
    const pair = load<u32>(base + (i << 1))
    count(buckets, (pair >> shift) & mask)
    count(buckets + 1024, (pair >> (shift + 16)) & mask)
  }
  if (i < n) count(buckets, (<u32>load<u16>(base + (i << 1)) >> shift) & mask)
  begin(buckets, planes)
}

@inline function buckets32(base: usize, n: usize, buckets: usize, planes: usize, shift: u32, mask: u32): void {
  memory.fill(buckets, 0, 2048)
  let i: usize = 0
  for (; i + 2 <= n; i += 2) {
    count(buckets, (load<u32>(base + (i << 2)) >> shift) & mask)
    count(buckets + 1024, (load<u32>(base + (i << 2), 4) >> shift) & mask)
  }
  if (i < n) count(buckets, (load<u32>(base + (i << 2)) >> shift) & mask)
  begin(buckets, planes)
}

/** Where the next element of that exponent goes. */
@inline function next(buckets: usize, exponent: u32): usize {
  const at = buckets + (<usize>exponent << 2)
  const place = load<u32>(at)
  store<u32>(at, place + 1)
  return <usize>place
}

/** The bits of a float as an integer that grows with it, and back. */
@inline function ordered16(bits: i32): i32 { return bits ^ ((bits >> 15) & 0x7fff) }
@inline function ordered32(bits: i32): i32 { return bits ^ ((bits >> 31) & 0x7fffffff) }

/** `base` has n elements; `buckets` is 2 KiB of scratch. */
export function subtract16(
  from: usize, base: usize, n: usize, planes: usize, stride: usize, buckets: usize, shift: u32, mask: u32,
): void {
  buckets16(base, n, buckets, planes, shift, mask)
  for (let i: usize = 0; i < n; i++) {
    const bits = <i32>load<i16>(base + (i << 1))
    const difference = <i32><i16>(ordered16(<i32>load<i16>(from + (i << 1))) - ordered16(bits))
    const zigzag = (difference << 1) ^ (difference >> 15)
    const at = next(buckets, (<u32>bits >> shift) & mask)
    store<u8>(at, <u8>(zigzag >> 8))
    store<u8>(at + stride, <u8>zigzag)
  }
}

export function add16(
  planes: usize, stride: usize, base: usize, n: usize, to: usize, buckets: usize, shift: u32, mask: u32,
): void {
  buckets16(base, n, buckets, planes, shift, mask)
  for (let i: usize = 0; i < n; i++) {
    const bits = <i32>load<i16>(base + (i << 1))
    const at = next(buckets, (<u32>bits >> shift) & mask)
    const zigzag = (<i32>load<u8>(at) << 8) | <i32>load<u8>(at + stride)
    const sum = <i32><i16>(ordered16(bits) + ((zigzag >> 1) ^ -(zigzag & 1)))
    store<u16>(to + (i << 1), <u16>ordered16(sum))
  }
}

export function subtract32(
  from: usize, base: usize, n: usize, planes: usize, stride: usize, buckets: usize, shift: u32, mask: u32,
): void {
  buckets32(base, n, buckets, planes, shift, mask)
  for (let i: usize = 0; i < n; i++) {
    const bits = load<i32>(base + (i << 2))
    const difference = ordered32(load<i32>(from + (i << 2))) - ordered32(bits)
    const zigzag = <u32>((difference << 1) ^ (difference >> 31))
    const at = next(buckets, (<u32>bits >> shift) & mask)
    store<u8>(at, <u8>(zigzag >> 24))
    store<u8>(at + stride, <u8>(zigzag >> 16))
    store<u8>(at + 2 * stride, <u8>(zigzag >> 8))
    store<u8>(at + 3 * stride, <u8>zigzag)
  }
}

export function add32(
  planes: usize, stride: usize, base: usize, n: usize, to: usize, buckets: usize, shift: u32, mask: u32,
): void {
  buckets32(base, n, buckets, planes, shift, mask)
  for (let i: usize = 0; i < n; i++) {
    const bits = load<i32>(base + (i << 2))
    const at = next(buckets, (<u32>bits >> shift) & mask)
    const zigzag = (<u32>load<u8>(at) << 24) | (<u32>load<u8>(at + stride) << 16)
      | (<u32>load<u8>(at + 2 * stride) << 8) | <u32>load<u8>(at + 3 * stride)
    const sum = ordered32(bits) + <i32>((zigzag >> 1) ^ -(zigzag & 1))
    store<i32>(to + (i << 2), ordered32(sum))
  }
}
