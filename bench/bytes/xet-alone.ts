/**
 * What the client of Hugging Face's Xet would send, less its index records: chunks of 64 KiB by content, those not seen before
 * compressed on their own. Takes a file that holds the hashes seen, the file to write, and the files to store.
 */
import { createChunker, finalize, hashToHex, nextBlock } from '@huggingface/xetchunk-wasm'
import { compressFrameSync } from 'lz4-napi'
import { closeSync, openSync, readFileSync, readSync, writeFileSync, writeSync } from 'node:fs'

/** https://huggingface.co/docs/xet/xorb: 1 byte of version, 3 of compressed length, 1 of scheme, 3 of length. */
const chunkHeaderBytes = 8
const blockBytes = 8 * 2 ** 20

/** Every fourth byte together, from the first, the second, the third and the fourth on: BG4 of the format's description. */
const grouped = (bytes: Buffer): Buffer => {
  const out = Buffer.allocUnsafe(bytes.length)
  let at = 0
  for (let first = 0; first < 4; first += 1)
    for (let index = first; index < bytes.length; index += 4) out[at++] = bytes[index] ?? 0
  return out
}

/** The client predicts which of the three is smallest; taking it is at least as good. */
const smallest = (bytes: Buffer): Buffer =>
  [compressFrameSync(bytes), compressFrameSync(grouped(bytes))].reduce(
    (best, one) => (one.length < best.length ? one : best),
    bytes,
  )

const readKnown = (file: string): Set<string> => {
  try {
    return new Set(readFileSync(file, 'utf8').split('\n'))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return new Set()
    throw error
  }
}

function* blocksOf(file: string): Generator<Buffer> {
  const handle = openSync(file, 'r')
  for (;;) {
    const block = Buffer.allocUnsafe(blockBytes)
    const length = readSync(handle, block, 0, blockBytes, null)
    if (length === 0) break
    yield block.subarray(0, length)
  }
  closeSync(handle)
}

const store = (file: string, out: number, known: Set<string>): void => {
  const chunker = createChunker()
  let held: Buffer = Buffer.alloc(0)
  const take = ({ hash, length }: { hash: Uint8Array; length: number }): void => {
    const chunk = held.subarray(0, length)
    held = held.subarray(length)
    const id = hashToHex(hash)
    if (known.has(id)) return
    known.add(id)
    writeSync(out, Buffer.alloc(chunkHeaderBytes))
    writeSync(out, smallest(chunk))
  }
  for (const block of blocksOf(file)) {
    held = Buffer.concat([held, block])
    for (const chunk of nextBlock(chunker, block)) take(chunk)
  }
  const last = finalize(chunker)
  if (last) take(last)
  if (held.length > 0) throw new Error(`${held.length} bytes of ${file} are in no chunk`)
}

if (import.meta.main) {
  const [knownFile = '', outFile = '', ...files] = process.argv.slice(2)
  const known = readKnown(knownFile)
  const out = openSync(outFile, 'w')
  for (const file of files) store(file, out, known)
  closeSync(out)
  writeFileSync(knownFile, [...known].join('\n'))
}
