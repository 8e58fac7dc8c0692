import { describe, expect, it } from 'vitest'
import { CorruptError, InvalidInputError } from '../../shared/errors.ts'
import { compareNumbers, decodeNumber, encodeNumber, normalizeNumber } from '../../shared/features/number.ts'
import { rowVectors as vectors } from '../support/row-vectors.ts'

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex')

describe('numbers', () => {
  it.each(vectors.numbers)('$text is what the other implementation makes of it', ({ text, canonical, bytes }) => {
    expect(normalizeNumber(text)).toBe(canonical)
    expect(encodeNumber(text).toString('hex')).toBe(bytes)
    expect(decodeNumber(hex(bytes))).toEqual({ text: canonical, end: bytes.length / 2 })
  })

  it.each(vectors.refusedNumbers)('%j is refused', (text) => {
    expect(() => normalizeNumber(text)).toThrow(InvalidInputError)
    expect(() => encodeNumber(text)).toThrow(InvalidInputError)
  })

  it.each(['１', '1\n', '٣', '1e5.5', '--1', '1e+', `1${'0'.repeat(200)}x`])('%j is refused', (text) => {
    expect(() => normalizeNumber(text)).toThrow('not a number')
  })

  it('say which side of the range they are on', () => {
    expect(() => normalizeNumber('-1E126')).toThrow("above DynamoDB's range")
    expect(() => normalizeNumber('1E-131')).toThrow("below DynamoDB's range")
    expect(() => normalizeNumber(`1${'0'.repeat(37)}1`)).toThrow('39 significant digits')
  })

  it('sort by value', () => {
    expect(['10', '9', '-1', '0.5', '-10', '0', '1e2'].sort(compareNumbers)).toEqual([
      '-10',
      '-1',
      '0',
      '0.5',
      '9',
      '10',
      '1e2',
    ])
  })

  it.each([
    ['nothing', ''],
    ['an unknown sign', '82 82 0b 00'],
    ['no end', '81 82 0b'],
    ['no digits', '81 82 00'],
    ['no exponent', '81'],
    ['a pair above 99', '81 82 65 00'],
    ['a leading zero', '81 82 02 00'],
    ['a trailing pair of zeros', '81 82 0b 01 00'],
    ['a negative one with a positive end', '7f 7d f4 00'],
    ['40 digits', `81 82 ${'0c'.repeat(20)} 00`],
  ])('with %s are corrupt', (_, bytes) => {
    expect(() => decodeNumber(hex(bytes))).toThrow(CorruptError)
  })
})
