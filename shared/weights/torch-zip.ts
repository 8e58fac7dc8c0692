import { Readable } from 'node:stream'
import { promisify } from 'node:util'
import yauzl from 'yauzl'
import { readByBlocks } from './block-reader.ts'
import { torchCutter } from './cut.ts'
import { laidOut, type Layout, opaqueDtype, type ReadRange } from './layout.ts'
import { type Storage, storagesOf } from './pickle.ts'
import type { Refusal, Tensor } from './safetensors.ts'

/** Each costs a small read. */
const entriesMax = 20_000
const readsAtOnce = 16
/** That of 5,000 tensors; a hostile one of these bytes makes values of 160 MiB. */
const pickleBytesMax = 2 ** 20
const localHeaderBytes = 30
const elementBytes: ReadonlyMap<string, number> = new Map(
  Object.entries({ F64: 8, I64: 8, U64: 8, C64: 8, F32: 4, I32: 4, U32: 4, F16: 2, BF16: 2, I16: 2, U16: 2 }),
)

class RangeReader extends yauzl.RandomAccessReader {
  readonly #read: ReadRange
  constructor(read: ReadRange) {
    super()
    this.#read = read
  }
  override _readStreamForRange(start: number, end: number): Readable {
    const pieces = async function* (read: ReadRange): AsyncGenerator<Uint8Array> {
      yield await read(start, end)
    }
    return Readable.from(pieces(this.#read))
  }
}

type Entry = { name: string; isStored: boolean; header: number; bytes: number }

/** Where the bytes of an entry begin: after its local header, whose length only the header itself tells. */
const dataStartOf = async (read: ReadRange, { name, header }: Entry): Promise<number> => {
  const bytes = Buffer.from(await read(header, header + localHeaderBytes))
  if (bytes.readUInt32LE(0) !== 0x04_03_4b_50)
    throw new RangeError(`no local header of ${JSON.stringify(name)} at byte ${header}`)
  return header + localHeaderBytes + bytes.readUInt16LE(26) + bytes.readUInt16LE(28)
}

const entriesOf = async (zip: yauzl.ZipFile): Promise<Entry[]> => {
  if (zip.entryCount > entriesMax) throw new RangeError(`it has ${zip.entryCount} entries, more than ${entriesMax}`)
  const entries: Entry[] = []
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  zip.on('error', reject)
  zip.on('end', resolve)
  zip.on('entry', (entry: yauzl.Entry) => {
    entries.push({
      name: entry.fileName,
      isStored: entry.compressionMethod === 0 && !entry.isEncrypted(),
      header: entry.relativeOffsetOfLocalHeader,
      bytes: entry.compressedSize,
    })
    zip.readEntry()
  })
  zip.readEntry()
  await promise
  return entries
}

const tensorOf = (entry: Entry, start: number, storage: Storage | undefined, isLittle: boolean): Tensor => {
  const { name, isStored, bytes } = entry
  const end = start + bytes
  if (!storage?.dtype || !isStored)
    return { name: storage?.tensor ?? name, dtype: opaqueDtype, shape: [bytes], start, end }
  const { dtype, shape, tensor } = storage
  const size = elementBytes.get(dtype) ?? 1
  const isWhole = shape.reduce((product, length) => product * length, size) === bytes
  return {
    name: tensor,
    dtype: isLittle || size === 1 ? dtype : `${dtype}_BE`,
    shape: isWhole ? shape : [Math.floor(bytes / size)],
    start,
    end,
  }
}

/** A pickle that cannot be read costs names and dtypes; the entries are where they are. */
const storagesIn = (pickle: Uint8Array): Map<string, Storage> => {
  try {
    return storagesOf(pickle)
  } catch {
    return new Map()
  }
}

type Found = { entry: Entry; start: number }

const layoutOf = async (found: readonly Found[], size: number, read: ReadRange): Promise<Layout | Refusal> => {
  const pickled = found.find(({ entry }) => /^[^/]+\/data\.pkl$/.test(entry.name))
  if (!pickled?.entry.isStored) return { ok: false, reason: 'it has no data.pkl that PyTorch would have written' }
  const folder = pickled.entry.name.slice(0, -'data.pkl'.length)
  const bytesOf = ({ entry, start }: Found): Promise<Uint8Array> => read(start, start + entry.bytes)
  const storages =
    pickled.entry.bytes > pickleBytesMax ? new Map<string, Storage>() : storagesIn(await bytesOf(pickled))
  const order = found.find(({ entry }) => entry.name === `${folder}byteorder` && entry.bytes <= 16)
  const isLittle = !order || Buffer.from(await bytesOf(order)).toString('latin1') === 'little'
  const tensors = found.map(({ entry, start }) => {
    const key = entry.name.startsWith(`${folder}data/`) ? entry.name.slice(folder.length + 'data/'.length) : undefined
    return tensorOf(entry, start, key === undefined ? undefined : storages.get(key), isLittle)
  })
  return laidOut(torchCutter, 0, tensors, size)
}

const open = promisify<yauzl.RandomAccessReader, number, yauzl.Options, yauzl.ZipFile>(yauzl.fromRandomAccessReader)

/**
 * The storages of a PyTorch zip file of `size` bytes, each as a tensor of its entry's bytes; nothing of its pickle is run.
 * Reads the central directory, data.pkl and each entry's local header. Never throws for what the file holds: one that is
 * cut short, hostile or no PyTorch file is refused with a reason.
 */
export const readTorchZip = async (size: number, given: ReadRange): Promise<Layout | Refusal> => {
  let lost: unknown
  const read: ReadRange = async (start, end) => {
    if (!(start >= 0 && end >= start && end <= size)) throw new RangeError(`[${start}, ${end}) is not in the file`)
    return given(start, end).catch((error: unknown) => {
      lost = error
      throw error
    })
  }
  const reader = new RangeReader(readByBlocks(read, size, { blockBytes: 256 * 1024, blocksMax: 16 }))
  try {
    const zip = await open(reader, size, { lazyEntries: true, autoClose: false })
    const entries = await entriesOf(zip)
    const found: Found[] = []
    for (let first = 0; first < entries.length; first += readsAtOnce)
      found.push(
        ...(await Promise.all(
          entries
            .slice(first, first + readsAtOnce)
            .map(async (entry) => ({ entry, start: await dataStartOf(read, entry) })),
        )),
      )
    return await layoutOf(found, size, read)
  } catch (error) {
    if (lost) throw lost
    return {
      ok: false,
      reason: `the zip file cannot be read: ${error instanceof Error ? error.message : String(error)}`,
    }
  }
}
