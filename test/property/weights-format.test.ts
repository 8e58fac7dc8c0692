import { hash } from 'node:crypto'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { CorruptError, FormatVersionError } from '../../shared/errors.ts'
import { type Codec, decodeBodyHeader, encodeBodyHeader } from '../../shared/weights/body.ts'
import * as checksums from '../../shared/weights/checksums.ts'
import { decodeBody, encodeBody, sha256Hex } from '../../shared/weights/codec.ts'
import * as names from '../../shared/weights/names.ts'

const crcAlgorithm = fc.constantFrom('CRC32' as const, 'CRC32C' as const, 'CRC64NVME' as const)
const bytes = fc.uint8Array({ maxLength: 2000 })
/** Text, so that zstd is chosen as often as raw. */
const plain = fc.oneof(
  bytes,
  fc
    .tuple(bytes, fc.integer({ min: 2, max: 50 }))
    .map(([unit, times]) => Buffer.concat(Array.from({ length: times }, () => unit))),
)
const plainBytesMax = 2 ** 20

type Mutation = { kind: 'flip' | 'header' | 'cut' | 'append'; at: number; bit: number }
const mutate = (body: Uint8Array, { kind, at, bit }: Mutation): Uint8Array => {
  if (kind === 'cut') return body.slice(0, at % body.length)
  if (kind === 'append') return Buffer.concat([body, Buffer.from([at])])
  const mutated = Buffer.from(body)
  const index = at % body.length
  mutated.writeUInt8(mutated.readUInt8(index) ^ (1 << bit), index)
  return mutated
}

/** The bytes, or the error that a reader may answer; any other error is thrown. */
const decodeOrError = (body: Uint8Array, bound: number): Uint8Array | Error => {
  try {
    return decodeBody(body, { plainBytesMax: bound })
  } catch (error) {
    if (error instanceof CorruptError || error instanceof FormatVersionError) return error
    throw error
  }
}
const crcOf = (algorithm: checksums.CrcAlgorithm, data: Uint8Array): Uint8Array => {
  const crc = checksums.createRangeCrc(algorithm)
  crc.update(data)
  return crc.digest()
}

describe('bodies', () => {
  it('decode to what was encoded', () => {
    fc.assert(
      fc.property(plain, fc.integer({ min: 1, max: 5 }), (data, level) => {
        const { codec, body } = encodeBody(data, { level })
        expect(decodeBodyHeader(body)).toMatchObject({ codec, plainLength: data.length })
        expect(body.length).toBeLessThanOrEqual(16 + data.length)
        expect(Buffer.from(data).equals(decodeBody(body, { plainBytesMax }))).toBe(true)
      }),
    )
  })

  it('are refused, or are the same bytes, after any mutation', () => {
    const mutation = fc.oneof(
      fc.record({ kind: fc.constant('flip' as const), at: fc.nat(), bit: fc.nat(7) }),
      fc.record({ kind: fc.constant('header' as const), at: fc.nat(15), bit: fc.nat(7) }),
      fc.record({ kind: fc.constant('cut' as const), at: fc.nat(), bit: fc.constant(0) }),
      fc.record({ kind: fc.constant('append' as const), at: fc.nat(255), bit: fc.constant(0) }),
    )
    fc.assert(
      fc.property(plain, mutation, (data, change) => {
        const { codec, body } = encodeBody(data)
        const decoded = decodeOrError(mutate(body, change), plainBytesMax)
        // Only a flip in a raw payload gives other bytes, of the same length: what the rehash is for.
        const isFlip = codec === 'raw' && change.kind === 'flip' && body.length > 16
        const isAccepted = !(decoded instanceof Error)
        const isSame = isAccepted && sha256Hex(decoded) === sha256Hex(data)
        const isOtherOfLength = isAccepted && isFlip && decoded.length === data.length
        expect(decoded instanceof Error || isSame || isOtherOfLength).toBe(true)
      }),
      { numRuns: 1000 },
    )
  })

  it('of arbitrary bytes are refused or decode within the bound', () => {
    const header = fc
      .tuple(fc.constantFrom<Codec>('raw', 'zstd', 'exp-zstd'), fc.nat(4000))
      .map(([codec, plainLength]) => encodeBodyHeader({ codec, plainLength }))
    fc.assert(
      fc.property(fc.oneof(fc.constant(new Uint8Array(0)), header), bytes, (first, rest) => {
        const decoded = decodeOrError(Buffer.concat([first, rest]), 2000)
        expect(decoded instanceof Error || decoded.length <= 2000).toBe(true)
      }),
      { numRuns: 500 },
    )
  })

  it('have headers that read back', () => {
    const fields = fc.record({
      codec: fc.constantFrom<Codec>('raw', 'zstd', 'exp-zstd', 'delta'),
      plainLength: fc.maxSafeNat(),
      params: fc.uint8Array({ maxLength: 100 }),
      base: fc.uint8Array({ minLength: 32, maxLength: 32 }),
    })
    fc.assert(
      fc.property(fields, bytes, ({ base, ...rest }, payload) => {
        const given = rest.codec === 'delta' ? { ...rest, base } : rest
        const { payloadOffset, ...decoded } = decodeBodyHeader(Buffer.concat([encodeBodyHeader(given), payload]))
        const plainArrays = {
          ...decoded,
          params: Uint8Array.from(decoded.params),
          ...(decoded.base && { base: Uint8Array.from(decoded.base) }),
        }
        expect(plainArrays).toEqual(given)
        expect(payloadOffset).toBe(16 + given.params.length + (rest.codec === 'delta' ? 32 : 0))
      }),
    )
  })
})

