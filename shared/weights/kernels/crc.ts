// AssemblyScript, built by tools/build-kernels.ts: reflected CRCs of up to 64 bits, eight bytes a step in four stripes at once,
// so that no step waits for the one before it. Table k of 256 says what a byte comes to k bytes later.

/** Where the tables are, known to the compiler: an address is then a part of each load. */
@inline const tables: usize = 4096
@inline const data: usize = tables + 8 * 2048

export function fill(polynomial: u64): void {
  for (let byte: u64 = 0; byte < 256; byte++) {
    let crc = byte
    for (let bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (polynomial & -(crc & 1))
    store<u64>(tables + (<usize>byte << 3), crc)
  }
  for (let at = tables; at < tables + 7 * 2048; at += 8) {
    const crc = load<u64>(at)
    store<u64>(at + 2048, (crc >> 8) ^ load<u64>(tables + ((<usize>crc & 0xff) << 3)))
  }
}

@inline function step(crc: u64, at: usize): u64 {
  const x = crc ^ load<u64>(at)
  return load<u64>(<usize>(x << 3) & 0x7f8, tables + 7 * 2048) ^ load<u64>(<usize>(x >> 5) & 0x7f8, tables + 6 * 2048)
    ^ load<u64>(<usize>(x >> 13) & 0x7f8, tables + 5 * 2048) ^ load<u64>(<usize>(x >> 21) & 0x7f8, tables + 4 * 2048)
    ^ load<u64>(<usize>(x >> 29) & 0x7f8, tables + 3 * 2048) ^ load<u64>(<usize>(x >> 37) & 0x7f8, tables + 2 * 2048)
    ^ load<u64>(<usize>(x >> 45) & 0x7f8, tables + 2048) ^ load<u64>(<usize>(x >> 53) & 0x7f8, tables)
}

/** The product of two polynomials modulo the CRC's, where `one` is the bit of x^0. */
function multiply(a: u64, b: u64, polynomial: u64, one: u64): u64 {
  let product: u64 = 0
  for (let bit = one; bit != 0; bit >>= 1) {
    if ((a & bit) != 0) product ^= b
    b = (b >> 1) ^ (polynomial & -(b & 1))
  }
  return product
}

/** x^(8 * bytes): what `bytes` more bytes multiply a CRC by. */
function power(bytes: usize, polynomial: u64, one: u64): u64 {
  let square = one >> 8
  let product = one
  for (let left = bytes; left != 0; left >>= 1) {
    if ((left & 1) != 0) product = multiply(square, product, polynomial, one)
    square = multiply(square, square, polynomial, one)
  }
  return product
}

/** The register after the first `n` bytes of the data; nothing is inverted before or after. */
export function update(polynomial: u64, one: u64, crc: u64, n: usize): u64 {
  let from = data
  const end = from + n
  const stripe = (n >> 2) & ~7
  let a = crc
  if (stripe >= 1024) {
    let b: u64 = 0
    let c: u64 = 0
    let d: u64 = 0
    for (const to = from + stripe; from < to; from += 8) {
      a = step(a, from)
      b = step(b, from + stripe)
      c = step(c, from + 2 * stripe)
      d = step(d, from + 3 * stripe)
    }
    const shift = power(stripe, polynomial, one)
    a = multiply(shift, a, polynomial, one) ^ b
    a = multiply(shift, a, polynomial, one) ^ c
    a = multiply(shift, a, polynomial, one) ^ d
    from += 3 * stripe
  }
  for (; from + 8 <= end; from += 8) a = step(a, from)
  for (; from < end; from++) a = (a >> 8) ^ load<u64>(tables + ((<usize>(a ^ load<u8>(from)) & 0xff) << 3))
  return a
}
