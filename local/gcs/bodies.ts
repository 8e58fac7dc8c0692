import { randomUUID } from 'node:crypto'
import { createReadStream, linkSync, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs'
import { open, rm, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { createBodyHasher, type BodyHasher, type Digests } from './checksums.ts'

export type StoredBody = { file: string; size: number; digests: Digests }

/** Object bodies as files, immutable once a row names them; memory stays constant whatever their size. */
export type Bodies = {
  path(file: string): string
  create(): string
  size(file: string): number
  /** Appends `source`; what arrived before a failure stays. `hasher` sees every byte that is kept. */
  append(file: string, source: AsyncIterable<Uint8Array>, hasher: BodyHasher): Promise<number>
  /** A hasher that has seen the whole file. */
  hash(file: string): Promise<BodyHasher>
  /** Another name of the same bytes, so that either can be removed alone. */
  link(file: string): string
  truncate(file: string, size: number): Promise<void>
  remove(file: string): Promise<void>
  removeAllBut(known: Set<string>): void
}

const writeFully = async (
  handle: { write(bytes: Uint8Array): Promise<{ bytesWritten: number }> },
  bytes: Uint8Array,
): Promise<void> => {
  for (let rest = bytes; rest.length > 0;) rest = rest.subarray((await handle.write(rest)).bytesWritten)
}

export const openBodies = (dir: string): Bodies => {
  mkdirSync(dir, { recursive: true })
  const path = (file: string): string => join(dir, file)
  return {
    path,
    create: () => randomUUID(),
    size: (file) => statSync(path(file), { throwIfNoEntry: false })?.size ?? 0,
    append: async (file, source, hasher) => {
      const handle = await open(path(file), 'a')
      let size = 0
      try {
        for await (const bytes of source) {
          await writeFully(handle, bytes)
          hasher.update(bytes)
          size += bytes.length
        }
      } finally {
        await handle.close()
      }
      return size
    },
    hash: async (file) => {
      const hasher = await createBodyHasher()
      for await (const bytes of createReadStream(path(file), { highWaterMark: 2 ** 20 })) hasher.update(bytes as Buffer)
      return hasher
    },
    link: (file) => {
      const other = randomUUID()
      linkSync(path(file), path(other))
      return other
    },
    truncate: (file, size) => truncate(path(file), size),
    remove: (file) => rm(path(file), { force: true }),
    removeAllBut: (known) => {
      for (const file of readdirSync(dir)) if (!known.has(file)) rmSync(path(file), { force: true })
    },
  }
}
