import * as fc from 'fast-check'
import type { AttributeValue, Item } from '../../shared/features/attribute-value.ts'
import type { ItemKey, KeyValue } from '../../shared/features/row-key.ts'

/** Generated DynamoDB values of every shape, and DynamoDB's own notions of order and equality, computed another way. */

// -------------------------------------------------------------------- numbers

type Written = { negative: boolean; digits: string; exponent: number }

const written: fc.Arbitrary<Written> = fc
  .record({
    negative: fc.boolean(),
    digits: fc.oneof(
      fc.stringMatching(/^[1-9]\d{0,3}$/),
      fc.stringMatching(/^[1-9]\d{0,37}$/),
      fc.stringMatching(/^9{30}\d{8}$/),
      fc.stringMatching(/^10{30}\d{7}$/),
    ),
    exponent: fc.oneof(
      fc.integer({ min: -5, max: 5 }),
      fc.integer({ min: -130, max: 125 }),
      fc.constantFrom(-130, 125),
    ),
  })
  .map(({ digits, ...rest }) => ({ ...rest, digits: digits.replace(/0+$/, '') }))

/** The same number in some way that DynamoDB takes: d.ddd × 10^exponent, moved, padded with zeros. */
const spell = ({ negative, digits, exponent }: Written, move: number, zeros: number, plus: boolean): string => {
  const sign = negative ? '-' : plus ? '+' : ''
  const padded = digits + '0'.repeat(Math.max(zeros, move + 1))
  const point = `${'0'.repeat(zeros)}${padded.slice(0, move + 1)}.${padded.slice(move + 1)}`
  return exponent - move === 0 && !plus ? sign + point : `${sign}${point}e${exponent - move}`
}
const spelling = { move: fc.integer({ min: 0, max: 40 }), zeros: fc.nat(5), plus: fc.boolean() }
const zero = fc.constantFrom('0', '-0', '0.00', '0e5', '-0E-200')

export const numberText: fc.Arbitrary<string> = fc.oneof(
  { weight: 1, arbitrary: zero },
  {
    weight: 9,
    arbitrary: fc
      .record({ number: written, ...spelling })
      .map(({ number, move, zeros, plus }) => spell(number, move, zeros, plus)),
  },
)
/** Two texts of one number. */
export const numberTwice: fc.Arbitrary<[string, string]> = fc.oneof(
  fc.tuple(zero, zero).map(([one, two]): [string, string] => [one, two]),
  fc
    .record({ number: written, one: fc.record(spelling), two: fc.record(spelling) })
    .map(({ number, one, two }): [string, string] => [
      spell(number, one.move, one.zeros, one.plus),
      spell(number, two.move, two.zeros, two.plus),
    ]),
)
/** Pairs that are near each other: of few digits, or a unit in the last place apart. */
export const numberPair: fc.Arbitrary<[string, string]> = fc.oneof(
  fc.tuple(numberText, numberText),
  numberTwice,
  fc
    .tuple(fc.integer({ min: -130, max: 130 }), fc.integer({ min: -130, max: 130 }))
    .map(([a, b]): [string, string] => [`${a}e-1`, `${b}e-1`]),
  fc
    .tuple(
      fc.bigInt({ min: -(10n ** 38n) + 2n, max: 10n ** 38n - 2n }),
      fc.constantFrom(-1n, 0n, 1n),
      fc.integer({ min: -80, max: 80 }),
    )
    .map(([number, step, power]): [string, string] => [`${number}e${power}`, `${number + step}e${power}`]),
)

/** The number times 10^400, exactly. */
export const scaled = (text: string): bigint => {
  const [mantissa = '', power = '0'] = text.toLowerCase().split('e')
  const [whole = '', fraction = ''] = mantissa.replace(/^[+-]/, '').split('.')
  const digits = BigInt(`0${whole}${fraction}`)
  const shift = 400 + Number(power) - fraction.length
  const magnitude = digits === 0n ? 0n : shift < 0 ? digits / 10n ** BigInt(-shift) : digits * 10n ** BigInt(shift)
  return mantissa.startsWith('-') ? -magnitude : magnitude
}
export const signOf = (difference: bigint | number): number => (difference < 0 ? -1 : difference > 0 ? 1 : 0)

// ---------------------------------------------------------------------- texts