/** Keys with what breaks encoders: slashes, dots, percents, control characters, every plane. */
const key = fc.oneof(
  fc.string({ unit: fc.constantFrom('/', '.', '%', '2', 'F', '~', 'a'), maxLength: 12 }),
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.string({ unit: fc.constantFrom('/', 'é', 'x', '😀'), minLength: 100, maxLength: 1200 }),
)
const filled = key.filter((text) => text !== '')
const token = fc.string({ unit: fc.constantFrom('a', '0', '-', '_'), minLength: 1, maxLength: 20 })
const bucket = fc.constantFrom('b', 'models.example', 'b-1')

const expectLegal = (name: string): void => {
  expect(name).toMatch(/^[A-Za-z0-9._~%/-]+$/)
  expect(name.length).toBeLessThanOrEqual(names.nameBytesMax)
  expect(name.startsWith('.well-known/acme-challenge/')).toBe(false)
  for (const segment of name.split('/')) expect(['', '.', '..']).not.toContain(segment)
}
const matches = (field: names.NameField, text: string): boolean =>
  'text' in field ? field.text === text : field.sha256 === hash('sha256', Buffer.from(text))

describe('names', () => {
  it('give keys back', () => {
    fc.assert(
      fc.property(key, (text) => {
        expect(names.decodeKey(names.encodeKey(text))).toBe(text)
      }),
      { numRuns: 1000 },
    )
  })

  it('have no empty or dotted segment in a key', () => {
    fc.assert(
      fc.property(filled, (text) => {
        for (const segment of names.encodeKey(text).split('/')) expect(['', '.', '..']).not.toContain(segment)
      }),
      { numRuns: 1000 },
    )
  })

  it('of records are legal and say what they name', () => {
    fc.assert(
      fc.property(bucket, filled, filled, token, (inBucket, text, version, id) => {
        const object = names.objectManifestName(inBucket, text, version, id)
        const release = names.releaseName(text, version, id)
        const pending = names.pendingName(version, id)
        const deleted = names.deletedName(inBucket, text, version)
        for (const name of [
          object,
          release,
          pending,
          deleted,
          names.waitingName(text, version, id),
          names.failedName(id, id),
        ])
          expectLegal(name)
        const parsed = names.parseObjectManifestName(object)!
        expect([parsed.bucket, parsed.planId]).toEqual([inBucket, id])
        expect(matches(parsed.key, text) && matches(parsed.version, version)).toBe(true)
        const model = names.parseReleaseName(release)!
        expect(matches(model.model, text) && matches(model.version, version) && model.id === id).toBe(true)
        expect(matches(names.parsePendingName(pending)!.version, version)).toBe(true)
        expect(matches(names.parseDeletedName(deleted)!.key, text)).toBe(true)
      }),
      { numRuns: 500 },
    )
  })

  it('of two objects differ', () => {
    const object = fc.tuple(
      bucket,
      fc.string({ unit: fc.constantFrom('/', '.', 'a', '~'), minLength: 1, maxLength: 5 }),
      fc.string({ unit: fc.constantFrom('/', '.', 'a'), minLength: 1, maxLength: 4 }),
      token,
    )
    fc.assert(
      fc.property(object, object, (one, other) => {
        const isSame = one.every((field, index) => field === other[index])
        expect(names.objectManifestName(...one) === names.objectManifestName(...other)).toBe(isSame)
      }),
      { numRuns: 2000 },
    )
  })

  it('parse any text to nothing or to a name that exists', () => {
    const folder = fc.constantFrom(
      'objects/',
      'releases/',
      'pending/',
      'deleted/',
      'failed/',
      'waiting/',
      'chunks/',
      '',
    )
    fc.assert(
      fc.property(
        folder,
        fc.string({ unit: fc.constantFrom('/', '.', 'a', '%', '2', 'E', '~'), maxLength: 14 }),
        (prefix, rest) => {
          const parsed = names.parseObjectManifestName(`${prefix}${rest}.p.json`)
          if (!parsed || !('text' in parsed.key) || !('text' in parsed.version)) return
          expect(names.objectManifestName(parsed.bucket, parsed.key.text, parsed.version.text, parsed.planId)).toBe(
            `${prefix}${rest}.p.json`,
          )
        },
      ),
      { numRuns: 2000 },
    )
  })
})

describe('checksums', () => {
  it('combine to the checksum of the whole', () => {
    fc.assert(
      fc.property(crcAlgorithm, fc.array(bytes, { maxLength: 8 }), (algorithm, parts) => {
        const pieces = parts.map((part) => ({
          value: Buffer.from(crcOf(algorithm, part)).toString('base64'),
          length: part.length,
        }))
        expect(checksums.combinePieces(algorithm, pieces)).toBe(
          Buffer.from(crcOf(algorithm, Buffer.concat(parts))).toString('base64'),
        )
      }),
    )
  })

  it('do not depend on how the bytes come, nor on who else is hashing', () => {
    fc.assert(
      fc.property(
        fc.array(bytes),
        fc.constantFrom('SHA256' as const, 'SHA1' as const, 'MD5' as const),
        (parts, algorithm) => {
          let one = checksums.createSavableHash(algorithm)
          const other = checksums.createSavableHash(algorithm)
          for (const [index, part] of parts.entries()) {
            one.update(part)
            other.update(Buffer.from('other'))
            if (index % 2 === 1) one = checksums.restoreHash(algorithm, one.save())
          }
          expect(Buffer.from(one.digest()).toString('hex')).toBe(hash(algorithm.toLowerCase(), Buffer.concat(parts)))
        },
      ),
    )
  })
})
