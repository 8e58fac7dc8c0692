import { isUtf8 } from 'node:buffer'
import { CorruptError, InvalidInputError } from '../errors.ts'

/** Throws InvalidInputError on a lone surrogate, which UTF-8 would replace without a word. */
export const checkWellFormed = (text: string): void => {
  if (!text.isWellFormed()) throw new InvalidInputError(`not a text in UTF-8: ${JSON.stringify(text.slice(0, 100))}`)
}

/** The text's UTF-8 bytes. Throws InvalidInputError on a lone surrogate. */
export const encodeUtf8 = (text: string): Buffer => {
  checkWellFormed(text)
  return Buffer.from(text, 'utf8')
}

/** The text of exactly these bytes, a byte order mark included. Throws CorruptError where they are not UTF-8. */
export const decodeUtf8 = (bytes: Uint8Array): string => {
  if (!isUtf8(bytes)) throw new CorruptError(`not UTF-8: ${Buffer.from(bytes).toString('hex', 0, 50)}`)
  return asBuffer(bytes).toString('utf8')
}

/** Puts surrogates, which stand for code points above U+FFFF, after the code units from U+E000 on. */
const rank = (unit: number): number => {
  if (unit < 0xd800) return unit
  return unit < 0xe000 ? unit + 0x2000 : unit - 0x800
}

/** The order of the UTF-8 bytes, which is DynamoDB's for S; JavaScript's own puts U+1F600 before U+FFFD. */
export const compareUtf8 = (left: string, right: string): number => {
  const length = Math.min(left.length, right.length)
  for (let at = 0; at < length; at++) {
    const [a, b] = [left.charCodeAt(at), right.charCodeAt(at)]
    if (a !== b) return rank(a) - rank(b)
  }
  return left.length - right.length
}

export const compareBytes = (left: Uint8Array, right: Uint8Array): number => Buffer.compare(left, right)

/** The same memory as a Buffer. */
export const asBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
