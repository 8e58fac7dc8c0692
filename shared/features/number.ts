import { CorruptError, InvalidInputError } from '../errors.ts'
import { compareBytes } from './bytes.ts'

/**
 * DynamoDB's numbers, as text from end to end: 38 significant digits, of magnitude 1E-130 to 9.99E+125
 * (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html).
 *
 * Canonical text is plain: no exponent, no plus, no superfluous zeros, no minus before 0.
 *
 *     "+007.50" -> "7.5"    "1e3" -> "1000"    "-0.0" -> "0"    "5E-3" -> "0.005"
 *
 * Bytes are as ordered as the numbers, one form for each, none the beginning of another, at most 22 long:
 * sign, exponent, pairs of digits, end. With the number as d.ddd × 10^e: sign is 0x7f, 0x80 (zero, and then nothing
 * follows) or 0x81; exponent is e + 130; a pair of digits 00..99 is 0x01..0x64, the last filled up with a 0; the end is
 * 0x00. What follows a negative sign is complemented (255 minus each byte).
 *
 *     0 -> 80    1 -> 81 82 0b 00    12.3 -> 81 83 0d 1f 00    -1 -> 7f 7d f4 ff    100 -> 81 84 0b 00
 */
const digitsMax = 38
const exponentMin = -130
const exponentMax = 125

/** ±d.ddd × 10^exponent without zeros at either end of `digits`; no digits for zero. */
type Decimal = { negative: boolean; digits: string; exponent: number }

const grammar = /^([+-]?)(?:(\d+)\.?(\d*)|\.(\d+))(?:[eE]([+-]?\d+))?$/
/** What DynamoDB answers; only other forms have to be taken apart. */
const canonical = /^(?:0|-?[1-9]\d{0,37}|-?(?:0|[1-9]\d{0,17})\.\d{0,18}[1-9])$/

const stripZeros = (digits: string): string => {
  let end = digits.length
  while (digits[end - 1] === '0') end--
  return digits.slice(0, end)
}

const parseDecimal = (text: string): Decimal => {
  const shown = JSON.stringify(text.slice(0, 200))
  const [match, sign, whole = '', fraction = '', bare = '', power = '0'] = grammar.exec(text) ?? []
  if (match === undefined) throw new InvalidInputError(`not a number: ${shown}`)
  const all = whole + fraction + bare
  const leadingZeros = /^0*/.exec(all)?.[0].length ?? 0
  const digits = stripZeros(all.slice(leadingZeros))
  if (digits === '') return { negative: false, digits, exponent: 0 }
  const exponent = whole.length - 1 - leadingZeros + Number(power)
  if (exponent > exponentMax) throw new InvalidInputError(`a number above DynamoDB's range (below 1E+126): ${shown}`)
  if (exponent < exponentMin) throw new InvalidInputError(`a number below DynamoDB's range (from 1E-130): ${shown}`)
  if (digits.length > digitsMax)
    throw new InvalidInputError(`a number of ${digits.length} significant digits, DynamoDB has ${digitsMax}: ${shown}`)
  return { negative: sign === '-', digits, exponent }
}

const formatDecimal = ({ negative, digits, exponent }: Decimal): string => {
  if (digits === '') return '0'
  const sign = negative ? '-' : ''
  if (exponent < 0) return `${sign}0.${'0'.repeat(-exponent - 1)}${digits}`
  const whole = digits.slice(0, exponent + 1).padEnd(exponent + 1, '0')
  const fraction = digits.slice(exponent + 1)
  return fraction === '' ? sign + whole : `${sign}${whole}.${fraction}`
}

/** The one text of this number that DynamoDB answers. Throws InvalidInputError on what DynamoDB would refuse. */
export const normalizeNumber = (text: string): string =>
  canonical.test(text) ? text : formatDecimal(parseDecimal(text))

/** Bytes that order as the numbers do. Throws InvalidInputError on what DynamoDB would refuse. */
export const encodeNumber = (text: string): Buffer => {
  const { negative, digits, exponent } = parseDecimal(text)
  if (digits === '') return Buffer.from([0x80])
  const pairs = Math.ceil(digits.length / 2)
  const bytes = Buffer.alloc(pairs + 3)
  bytes[0] = 0x81
  bytes[1] = exponent - exponentMin
  for (let pair = 0; pair < pairs; pair++)
    bytes[pair + 2] = Number(digits.slice(2 * pair, 2 * pair + 2).padEnd(2, '0')) + 1
  if (!negative) return bytes
  const complement = bytes.map((byte) => 0xff - byte)
  complement[0] = 0x7f
  return Buffer.from(complement)
}

/** By value: negative where `left` is the smaller. */
export const compareNumbers = (left: string, right: string): number =>
  compareBytes(encodeNumber(left), encodeNumber(right))

/** The number that begins at `start`, as canonical text, and where it ends. Throws CorruptError on any other bytes. */
export const decodeNumber = (bytes: Uint8Array, start = 0): { text: string; end: number } => {
  const corrupt = (): CorruptError =>
    new CorruptError(`not an encoded number: ${Buffer.from(bytes.subarray(start, start + 23)).toString('hex')}`)
  const sign = bytes[start]
  if (sign === 0x80) return { text: '0', end: start + 1 }
  if (sign !== 0x81 && sign !== 0x7f) throw corrupt()
  const flip = sign === 0x7f ? 0xff : 0
  const exponent = bytes[start + 1]
  let digits = ''
  let at = start + 2
  for (; bytes[at] !== flip; at++) {
    const pair = ((bytes[at] ?? flip) ^ flip) - 1
    if (pair < 0 || pair > 99 || digits.length === digitsMax) throw corrupt()
    digits += String(pair).padStart(2, '0')
  }
  // A pair of zeros at an end would be a second form of the same number, or zero.
  if (exponent === undefined || digits.startsWith('0') || digits === '' || digits.endsWith('00')) throw corrupt()
  const decimal = { negative: flip !== 0, digits: stripZeros(digits), exponent: (exponent ^ flip) + exponentMin }
  return { text: formatDecimal(decimal), end: at + 1 }
}