/** Code points on both sides of the surrogates, which UTF-8 and JavaScript order differently, and NULs. */
const codePoint = fc.constantFrom(
  '\0',
  '\u0001',
  'a',
  'b',
  '\u007F',
  'é',
  '\uD7FF',
  '\uE000',
  '\uFEFF',
  '\uFFFD',
  '\u{10000}',
  '\u{1F600}',
)
export const text: fc.Arbitrary<string> = fc.oneof(
  fc.string({ unit: codePoint, maxLength: 6 }),
  fc.string({ unit: 'binary', maxLength: 20 }),
)
export const binary: fc.Arbitrary<Uint8Array> = fc.oneof(
  fc.uint8Array({ maxLength: 20 }),
  fc.array(fc.constantFrom(0, 1, 2, 0x7f, 0xfe, 0xff), { maxLength: 6 }).map((bytes) => Uint8Array.from(bytes)),
)
export const attributeName: fc.Arbitrary<string> = fc.oneof(
  text.filter((name) => name !== ''),
  fc.constantFrom('__proto__', 'constructor', 'S', '0', '10', '9', 'toString'),
)

// --------------------------------------------------------------------- values

const set = <T>(member: fc.Arbitrary<T>, id: (member: T) => unknown): fc.Arbitrary<T[]> =>
  fc.uniqueArray(member, { minLength: 1, maxLength: 5, selector: id })

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

export const itemOf = (value: fc.Arbitrary<AttributeValue>): fc.Arbitrary<Item> =>
  fc.uniqueArray(fc.tuple(attributeName, value), { maxLength: 5, selector: ([name]) => name }).map(Object.fromEntries)

const valueAt = (depth: number): fc.Arbitrary<AttributeValue> => {
  const leaves: fc.Arbitrary<AttributeValue>[] = [
    text.map((S) => ({ S })),
    numberText.map((N) => ({ N })),
    binary.map((B) => ({ B })),
    fc.boolean().map((BOOL) => ({ BOOL })),
    fc.constant({ NULL: true as const }),
    set(text, (member) => member).map((SS) => ({ SS })),
    set(numberText, scaled).map((NS) => ({ NS })),
    set(binary, hex).map((BS) => ({ BS })),
  ]
  if (depth === 0) return fc.oneof(...leaves)
  const inner = valueAt(depth - 1)
  return fc.oneof(
    ...leaves,
    fc.array(inner, { maxLength: 4 }).map((L) => ({ L })),
    itemOf(inner).map((M) => ({ M })),
  )
}
export const value = valueAt(3)
/** Up to 32 containers around a value: each is a list or a map. */
export const deepValue: fc.Arbitrary<AttributeValue> = fc
  .tuple(value, fc.array(fc.boolean(), { maxLength: 28 }))
  .map(([core, kinds]) =>
    kinds.reduce<AttributeValue>((inner, isList) => (isList ? { L: [inner] } : { M: { d: inner } }), core),
  )
export const item = itemOf(value)

/** Values from so small a world that equal ones are frequent. */
const tinyLeaf: fc.Arbitrary<AttributeValue> = fc.oneof(
  fc.constantFrom('', '1', 'a').map((S) => ({ S })),
  fc.constantFrom('1', '1.0', '10e-1', '0', '-0').map((N) => ({ N })),
  fc.constantFrom('', 'a', '1').map((bytes) => ({ B: Buffer.from(bytes) })),
  fc.boolean().map((BOOL) => ({ BOOL })),
  fc.constant({ NULL: true as const }),
  fc.constantFrom<string[]>(['a', '1'], ['1', 'a'], ['a']).map((SS) => ({ SS })),
  fc.constantFrom<string[]>(['1', '2'], ['2.0', '1'], ['1']).map((NS) => ({ NS })),
  fc.constantFrom(['a', '1'], ['1', 'a']).map((BS) => ({ BS: BS.map((member) => Buffer.from(member)) })),
)
export const tinyItem: fc.Arbitrary<Item> = fc
  .uniqueArray(
    fc.tuple(
      fc.constantFrom('a', 'b'),
      fc.oneof(
        tinyLeaf,
        fc.array(tinyLeaf, { maxLength: 1 }).map((L) => ({ L })),
        tinyLeaf.map((inner) => ({ M: { a: inner } })),
      ),
    ),
    { maxLength: 2, selector: ([name]) => name },
  )
  .map(Object.fromEntries)

const sameSet = <T>(left: T[], right: T[], id: (member: T) => unknown): boolean =>
  left.length === right.length && new Set([...left, ...right].map(id)).size === left.length

