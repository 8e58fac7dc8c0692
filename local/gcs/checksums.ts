import { createHash } from 'node:crypto'
import { createCRC32, type IHasher } from 'hash-wasm'
import { invalid } from './api-error.ts'

const CASTAGNOLI = 0x82f63b78

/** Base64 of the big-endian CRC32C and of the MD5, as the API writes them. */
export type Digests = { crc32c: string; md5Hash: string }
export type BodyHasher = { update(bytes: Uint8Array): void; digest(): Digests }

const idle: IHasher[] = []

/** Both digests of a body in one pass; `digest` ends its use. */
export const createBodyHasher = async (): Promise<BodyHasher> => {
  const crc = idle.pop() ?? (await createCRC32(CASTAGNOLI))
  crc.init()
  const md5 = createHash('md5')
  return {
    update: (bytes) => {
      crc.update(bytes)
      md5.update(bytes)
    },
    digest: () => {
      const crc32c = Buffer.from(crc.digest('binary')).toString('base64')
      idle.push(crc)
      return { crc32c, md5Hash: md5.digest('base64') }
    },
  }
}

/** What the client says of its body: in the metadata or in `x-goog-hash: crc32c=...,md5=...`. */
export type GivenDigests = { crc32c?: string; md5Hash?: string }

export const givenDigests = (meta: Record<string, unknown>, header: string | string[] | undefined): GivenDigests => {
  const text = Array.isArray(header) ? header.join(',') : (header ?? '')
  const crc32c = meta['crc32c'] ?? /crc32c=([^,\s]+)/.exec(text)?.[1]
  const md5Hash = meta['md5Hash'] ?? /md5=([^,\s]+)/.exec(text)?.[1]
  return {
    ...(typeof crc32c === 'string' ? { crc32c } : {}),
    ...(typeof md5Hash === 'string' ? { md5Hash } : {}),
  }
}

export const checkDigests = (given: GivenDigests, found: Digests): void => {
  if (given.crc32c !== undefined && given.crc32c !== found.crc32c)
    throw invalid(`Provided CRC32C "${given.crc32c}" doesn't match calculated CRC32C "${found.crc32c}".`)
  if (given.md5Hash !== undefined && given.md5Hash !== found.md5Hash)
    throw invalid(`Provided MD5 hash "${given.md5Hash}" doesn't match calculated MD5 hash "${found.md5Hash}".`)
}
