import { createReadStream } from 'node:fs'
import { InvalidInputError } from '../../shared/errors.ts'
import { decodeUtf8 } from '../../shared/features/bytes.ts'

/** An item of 400 KiB in DynamoDB's JSON takes less, whatever it consists of. */
const lineBytesMax = 16 * 2 ** 20
const newline = 0x0a

export type Line = { number: number; text: string }

const toLine = (file: string, number: number, parts: readonly Buffer[]): Line => {
  try {
    return { number, text: decodeUtf8(Buffer.concat(parts)) }
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new InvalidInputError(`${file}:${number}: ${reason}: save the file as UTF-8`, { cause })
  }
}

/** The lines of a file, one in memory at a time, without blank ones. Throws InvalidInputError naming the line. */
export async function* linesOf(file: string): AsyncGenerator<Line> {
  let parts: Buffer[] = []
  let bytes = 0
  let number = 1
  for await (const part of createReadStream(file, { highWaterMark: 256 * 1024 }) as AsyncIterable<Buffer>) {
    let at = 0
    while (at < part.length) {
      const found = part.indexOf(newline, at)
      const end = found < 0 ? part.length : found
      bytes += end - at
      if (bytes > lineBytesMax)
        throw new InvalidInputError(`${file}:${number}: more than ${lineBytesMax} bytes: write one item on each line`)
      if (end > at) parts.push(part.subarray(at, end))
      at = end + 1
      if (found < 0) break
      const line = toLine(file, number, parts)
      if (line.text.trim() !== '') yield line
      number += 1
      parts = []
      bytes = 0
    }
  }
  const last = toLine(file, number, parts)
  if (last.text.trim() !== '') yield last
}
