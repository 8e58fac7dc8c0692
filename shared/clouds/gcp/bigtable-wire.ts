/**
 * The mutations of a row as protobuf, beside which a request is a few small fields: written straight from the cells, they
 * cost a fraction of what the SDK takes to copy them into messages first. Numbers of the fields are those of
 * https://github.com/googleapis/googleapis/blob/master/google/bigtable/v2/data.proto (Mutation).
 */

/** Sets a cell, its qualifier as a latin1 string of its bytes; without one, everything of the family goes. */
export type Mutation = { family: string; qualifier?: string; value?: Uint8Array }

/** Field number and wire type 2 (a length, then so many bytes) or 0 (a number), in one byte. */
const lengthField = (number: number): number => (number << 3) | 2
const numberField = (number: number): number => number << 3
const tags = {
  setCell: lengthField(1),
  deleteFromFamily: lengthField(3),
  family: lengthField(1),
  qualifier: lengthField(2),
  timestampMicros: numberField(3),
  value: lengthField(4),
} as const

/** Seven bits a byte, the lowest first; all bytes but the last have the eighth. */
export const encodeVarint = (value: number): Buffer => {
  const bytes: number[] = []
  let rest = BigInt.asUintN(64, BigInt(value))
  for (; rest > 0x7fn; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80)
  return Buffer.from([...bytes, Number(rest)])
}

const varintLength = (length: number): number => {
  if (length < 0x80) return 1
  if (length < 0x4000) return 2
  if (length < 0x20_0000) return 3
  return length < 0x1000_0000 ? 4 : 5
}

const writeLength = (out: Buffer, start: number, length: number): number => {
  let at = start
  let rest = length
  for (; rest > 0x7f; rest >>>= 7) out[at++] = (rest & 0x7f) | 0x80
  out[at++] = rest
  return at
}

const sized = (length: number): number => 1 + varintLength(length) + length
const nothing = Buffer.alloc(0)

/** Bytes of the SetCell or DeleteFromFamily message. */
const bodyLength = ({ family, qualifier, value = nothing }: Mutation, timestamp: Buffer): number =>
  qualifier === undefined
    ? sized(family.length)
    : sized(family.length) + sized(qualifier.length) + 1 + timestamp.length + sized(value.length)

const writeText = (out: Buffer, start: number, tag: number, text: string): number => {
  out[start] = tag
  const at = writeLength(out, start + 1, text.length)
  out.write(text, at, 'latin1')
  return at + text.length
}

const writeBytes = (out: Buffer, start: number, tag: number, bytes: Uint8Array): number => {
  out[start] = tag
  const at = writeLength(out, start + 1, bytes.length)
  out.set(bytes, at)
  return at + bytes.length
}

const writeBody = (out: Buffer, start: number, mutation: Mutation, timestamp: Buffer): number => {
  const { family, qualifier, value = nothing } = mutation
  let at = writeText(out, start, tags.family, family)
  if (qualifier === undefined) return at
  at = writeText(out, at, tags.qualifier, qualifier)
  out[at] = tags.timestampMicros
  out.set(timestamp, at + 1)
  return writeBytes(out, at + 1 + timestamp.length, tags.value, value)
}

/** The mutations in their order, each a value of the repeated field `number` (1 to 15) of the message around them. */
export const encodeMutations = (number: number, mutations: readonly Mutation[], timestampMicros: number): Buffer => {
  const timestamp = encodeVarint(timestampMicros)
  const lengths = mutations.map((mutation) => bodyLength(mutation, timestamp))
  const out = Buffer.allocUnsafe(lengths.reduce((sum, length) => sum + sized(sized(length)), 0))
  let at = 0
  mutations.forEach((mutation, index) => {
    const length = lengths[index] ?? 0
    out[at] = lengthField(number)
    at = writeLength(out, at + 1, sized(length))
    out[at] = mutation.qualifier === undefined ? tags.deleteFromFamily : tags.setCell
    at = writeBody(out, writeLength(out, at + 1, length), mutation, timestamp)
  })
  return out
}

/** Bytes, or a message inside of a message, as the field `number` (1 to 15). */
export const encodeField = (number: number, parts: readonly Uint8Array[]): Buffer => {
  const length = parts.reduce((sum, part) => sum + part.length, 0)
  const out = Buffer.allocUnsafe(sized(length))
  out[0] = lengthField(number)
  let at = writeLength(out, 1, length)
  for (const part of parts) {
    out.set(part, at)
    at += part.length
  }
  return out
}
