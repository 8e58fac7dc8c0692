import { createHash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { createCRC32, createCRC64 } from 'hash-wasm'

export const algorithms = ['CRC64NVME', 'CRC32', 'CRC32C', 'SHA1', 'SHA256'] as const
export type Algorithm = (typeof algorithms)[number]
export type ChecksumType = 'FULL_OBJECT' | 'COMPOSITE'
/** `value` is base64 of the big-endian digest; a composite one ends in `-<number of parts>`. */
export type Checksum = { algorithm: Algorithm; type: ChecksumType; value: string }

export const digestBytes: Record<Algorithm, number> = { CRC64NVME: 8, CRC32: 4, CRC32C: 4, SHA1: 20, SHA256: 32 }

export const isAlgorithm = (name: string): name is Algorithm => (algorithms as readonly string[]).includes(name)

/** The header that carries a checksum, `x-amz-checksum-crc32`; its XML element is `ChecksumCRC32`. */
export const checksumHeader = (algorithm: Algorithm): string => `x-amz-checksum-${algorithm.toLowerCase()}`

export type Digest = { update(bytes: Uint8Array): void; digest(): Buffer }

const crc32Digest = (): Digest => {
  let value = 0
  return {
    update: (bytes) => {
      value = crc32(bytes, value)
    },
    digest: () => {
      const bytes = Buffer.alloc(4)
      bytes.writeUInt32BE(value)
      return bytes
    },
  }
}

const wasmDigest = async (polynomial: '82f63b78' | '9a6c9329ac4bc9b5'): Promise<Digest> => {
  const hasher =
    polynomial.length === 16 ? await createCRC64(polynomial) : await createCRC32(Number.parseInt(polynomial, 16))
  hasher.init()
  return { update: (bytes) => void hasher.update(bytes), digest: () => Buffer.from(hasher.digest('binary')) }
}

export const createDigest = async (algorithm: Algorithm): Promise<Digest> => {
  if (algorithm === 'CRC32') return crc32Digest()
  if (algorithm === 'CRC32C') return wasmDigest('82f63b78')
  if (algorithm === 'CRC64NVME') return wasmDigest('9a6c9329ac4bc9b5')
  return createHash(algorithm.toLowerCase())
}

/** The digest of the concatenated part digests, as S3 writes it. */
export const compositeOf = async (algorithm: Algorithm, parts: string[]): Promise<string> => {
  const digest = await createDigest(algorithm)
  for (const part of parts) digest.update(Buffer.from(part, 'base64'))
  return `${digest.digest().toString('base64')}-${parts.length}`
}

export type Digester = {
  update(bytes: Uint8Array): void
  finish(): { size: number; md5: Buffer; checksums: Map<Algorithm, string> }
}

/** MD5 and the size always, and each of `wanted` once, in one pass. */
export const createDigester = async (wanted: Iterable<Algorithm>): Promise<Digester> => {
  const md5 = createHash('md5')
  const digests = new Map<Algorithm, Digest>()
  for (const algorithm of wanted) digests.set(algorithm, await createDigest(algorithm))
  let size = 0
  return {
    update: (bytes) => {
      size += bytes.length
      md5.update(bytes)
      for (const digest of digests.values()) digest.update(bytes)
    },
    finish: () => ({
      size,
      md5: md5.digest(),
      checksums: new Map([...digests].map(([algorithm, digest]) => [algorithm, digest.digest().toString('base64')])),
    }),
  }
}
