import { createHash, hash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { FormatVersionError } from '../../shared/errors.ts'
import * as checksums from '../../shared/weights/checksums.ts'
import vectors from '../vectors/weights.json' with { type: 'json' }

const crcs = ['CRC32', 'CRC32C', 'CRC64NVME'] as const
const savable = ['SHA256', 'SHA1', 'MD5'] as const
const bytesOf = (base64: string): Buffer => Buffer.from(base64, 'base64')
const base64Of = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64')
const crcOf = (algorithm: checksums.CrcAlgorithm, bytes: Uint8Array): Uint8Array => {
  const crc = checksums.createRangeCrc(algorithm)
  crc.update(bytes)
  return crc.digest()
}

describe('CRCs', () => {
  it.each(crcs)('%s has its published check value', (algorithm) => {
    expect(Buffer.from(crcOf(algorithm, Buffer.from('123456789'))).toString('hex')).toBe(vectors.crcs.check[algorithm])
  })

  it.each(vectors.crcs.concatenated)('$algorithm combines', ({ algorithm: name, a, b, crc }) => {
    const algorithm = name as checksums.CrcAlgorithm
    expect(base64Of(crcOf(algorithm, Buffer.concat([bytesOf(a), bytesOf(b)])))).toBe(crc)
    const combined = checksums.combineCrc(
      algorithm,
      crcOf(algorithm, bytesOf(a)),
      crcOf(algorithm, bytesOf(b)),
      bytesOf(b).length,
    )
    expect(base64Of(combined)).toBe(crc)
  })

  it.each(vectors.crcs.far)('$algorithm combines over $length bytes', ({ algorithm: name, a, b, length, crc }) => {
    const algorithm = name as checksums.CrcAlgorithm
    expect(base64Of(checksums.combineCrc(algorithm, bytesOf(a), bytesOf(b), length))).toBe(crc)
    const pieces = [
      { value: a, length: 5 },
      { value: b, length },
    ]
    expect(checksums.combinePieces(algorithm, pieces)).toBe(crc)
  })

  it.each(crcs)('%s of nothing is zero', (algorithm) => {
    const empty = base64Of(checksums.createRangeCrc(algorithm).digest())
    expect(checksums.combinePieces(algorithm, [])).toBe(empty)
    expect(bytesOf(empty).every((byte) => byte === 0)).toBe(true)
  })

  it.each(crcs)('%s runs beside others and goes on after a digest', (algorithm) => {
    const one = checksums.createRangeCrc(algorithm)
    const other = checksums.createRangeCrc(algorithm)
    one.update(Buffer.from('12345'))
    other.update(Buffer.from('something else'))
    one.digest()
    checksums.crcNumber('CRC32C', Buffer.from('between'))
    one.update(Buffer.from('6789'))
    expect(Buffer.from(one.digest()).toString('hex')).toBe(vectors.crcs.check[algorithm])
    expect(one.digest()).toEqual(one.digest())
  })

  it('refuses a length that is no count of bytes', () => {
    for (const length of [-1, 1.5, 2 ** 53, Number.NaN])
      expect(() => checksums.combineCrc('CRC32', new Uint8Array(4), new Uint8Array(4), length)).toThrow(RangeError)
  })
})

describe('hashes that can be saved', () => {
  it.each(savable)('%s goes on in another process as node:crypto would', (algorithm) => {
    const data = Buffer.alloc(1000, 'some bytes of a shard')
    const expected = createHash(algorithm.toLowerCase()).update(data).digest('base64')
    for (const at of [0, 1, 63, 64, 65, 999, 1000]) {
      const first = checksums.createSavableHash(algorithm)
      first.update(data.subarray(0, at))
      const saved = first.save()
      first.update(Buffer.from('this must not reach the saved state'))
      const second = checksums.restoreHash(algorithm, saved)
      second.update(data.subarray(at))
      expect(base64Of(second.digest())).toBe(expected)
      expect(base64Of(second.digest())).toBe(expected)
    }
  })

  it('refuses the state of another algorithm or implementation', () => {
    const saved = checksums.createSavableHash('SHA256').save()
    expect(() => checksums.restoreHash('SHA1', saved)).toThrow(FormatVersionError)
    expect(() => checksums.restoreHash('SHA256', '')).toThrow(FormatVersionError)
    const other = bytesOf(saved)
    other.writeUInt8(other.readUInt8(0) ^ 1, 0)
    expect(() => checksums.restoreHash('SHA256', base64Of(other))).toThrow(FormatVersionError)
  })
})

describe('compositeOf', () => {
  const parts = [Buffer.from('first part'), Buffer.from('second part')]

  it.each(savable)('%s is the hash of the hashes and their number', (algorithm) => {
    const name = algorithm.toLowerCase()
    const digests = parts.map((part) => hash(name, part, 'buffer'))
    expect(checksums.compositeOf(algorithm, digests)).toBe(`${hash(name, Buffer.concat(digests), 'base64')}-2`)
  })

  it.each(['CRC32', 'CRC32C'] as const)('%s is the CRC of the CRCs and their number', (algorithm) => {
    const digests = parts.map((part) => crcOf(algorithm, part))
    expect(checksums.compositeOf(algorithm, digests)).toBe(`${base64Of(crcOf(algorithm, Buffer.concat(digests)))}-2`)
  })

  it('of an MD5 is the ETag in base64', () => {
    // From the S3 documentation's way of counting: two parts, each the MD5 of its bytes.
    const digests = ['00', '01'].map((part) => createHash('md5').update(part).digest())
    const [value, count] = checksums.compositeOf('MD5', digests).split('-')
    const etag = createHash('md5').update(Buffer.concat(digests)).digest('hex')
    expect(`${bytesOf(value ?? '').toString('hex')}-${count}`).toBe(`${etag}-2`)
  })
})
