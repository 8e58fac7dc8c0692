import { createReadStream } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { CorruptError } from '../shared/errors.ts'
import type { BlobStat, BlobStore, ObjectSource, SourceObject } from '../shared/ports.ts'

/** A source and a replica on this disk, which take next to nothing of the machine that is measured. */

const readBytes = 2 ** 20

const unused = (name: string) => (): never => {
  throw new Error(`${name} of the disk is not for a benchmark`)
}

/** One object: what `object` says, its bytes those of the file. */
export const createDiskSource = (file: string, object: SourceObject): ObjectSource => ({
  head: async () => object,
  read: (_object, start, end, signal) =>
    createReadStream(file, { start, end: end - 1, highWaterMark: readBytes, ...(signal && { signal }) }),
  parts: unused('parts'),
  versions: unused('versions'),
  versionPages: unused('versionPages'),
})

const statOf = (name: string, size: number, crc32c: number): BlobStat => ({
  name,
  size,
  crc32c,
  generation: '1',
  metageneration: '1',
  metadata: {},
  createdAt: 0,
})

/** A replica in a folder, without checksums of its own. */
export const createDiskStore = (folder: string): BlobStore => ({
  stat: async () => undefined,
  create: async (name, body, options = {}) => {
    const file = join(folder, name)
    await mkdir(dirname(file), { recursive: true })
    await writeFile(file, body)
    return statOf(name, body.length, options.crc32c ?? 0)
  },
  read: async (name, { bytesMax = Number.POSITIVE_INFINITY } = {}) => {
    const body = await readFile(join(folder, name))
    if (body.length > bytesMax) throw new CorruptError(`${name} has more than ${bytesMax} bytes`)
    return body
  },
  list: unused('list'),
  update: unused('update'),
})
