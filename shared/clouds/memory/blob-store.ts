import { createHash } from 'node:crypto'
import { ConflictError, CorruptError, DeniedError, NotFoundError } from '../../errors.ts'
import type { BlobStat, BlobStore } from '../../ports.ts'
import { copyOf } from './copy-of.ts'
import { crcNumber } from '../../weights/checksums.ts'

type Stored = { stat: BlobStat; body: Uint8Array }

/** The store with what only a test may do. */
export type MemoryBlobStore = BlobStore & {
  /** In UTF-8 order. */
  names(): string[]
  /** Replaces the bytes and leaves every digest and generation as it was, as a disk would that lies. */
  corrupt(name: string, change: (body: Uint8Array) => Uint8Array): void
  /** What the collector does: the name is free again. */
  remove(name: string): void
}

const byUtf8 = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b))

const changed = (stat: BlobStat, change: Parameters<BlobStore['update']>[1]): BlobStat => {
  const { metadata, retainUntil } = change
  if (retainUntil !== undefined && retainUntil < (stat.retainUntil ?? 0))
    throw new DeniedError(`update ${stat.name}: its retention can only be extended`)
  const merged = Object.entries({ ...stat.metadata, ...metadata }).filter(
    (entry): entry is [string, string] => entry[1] !== null,
  )
  return {
    ...stat,
    metadata: Object.fromEntries(merged),
    ...(retainUntil === undefined ? {} : { retainUntil }),
    metageneration: String(Number(stat.metageneration) + 1),
  }
}

/** A BlobStore in memory. `canUpdate` and `canList` false refuse as a role without that permission is refused. */
export const createMemoryBlobStore = (
  options: { now?: () => number; canUpdate?: boolean; canList?: boolean } = {},
): MemoryBlobStore => {
  const { now = Date.now, canUpdate = true, canList = true } = options
  const blobs = new Map<string, Stored>()
  let generation = 0
  const missing = (operation: string, name: string): void => {
    if (!canList) throw new DeniedError(`${operation} ${name}: no list permission, so it may or may not exist`)
  }
  const require = (name: string): Stored => {
    const stored = blobs.get(name)
    if (!stored) throw new NotFoundError(`${name} does not exist`)
    return stored
  }
  return {
    stat: async (name) => {
      const stored = blobs.get(name)
      if (!stored) missing('stat', name)
      return stored && copyOf(stored.stat)
    },
    create: async (name, body, created = {}) => {
      if (blobs.has(name)) return undefined
      const crc32c = crcNumber('CRC32C', body)
      if (created.crc32c !== undefined && created.crc32c !== crc32c)
        throw new CorruptError(`create ${name}: crc32c ${created.crc32c} was given, the bytes have ${crc32c}`)
      generation += 1
      const stat: BlobStat = {
        name,
        size: body.length,
        crc32c,
        md5: createHash('md5').update(body).digest('base64'),
        generation: String(generation),
        metageneration: '1',
        metadata: { ...created.metadata },
        createdAt: now(),
      }
      blobs.set(name, { stat, body: Uint8Array.from(body) })
      return copyOf(stat)
    },
    read: async (name, wanted = {}) => {
      const stored = blobs.get(name)
      if (!stored || (wanted.generation !== undefined && wanted.generation !== stored.stat.generation)) {
        missing('read', name)
        return undefined
      }
      if (stored.body.length > (wanted.bytesMax ?? Infinity))
        throw new CorruptError(`read ${name}: more than the ${wanted.bytesMax} bytes it may have`)
      return Uint8Array.from(stored.body)
    },
    list: async function* (prefix, { from = '' } = {}) {
      if (!canList) throw new DeniedError(`list ${prefix}: no list permission`)
      const isListed = (name: string): boolean => name.startsWith(prefix) && byUtf8(name, from) >= 0
      for (const name of [...blobs.keys()].filter(isListed).sort(byUtf8)) {
        const stored = blobs.get(name)
        if (stored) yield copyOf(stored.stat)
      }
    },
    update: async (blob, change) => {
      if (!canUpdate) throw new DeniedError(`update ${blob.name}: no update permission`)
      if (!blobs.has(blob.name)) missing('update', blob.name)
      const stored = require(blob.name)
      const { stat } = stored
      if (stat.generation !== blob.generation || stat.metageneration !== blob.metageneration)
        throw new ConflictError(`update ${blob.name}: it is at ${stat.generation}/${stat.metageneration} now`)
      stored.stat = changed(stat, change)
      return copyOf(stored.stat)
    },
    names: () => [...blobs.keys()].sort(byUtf8),
    corrupt: (name, change) => {
      const stored = require(name)
      stored.body = change(Uint8Array.from(stored.body))
    },
    remove: (name) => {
      if (!blobs.delete(name)) throw new NotFoundError(`${name} does not exist`)
    },
  }
}
