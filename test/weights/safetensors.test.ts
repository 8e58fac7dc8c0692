import { describe, expect, it } from 'vitest'
import { headerBytesMax, headerLength, parseSafetensors } from '../../shared/weights/safetensors.ts'
import vectors from '../vectors/weights.json' with { type: 'json' }

const lengthOf = (bytes: bigint): Uint8Array => {
  const first8 = Buffer.alloc(8)
  first8.writeBigUInt64LE(bytes)
  return first8
}
const headerOf = (json: string): Uint8Array =>
  Buffer.concat([lengthOf(BigInt(Buffer.byteLength(json))), Buffer.from(json)])
const reasonOf = (json: string, dataBytes: number): string => {
  const header = headerOf(json)
  const parsed = parseSafetensors(header, header.length + dataBytes)
  return parsed.ok ? 'accepted' : parsed.reason
}
const tensor = (begin: number, end: number, shape = [end - begin], dtype = 'U8'): object => ({
  dtype,
  shape,
  data_offsets: [begin, end],
})
const fileOf = (tensors: Record<string, unknown>): string => JSON.stringify(tensors)

describe('headerLength', () => {
  it('answers the length of the JSON', () => {
    expect(headerLength(lengthOf(100n), 108)).toEqual({ ok: true, bytes: 100 })
    expect(headerLength(lengthOf(0n), 8)).toEqual({ ok: true, bytes: 0 })
  })

  it.each([
    ['a file of 7 bytes', lengthOf(0n).subarray(0, 7), 7, 'ends inside'],
    ['7 bytes of a larger file', lengthOf(0n).subarray(0, 7), 100, 'ends inside'],
    ['2^63', lengthOf(2n ** 63n), 2 ** 40, 'more than the limit'],
    ['2^64 - 1', lengthOf(2n ** 64n - 1n), 2 ** 40, 'more than the limit'],
    ['one byte above the limit', lengthOf(BigInt(headerBytesMax) + 1n), 2 ** 40, 'more than the limit'],
    ['one byte past the end', lengthOf(93n), 100, 'past the end'],
  ])('refuses %s', (_name, first8, fileSize, reason) => {
    const answer = headerLength(first8, fileSize)
    expect(answer).toMatchObject({ ok: false, reason: expect.stringContaining(reason) as string })
  })
})

