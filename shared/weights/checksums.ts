import { hash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { createMD5, createSHA1, createSHA256, type IHasher } from 'hash-wasm'
import { FormatVersionError } from '../errors.ts'
import type { ChecksumAlgorithm } from '../ports.ts'
import { createCrc } from './crc.ts'

export type CrcAlgorithm = 'CRC64NVME' | 'CRC32' | 'CRC32C'
export type SavableAlgorithm = 'SHA256' | 'SHA1' | 'MD5'
/** `value` is base64 of the big-endian CRC of `length` bytes. */
export type CrcPiece = { value: string; length: number }
/** `digest` is big endian and leaves the state as it was. */
export type RangeCrc = { update(bytes: Uint8Array): void; digest(): Uint8Array }
/** `save` is base64 of the state, which holds up to 63 of the hashed bytes. `digest` leaves the state as it was. */
export type SavableHash = { update(bytes: Uint8Array): void; save(): string; digest(): Uint8Array }

/** Reflected, as in the NVM Command Set specification 1.0, RFC 1952 and RFC 3720. */
const polynomials = { CRC64NVME: 0x9a6c9329ac4bc9b5n, CRC32: 0xedb88320n, CRC32C: 0x82f63b78n }
const crcBytes = { CRC64NVME: 8, CRC32: 4, CRC32C: 4 }

const crcs = {
  CRC64NVME: createCrc(polynomials.CRC64NVME, crcBytes.CRC64NVME * 8),
  CRC32C: createCrc(polynomials.CRC32C, crcBytes.CRC32C * 8),
}

/** One WebAssembly instance for each algorithm: creating one is asynchronous, and a state is only loaded while it works. */
const [sha256, sha1, md5] = await Promise.all([createSHA256(), createSHA1(), createMD5()])
const wasm = { SHA256: sha256, SHA1: sha1, MD5: md5 }

const continueHash = (hasher: IHasher, saved: Uint8Array): SavableHash => {
  let state = saved
  return {
    update: (bytes) => {
      state = hasher.load(state).update(bytes).save()
    },
    save: () => Buffer.from(state).toString('base64'),
    digest: () => hasher.load(state).digest('binary'),
  }
}

const createZlibCrc = (): RangeCrc => {
  let value = 0
  return {
    update: (bytes) => {
      value = crc32(bytes, value)
    },
    digest: () => bigEndian(BigInt(value), crcBytes.CRC32),
  }
}

const createKernelCrc = (algorithm: 'CRC64NVME' | 'CRC32C'): RangeCrc => {
  const { initial, next, finish } = crcs[algorithm]
  let register = initial
  return {
    update: (bytes) => {
      register = next(register, bytes)
    },
    digest: () => bigEndian(finish(register), crcBytes[algorithm]),
  }
}

export const createRangeCrc = (algorithm: CrcAlgorithm): RangeCrc =>
  algorithm === 'CRC32' ? createZlibCrc() : createKernelCrc(algorithm)

/** The CRC of one buffer as an unsigned number. */
export const crcNumber = (algorithm: 'CRC32' | 'CRC32C', bytes: Uint8Array): number => {
  if (algorithm === 'CRC32') return crc32(bytes)
  const { initial, next, finish } = crcs[algorithm]
  return Number(finish(next(initial, bytes)))
}

/** A hash that can go on in another process. */
export const createSavableHash = (algorithm: SavableAlgorithm): SavableHash =>
  continueHash(wasm[algorithm], wasm[algorithm].init().save())

/** Goes on from `save()`. Throws FormatVersionError where another implementation saved it: hash from the start again. */
export const restoreHash = (algorithm: SavableAlgorithm, saved: string): SavableHash => {
  const state = Buffer.from(saved, 'base64')
  try {
    wasm[algorithm].load(state)
  } catch (error) {
    throw new FormatVersionError(`this is no ${algorithm} state of this program: hash the object from its start`, {
      cause: error,
    })
  }
  return continueHash(wasm[algorithm], state)
}

const bigEndian = (value: bigint, bytes: number): Uint8Array =>
  Buffer.from(value.toString(16).padStart(bytes * 2, '0'), 'hex')
const fromBigEndian = (digest: Uint8Array): bigint => BigInt(`0x${Buffer.from(digest).toString('hex')}`)

/** The product of two polynomials modulo the CRC's, all with their bits reflected: x^0 is the top bit. */
const multiply = (algorithm: CrcAlgorithm, a: bigint, b: bigint): bigint => {
  const polynomial = polynomials[algorithm]
  let product = 0n
  let shifted = b
  for (let bit = 1n << BigInt(crcBytes[algorithm] * 8 - 1); bit > 0n; bit >>= 1n) {
    if ((a & bit) !== 0n) product ^= shifted
    shifted = (shifted & 1n) === 0n ? shifted >> 1n : (shifted >> 1n) ^ polynomial
  }
  return product
}

/** Entry k is x^(8 * 2^k): what appending 2^k bytes multiplies a CRC by. */
const powersOf = (algorithm: CrcAlgorithm): readonly bigint[] => {
  const powers = [1n << BigInt(crcBytes[algorithm] * 8 - 1 - 8)]
  for (let k = 1; k < 53; k += 1) powers.push(multiply(algorithm, powers[k - 1] ?? 0n, powers[k - 1] ?? 0n))
  return powers
}
const powers = { CRC64NVME: powersOf('CRC64NVME'), CRC32: powersOf('CRC32'), CRC32C: powersOf('CRC32C') }

const append = (algorithm: CrcAlgorithm, a: bigint, b: bigint, lengthB: number): bigint => {
  if (!Number.isSafeInteger(lengthB) || lengthB < 0) throw new RangeError(`a CRC cannot cover ${lengthB} bytes`)
  let shifted = a
  let left = BigInt(lengthB)
  for (const power of powers[algorithm]) {
    if (left === 0n) break
    if ((left & 1n) === 1n) shifted = multiply(algorithm, power, shifted)
    left >>= 1n
  }
  return shifted ^ b
}

/** The CRC of A followed by B, from the CRCs of both and the bytes of B (zlib's crc32_combine). */
export const combineCrc = (algorithm: CrcAlgorithm, a: Uint8Array, b: Uint8Array, lengthB: number): Uint8Array =>
  bigEndian(append(algorithm, fromBigEndian(a), fromBigEndian(b), lengthB), crcBytes[algorithm])

/** Base64 of the CRC of all pieces in order; of no bytes where there are none. */
export const combinePieces = (algorithm: CrcAlgorithm, pieces: Iterable<CrcPiece>): string => {
  let value = 0n
  for (const piece of pieces)
    value = append(algorithm, value, fromBigEndian(Buffer.from(piece.value, 'base64')), piece.length)
  return Buffer.from(bigEndian(value, crcBytes[algorithm])).toString('base64')
}

const digestOf = (algorithm: ChecksumAlgorithm, bytes: Uint8Array): Buffer => {
  if (algorithm === 'SHA256' || algorithm === 'SHA1' || algorithm === 'MD5')
    return hash(algorithm.toLowerCase(), bytes, 'buffer')
  const crc = createRangeCrc(algorithm)
  crc.update(bytes)
  return Buffer.from(crc.digest())
}

/**
 * The checksum of a multipart object from its parts' digests, as S3 writes it: base64 of the digest of the digests, then
 * `-` and their number. An MD5's is the ETag, which S3 writes in hex.
 */
export const compositeOf = (algorithm: ChecksumAlgorithm, partDigests: readonly Uint8Array[]): string =>
  `${digestOf(algorithm, Buffer.concat(partDigests)).toString('base64')}-${partDigests.length}`
