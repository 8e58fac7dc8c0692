import { createHash } from 'node:crypto'
import { zstdDecompressSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { CorruptError, FormatVersionError, InvalidInputError } from '../../shared/errors.ts'
import { type Codec, decodeBodyHeader, encodeBodyHeader } from '../../shared/weights/body.ts'
import {
  type Base,
  crc32c,
  decodeBody,
  encodeBody,
  encodeDelta,
  partBody,
  readPartBody,
  sha256Hex,
  hashBody,
} from '../../shared/weights/codec.ts'
import vectors from '../vectors/weights.json' with { type: 'json' }

const plainBytesMax = 4 * 2 ** 20
const errors: Record<string, typeof CorruptError | typeof FormatVersionError> = {
  Corrupt: CorruptError,
  FormatVersion: FormatVersionError,
}
const bytesOf = (base64: string): Buffer => Buffer.from(base64, 'base64')
type Vector = { name: string; body: string; base?: string }
const baseOf = (base64: string | undefined): Base | undefined =>
  base64 === undefined ? undefined : { id: sha256Hex(bytesOf(base64)), plain: bytesOf(base64) }
const text = Buffer.from('a line that repeats\n'.repeat(500))

describe('body headers', () => {
  it.each(vectors.bodies.headers)(
    'is the other implementation’s: $codec',
    ({ codec, plainLength, params, base, header }) => {
      const fields = {
        codec: codec as Codec,
        plainLength,
        params: bytesOf(params),
        ...(base !== undefined && { base: bytesOf(base) }),
      }
      const encoded = encodeBodyHeader(fields)
      expect(Buffer.from(encoded).toString('base64')).toBe(header)
      expect(decodeBodyHeader(Buffer.concat([encoded, text]))).toEqual({ ...fields, payloadOffset: encoded.length })
    },
  )

  it('refuses what the layout cannot hold', () => {
    for (const bad of [
      { codec: 'raw', plainLength: -1 },
      { codec: 'raw', plainLength: 2 ** 53 },
      { codec: 'raw', plainLength: 1, base: new Uint8Array(32) },
      { codec: 'delta', plainLength: 1 },
      { codec: 'delta', plainLength: 1, base: new Uint8Array(31) },
      { codec: 'exp-zstd', plainLength: 1, params: new Uint8Array(65_536) },
    ] as const)
      expect(() => encodeBodyHeader(bad)).toThrow(InvalidInputError)
  })
})

describe('decodeBody', () => {
  it.each<Vector & { codec: string; plain: string }>(vectors.bodies.good)(
    'reads $name',
    ({ codec, plain, body, base }) => {
      expect(decodeBodyHeader(bytesOf(body)).codec).toBe(codec)
      const decoded = decodeBody(bytesOf(body), { plainBytesMax, base: baseOf(base) })
      expect(hashBody(bytesOf(body), { plainBytesMax, base: baseOf(base) })).toBe(sha256Hex(decoded))
      expect(Buffer.from(decoded)).toEqual(bytesOf(plain))
    },
  )

  it.each<Vector & { error: string }>(vectors.bodies.bad)('refuses $name', ({ error, body, base }) => {
    const expected = errors[error]
    if (!expected) throw new Error(`no error ${error}`)
    expect(() => decodeBody(bytesOf(body), { plainBytesMax, base: baseOf(base) })).toThrow(expected)
    expect(() => hashBody(bytesOf(body), { plainBytesMax, base: baseOf(base) })).toThrow(expected)
  })

  it('says which base a delta is against', () => {
    const plain = Buffer.alloc(100, 1)
    const base = { id: sha256Hex(text), plain: text }
    const { body } = encodeDelta(plain, { dtype: 'BF16', base })!
    const other = { id: sha256Hex(plain), plain }
    expect(() => decodeBody(body, { plainBytesMax, base: other })).toThrow(`difference to sha256:${base.id}, not`)
    expect(() => decodeBody(body, { plainBytesMax })).toThrow('must stand alone')
  })

  it('would read the frame with a wide window if its window were not bounded', () => {
    const wide = vectors.bodies.bad.find(({ name }) => name.includes('window'))
    expect(zstdDecompressSync(bytesOf(wide?.body ?? '').subarray(16)).toString()).toBe('hello')
  })
})

describe('encodeBody', () => {
  it('keeps zstd only where it is smaller', () => {
    const packed = encodeBody(text)
    expect(packed.codec).toBe('zstd')
    expect(packed.body.length).toBeLessThan(200)
    const noise = createHash('sha256').update('noise').digest()
    expect(encodeBody(noise)).toMatchObject({ codec: 'raw', body: { length: 16 + noise.length } })
    expect(encodeBody(new Uint8Array(0))).toMatchObject({ codec: 'raw', body: { length: 16 } })
  })

  it('writes a standard frame that knows its length and its checksum', () => {
    const { body } = encodeBody(text, { level: 3 })
    const frame = Buffer.from(body).subarray(16)
    expect(zstdDecompressSync(frame)).toEqual(text)
    const descriptor = frame.readUInt8(4)
    expect({ hasSize: descriptor >> 6 > 0 || (descriptor & 0x20) !== 0, hasChecksum: (descriptor & 4) !== 0 }).toEqual({
      hasSize: true,
      hasChecksum: true,
    })
  })

  it('gives back plain bytes of the largest chunk', () => {
    const plain = Buffer.alloc(plainBytesMax, 'weights')
    const { body } = encodeBody(plain)
    expect(plain.equals(decodeBody(body, { plainBytesMax }))).toBe(true)
    expect(() => decodeBody(body, { plainBytesMax: plainBytesMax - 1 })).toThrow('allowed here')
  })
})

describe('parts', () => {
  const part = { chunks: Array.from({ length: 100 }, (_, index) => ({ id: `sha256:${index}`, length: 4_194_304 })) }

  it('come back by the id of their JSON', () => {
    const { id, body } = partBody(part)
    expect(id).toBe(sha256Hex(Buffer.from(JSON.stringify(part))))
    expect(readPartBody(body, { id, plainBytesMax })).toEqual(part)
  })

  it('are refused where they are another part, not JSON or too large', () => {
    const { id, body } = partBody(part)
    const other = partBody({ chunks: [] })
    expect(() => readPartBody(other.body, { id, plainBytesMax })).toThrow(`the part ${id} holds`)
    expect(() => readPartBody(body, { id, plainBytesMax: 100 })).toThrow(CorruptError)
    const broken = encodeBody(Buffer.from('{"chunks":'))
    const options = { id: sha256Hex(Buffer.from('{"chunks":')), plainBytesMax }
    expect(() => readPartBody(broken.body, options)).toThrow('not JSON')
  })
})

describe('crc32c', () => {
  it('is unsigned and starts anew each time', () => {
    expect([crc32c(Buffer.from('123456789')), crc32c(Buffer.from('123456789')), crc32c(new Uint8Array(0))]).toEqual([
      0xe3069283, 0xe3069283, 0,
    ])
  })
})
