import { CorruptError, InvalidInputError } from '../errors.ts'
import { type ByteWriter, createByteWriter } from './byte-writer.ts'
import { encodeNumber, normalizeNumber } from './number.ts'
import { asBuffer, compareBytes, compareUtf8, decodeUtf8, encodeUtf8 } from './bytes.ts'

/** One DynamoDB value; numbers are text from end to end, since a float would lose digits. */
export type AttributeValue =
  | { S: string }
  | { N: string }
  | { B: Uint8Array }
  | { BOOL: boolean }
  | { NULL: true }
  | { M: Item }
  | { L: AttributeValue[] }
  | { SS: string[] }
  | { NS: string[] }
  | { BS: Uint8Array[] }
/** Attribute values by name. */
export type Item = { [name: string]: AttributeValue }

/**
 * A value as bytes: one tag, an ASCII letter, and what it says. Equal values are equal bytes, whatever the order of
 * their map keys and set members, and no others are.
 *
 *     S  the text in UTF-8                {"S": "hé"}          53 68c3a9
 *     N  canonical text (number.ts)       {"N": "1.50"}        4e 31 2e 35
 *     B  the bytes                        {"B": "AP8="}        42 00ff
 *     T  true, F  false, Z  NULL          {"BOOL": true}       54
 *     L  each value                       {"L": [{"S": "a"}, {"NULL": true}]}
 *                                                              4c 00000002 5361 00000001 5a
 *     M  each name and value              {"M": {"k": {"N": "1"}}}
 *                                                              4d 00000001 6b 00000002 4e31
 *     s  SS, n  NS, b  BS: each member    {"SS": ["b", "a"]}   73 00000001 61 00000001 62
 *
 * Inside L, M and the sets every piece has its length before it, 4 big-endian bytes. Names are sorted by UTF-8 bytes, so
 * are members of SS; those of NS by value, of BS by bytes. Members have no tag: a member of NS is canonical text.
 */
const tags = { S: 0x53, N: 0x4e, B: 0x42, true: 0x54, false: 0x46, NULL: 0x5a, L: 0x4c, M: 0x4d } as const
const setTags = { SS: 0x73, NS: 0x6e, BS: 0x62 } as const

/** DynamoDB stops at 32. Twice that bounds the stack without depending on how it counts. */
export const depthMax = 64

const numberMembers = (members: readonly string[]): Buffer[] =>
  members
    .map((text) => ({ text: Buffer.from(normalizeNumber(text), 'latin1'), order: encodeNumber(text) }))
    .sort((left, right) => compareBytes(left.order, right.order))
    .map(({ text }) => text)

type SetValue = { SS: string[] } | { NS: string[] } | { BS: Uint8Array[] }

/** Payloads of a set's members in canonical order. */
const setMembers = (value: SetValue): Uint8Array[] => {
  if ('NS' in value) return numberMembers(value.NS)
  return ('SS' in value ? value.SS.map(encodeUtf8) : value.BS.slice()).sort(compareBytes)
}

const writeSet = (out: ByteWriter, tag: number, value: SetValue): void => {
  const members = setMembers(value)
  if (members.length === 0) throw new InvalidInputError('a set without members, which DynamoDB does not have')
  out.byte(tag)
  members.forEach((member, index) => {
    const before = members[index - 1]
    if (before && compareBytes(before, member) === 0)
      throw new InvalidInputError(`a set with the same member twice: ${Buffer.from(member).toString('latin1', 0, 100)}`)
    const piece = out.beginPiece()
    out.bytes(member)
    out.endPiece(piece)
  })
}

/** No unit from the surrogates on, where UTF-8 orders as JavaScript does, only faster. */
const isPlainOrder = /^[\0-\uD7FF]*$/

const sortedNames = (map: Item): string[] => {
  const names = Object.keys(map)
  return names.every((name) => isPlainOrder.test(name)) ? names.sort() : names.sort(compareUtf8)
}

const writeMap = (out: ByteWriter, map: Item, depth: number): void => {
  out.byte(tags.M)
  for (const name of sortedNames(map)) {
    const piece = out.beginPiece()
    out.text(name)
    out.endPiece(piece)
    writePiece(out, map[name] as AttributeValue, depth + 1)
  }
}

const writePiece = (out: ByteWriter, value: AttributeValue, depth: number): void => {
  const piece = out.beginPiece()
  writeValue(out, value, depth)
  out.endPiece(piece)
}

const writeText = (out: ByteWriter, tag: number, text: string): void => {
  out.byte(tag)
  out.text(text)
}
const writeBytes = (out: ByteWriter, tag: number, bytes: Uint8Array): void => {
  out.byte(tag)
  out.bytes(bytes)
}