describe('parseSafetensors', () => {
  it('reads what the other implementation wrote', () => {
    const { header, fileSize, tensors } = vectors.safetensors
    const bytes = Buffer.from(header, 'base64')
    const parsed = parseSafetensors(bytes, fileSize)
    if (!parsed.ok) throw new Error(parsed.reason)
    expect(parsed.dataStart).toBe(bytes.length)
    expect(parsed.metadata).toEqual({ format: 'pt', naïve: '✓' })
    expect(parsed.tensors.map(({ name, dtype, start, end }) => [name, dtype, start, end])).toEqual(tensors)
  })

  it('ignores bytes after the header and sorts by start, zero sizes first', () => {
    const header = headerOf(fileOf({ b: tensor(3, 5), empty: tensor(3, 3), a: tensor(0, 3) }))
    const parsed = parseSafetensors(Buffer.concat([header, Buffer.from('abcde')]), header.length + 5)
    expect(parsed.ok && parsed.tensors.map(({ name }) => name)).toEqual(['a', 'empty', 'b'])
  })

  it.each([
    ['no tensors', '{}', 0],
    ['spaces after the object', '{}   ', 0],
    ['a scalar', fileOf({ a: tensor(0, 8, [], 'F64') }), 8],
    ['half-byte elements', fileOf({ a: tensor(0, 3, [2, 3], 'F4') }), 3],
    ['six-bit elements', fileOf({ a: tensor(0, 3, [4], 'F6_E2M3') }), 3],
    ['an unknown dtype as opaque', fileOf({ a: tensor(0, 3, [99], 'Q_FUTURE') }), 3],
    ['names that are special to JavaScript', '{"__proto__":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', 1],
    [
      'keys that repeat further inside',
      '{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":{"a":"{,\\"a\\":"}}}',
      1,
    ],
  ])('accepts %s', (_name, json, dataBytes) => {
    expect(reasonOf(json, dataBytes)).toBe('accepted')
  })

  it.each([
    ['an empty header', '', 0, 'begin with {'],
    ['a list', '[]', 0, 'begin with {'],
    ['JSON cut short', '{"a":', 0, 'not valid JSON'],
    ['a tensor that is no object', '{"a":[1]}', 0, 'is not an object'],
    [
      'a repeated name',
      `{"a":${fileOf(tensor(0, 2) as Record<string, unknown>)},"\\u0061":{}}`,
      2,
      '"a" appears twice',
    ],
    ['no dtype', '{"a":{"shape":[1],"data_offsets":[0,1]}}', 1, 'dtype'],
    ['a dtype that is a number', '{"a":{"dtype":8,"shape":[1],"data_offsets":[0,1]}}', 1, 'dtype'],
    ['a shape of fractions', fileOf({ a: tensor(0, 1, [1.5]) }), 1, 'shape'],
    ['a shape of more dimensions than a tensor has', fileOf({ a: tensor(0, 1, Array(65).fill(1)) }), 1, 'dimensions'],
    ['a negative shape', fileOf({ a: tensor(0, 1, [-1]) }), 1, 'shape'],
    ['a shape that is no list', '{"a":{"dtype":"U8","shape":1,"data_offsets":[0,1]}}', 1, 'shape'],
    ['a shape above 2^53', '{"a":{"dtype":"U8","shape":[9007199254740993],"data_offsets":[0,1]}}', 1, 'shape'],
    ['too many elements', fileOf({ a: tensor(0, 1, [2 ** 30, 2 ** 30], 'Q_FUTURE') }), 1, 'too many elements'],
    ['three offsets', '{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1,2]}}', 1, 'not a pair'],
    ['a negative offset', fileOf({ a: tensor(-1, 1, [2]) }), 1, 'whole numbers'],
    ['an offset above 2^53', '{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1e17]}}', 1, 'whole numbers'],
    ['begin after end', fileOf({ a: tensor(2, 1, [1]) }), 2, 'after their end'],
    ['an end past the file', fileOf({ a: tensor(0, 3) }), 2, 'past the 2 bytes'],
    ['an overlap', fileOf({ a: tensor(0, 3), b: tensor(2, 4) }), 4, '"b" overlaps'],
    ['a hole at the start', fileOf({ a: tensor(1, 3) }), 3, 'hole of 1 bytes'],
    ['a hole between', fileOf({ a: tensor(0, 1), b: tensor(2, 4) }), 4, 'before tensor "b"'],
    ['data after the last tensor', fileOf({ a: tensor(0, 3) }), 4, 'the file at'],
    ['data and no tensors', '{}', 1, 'the file at'],
    ['a shape larger than its bytes', fileOf({ a: tensor(0, 3, [2], 'BF16') }), 3, '2 elements of BF16'],
    ['half-byte elements that do not fill a byte', fileOf({ a: tensor(0, 1, [1], 'F4') }), 1, '1 elements of F4'],
    ['metadata that is no object', '{"__metadata__":[]}', 0, '__metadata__'],
    ['metadata that is not text', '{"__metadata__":{"a":1}}', 0, '"a" is not a string'],
  ])('refuses %s', (_name, json, dataBytes, reason) => {
    expect(reasonOf(json, dataBytes)).toContain(reason)
  })

  it('refuses bytes that are not UTF-8, a byte order mark and a header that was not read whole', () => {
    const broken = Buffer.concat([lengthOf(3n), Buffer.from([0x7b, 0xff, 0x7d])])
    expect(parseSafetensors(broken, 11)).toMatchObject({ reason: 'the header is not UTF-8' })
    expect(reasonOf('\ufeff{}', 0)).toContain('begin with {')
    expect(parseSafetensors(headerOf('{}').subarray(0, 9), 10)).toMatchObject({
      reason: expect.stringContaining('truncated') as string,
    })
  })

  it('shortens a name in a reason', () => {
    expect(reasonOf(fileOf({ [`n${'x'.repeat(5000)}`]: 1 }), 0).length).toBeLessThan(200)
  })
})
