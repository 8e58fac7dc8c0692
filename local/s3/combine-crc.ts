import type { Algorithm } from './checksums.ts'

/** Reflected polynomials; bit `width - 1` stands for x^0, so multiplying by x is a shift to the right. */
const polynomials: Partial<Record<Algorithm, { width: bigint; polynomial: bigint }>> = {
  CRC32: { width: 32n, polynomial: 0xedb88320n },
  CRC32C: { width: 32n, polynomial: 0x82f63b78n },
  CRC64NVME: { width: 64n, polynomial: 0x9a6c9329ac4bc9b5n },
}

type Field = { width: bigint; polynomial: bigint }

const multiply = ({ width, polynomial }: Field, a: bigint, b: bigint): bigint => {
  let product = 0n
  let shifted = b
  for (let bit = 1n << (width - 1n); bit > 0n; bit >>= 1n) {
    if (a & bit) product ^= shifted
    shifted = shifted & 1n ? (shifted >> 1n) ^ polynomial : shifted >> 1n
  }
  return product
}

/** x^(8 * bytes) modulo the polynomial: what shifts a CRC past that many zero bytes. */
const shiftOf = (field: Field, bytes: number): bigint => {
  let result = 1n << (field.width - 1n)
  let square = 1n << (field.width - 9n)
  for (let left = BigInt(bytes); left > 0n; left >>= 1n) {
    if (left & 1n) result = multiply(field, result, square)
    square = multiply(field, square, square)
  }
  return result
}

/** The CRC (base64) of the whole from those of its parts: crc(A B) = crc(A) * x^(8|B|) + crc(B). */
export const combineCrcs = (algorithm: Algorithm, parts: { checksum: string; size: number }[]): string => {
  const field = polynomials[algorithm]
  if (!field) throw new Error(`${algorithm} checksums do not combine`)
  const shifts = new Map<number, bigint>()
  let whole = 0n
  for (const part of parts) {
    const shift = shifts.get(part.size) ?? shiftOf(field, part.size)
    shifts.set(part.size, shift)
    const own = BigInt(`0x${Buffer.from(part.checksum, 'base64').toString('hex')}`)
    whole = multiply(field, shift, whole) ^ own
  }
  return Buffer.from(whole.toString(16).padStart(Number(field.width) / 4, '0'), 'hex').toString('base64')
}