const writeValue = (out: ByteWriter, value: AttributeValue, depth: number): void => {
  if (depth > depthMax) throw new InvalidInputError(`a value nested deeper than ${depthMax} levels`)
  if ('S' in value) return writeText(out, tags.S, value.S)
  if ('N' in value) return writeText(out, tags.N, normalizeNumber(value.N))
  if ('B' in value) return writeBytes(out, tags.B, value.B)
  if ('BOOL' in value) return out.byte(value.BOOL ? tags.true : tags.false)
  if ('NULL' in value) return out.byte(tags.NULL)
  if ('M' in value) return writeMap(out, value.M, depth)
  if ('SS' in value) return writeSet(out, setTags.SS, value)
  if ('NS' in value) return writeSet(out, setTags.NS, value)
  if ('BS' in value) return writeSet(out, setTags.BS, value)
  out.byte(tags.L)
  for (const member of value.L) writePiece(out, member, depth + 1)
}

// One for all, since nothing else runs between its reset and its end.
const scratch = createByteWriter(4096)

/** The bytes of a value. Throws InvalidInputError on what DynamoDB does not have: a bad number, an empty set, a member twice. */
export const encodeValue = (value: AttributeValue): Buffer => {
  scratch.reset()
  writeValue(scratch, value, 0)
  return scratch.finish()
}

// ------------------------------------------------------------------- decoding

const splitPieces = (payload: Buffer): Buffer[] => {
  const pieces: Buffer[] = []
  for (let at = 0; at < payload.length;) {
    const end = at + 4 > payload.length ? Infinity : at + 4 + payload.readUInt32BE(at)
    if (end > payload.length) throw new CorruptError('a piece of an attribute value ends before its length')
    pieces.push(payload.subarray(at + 4, end))
    at = end
  }
  return pieces
}

const checkAscending = <T>(members: readonly T[], compare: (left: T, right: T) => number, what: string): void => {
  members.forEach((member, index) => {
    const before = members[index - 1]
    if (before !== undefined && compare(before, member) >= 0) throw new CorruptError(`${what} out of canonical order`)
  })
}

const decodeNumberText = (payload: Buffer): string => {
  const text = payload.toString('latin1')
  try {
    if (normalizeNumber(text) === text) return text
  } catch (cause) {
    throw new CorruptError(`an N that is not a number: ${JSON.stringify(text.slice(0, 200))}`, { cause })
  }
  throw new CorruptError(`an N that is not in canonical form: ${JSON.stringify(text.slice(0, 200))}`)
}

const decodeMap = (payload: Buffer, depth: number): Item => {
  const pieces = splitPieces(payload)
  if (pieces.length % 2 !== 0) throw new CorruptError('a map with a name and no value')
  const names = pieces.filter((_, index) => index % 2 === 0)
  checkAscending(names, compareBytes, 'names of a map')
  // fromEntries defines each name; assigning to a name like `__proto__` would lose it.
  return Object.fromEntries(
    names.map((name, index) => [decodeUtf8(name), readValue(pieces[2 * index + 1] ?? name, depth + 1)]),
  )
}

const decodeSet = (tag: number, payload: Buffer): AttributeValue => {
  const pieces = splitPieces(payload)
  if (pieces.length === 0) throw new CorruptError('a set without members')
  if (tag === setTags.NS) {
    const numbers = pieces.map(decodeNumberText)
    checkAscending(numbers.map(encodeNumber), compareBytes, 'members of a set')
    return { NS: numbers }
  }
  checkAscending(pieces, compareBytes, 'members of a set')
  if (tag === setTags.SS) return { SS: pieces.map(decodeUtf8) }
  return { BS: pieces.map((piece) => new Uint8Array(piece)) }
}

const readBare = (value: AttributeValue, payload: Buffer): AttributeValue => {
  if (payload.length > 0) throw new CorruptError(`${payload.length} bytes after a value that has none`)
  return value
}

const readValue = (bytes: Buffer, depth: number): AttributeValue => {
  if (depth > depthMax) throw new CorruptError(`a value nested deeper than ${depthMax} levels`)
  const tag = bytes[0] ?? 0
  const payload = bytes.subarray(1)
  switch (tag) {
    case tags.S:
      return { S: decodeUtf8(payload) }
    case tags.N:
      return { N: decodeNumberText(payload) }
    case tags.B:
      return { B: new Uint8Array(payload) }
    case tags.true:
      return readBare({ BOOL: true }, payload)
    case tags.false:
      return readBare({ BOOL: false }, payload)
    case tags.NULL:
      return readBare({ NULL: true }, payload)
    case tags.L:
      return { L: splitPieces(payload).map((piece) => readValue(piece, depth + 1)) }
    case tags.M:
      return { M: decodeMap(payload, depth) }
    case setTags.SS:
    case setTags.NS:
    case setTags.BS:
      return decodeSet(tag, payload)
    default:
      throw new CorruptError(`an attribute value of ${bytes.length} bytes with the unknown tag 0x${tag.toString(16)}`)
  }
}

/** The value of exactly these bytes. Throws CorruptError on any that `encodeValue` does not make. */
export const decodeValue = (bytes: Uint8Array): AttributeValue => readValue(asBuffer(bytes), 0)