/** Equal as DynamoDB has it, straight from its documents: types differ, numbers by value, sets and maps without order. */
export const sameValue = (left: AttributeValue, right: AttributeValue): boolean => {
  if ('S' in left && 'S' in right) return left.S === right.S
  if ('N' in left && 'N' in right) return scaled(left.N) === scaled(right.N)
  if ('B' in left && 'B' in right) return hex(left.B) === hex(right.B)
  if ('BOOL' in left && 'BOOL' in right) return left.BOOL === right.BOOL
  if ('NULL' in left && 'NULL' in right) return true
  if ('SS' in left && 'SS' in right) return sameSet(left.SS, right.SS, (member) => member)
  if ('NS' in left && 'NS' in right) return sameSet(left.NS, right.NS, scaled)
  if ('BS' in left && 'BS' in right) return sameSet(left.BS, right.BS, hex)
  if ('L' in left && 'L' in right)
    return left.L.length === right.L.length && left.L.every((member, index) => sameValue(member, right.L[index]!))
  return 'M' in left && 'M' in right && sameItem(left.M, right.M)
}
export const sameItem = (left: Item, right: Item): boolean =>
  Object.keys(left).length === Object.keys(right).length &&
  Object.entries(left).every(([name, member]) => Object.hasOwn(right, name) && sameValue(member, right[name]!))

const respellNumber = (number: string): string => {
  const [mantissa = '', power = '0'] = number.toLowerCase().split('e')
  return `${mantissa}${mantissa.includes('.') ? '' : '.'}00e${power}`
}

/** The same value with maps and sets in reverse order and numbers spelled otherwise. */
export const respell = (original: AttributeValue): AttributeValue => {
  if ('N' in original) return { N: respellNumber(original.N) }
  if ('SS' in original) return { SS: original.SS.toReversed() }
  if ('NS' in original) return { NS: original.NS.map(respellNumber).toReversed() }
  if ('BS' in original) return { BS: original.BS.toReversed() }
  if ('L' in original) return { L: original.L.map(respell) }
  if ('M' in original) return { M: respellItem(original.M) }
  return original
}
export const respellItem = (original: Item): Item =>
  Object.fromEntries(
    Object.entries(original)
      .map(([name, member]): [string, AttributeValue] => [name, respell(member)])
      .toReversed(),
  )

// ----------------------------------------------------------------------- keys

const long = (bytesMax: number): fc.Arbitrary<Uint8Array> =>
  fc
    .tuple(fc.nat(bytesMax - 1), fc.constantFrom(0, 0x61), fc.constantFrom(0, 0x62), fc.nat(bytesMax - 1))
    .map(([length, most, last, zeros]) => {
      const bytes = new Uint8Array(length + 1).fill(most)
      bytes.fill(0, 0, Math.min(zeros, length))
      bytes[length] = last
      return bytes
    })

const keyValue = (bytesMax: number): fc.Arbitrary<KeyValue> =>
  fc.oneof(
    text.filter((S) => S !== '').map((S) => ({ S })),
    numberText.map((N) => ({ N })),
    binary.filter((B) => B.length > 0).map((B) => ({ B })),
    long(bytesMax).map((B) => ({ B })),
    long(bytesMax).map((B) => ({ S: Buffer.from(B).toString('latin1') })),
  )
export const partitionKey = keyValue(2048)
export const sortKey = keyValue(1024)
export const itemKey: fc.Arbitrary<ItemKey> = fc
  .tuple(partitionKey, fc.option(sortKey, { nil: undefined }))
  .map(([partition, sort]) => (sort ? { partition, sort } : { partition }))

/** Two keys of one type, as the sort keys of a table are; never long. */
export const keyPair: fc.Arbitrary<[KeyValue, KeyValue]> = fc.oneof(
  fc
    .tuple(text, text)
    .filter(([a, b]) => a !== '' && b !== '')
    .map(([a, b]): [KeyValue, KeyValue] => [{ S: a }, { S: b }]),
  numberPair.map(([a, b]): [KeyValue, KeyValue] => [{ N: a }, { N: b }]),
  fc
    .tuple(binary, binary)
    .filter(([a, b]) => a.length * b.length > 0)
    .map(([a, b]): [KeyValue, KeyValue] => [{ B: a }, { B: b }]),
)

const keyBytes = (key: KeyValue): Buffer =>
  Buffer.from('S' in key ? Buffer.from(key.S, 'utf8') : 'B' in key ? key.B : [])

/** DynamoDB's order of two keys of one type: numbers by value, S by UTF-8 bytes, B by unsigned bytes. */
export const compareKeys = (left: KeyValue, right: KeyValue): number => {
  if ('N' in left && 'N' in right) return signOf(scaled(left.N) - scaled(right.N))
  return Buffer.compare(keyBytes(left), keyBytes(right))
}
