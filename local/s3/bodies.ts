import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createReadStream, createWriteStream, mkdirSync, readdirSync, rmSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { finished } from 'node:stream/promises'

const ioBytes = 2 ** 20

export type BodyWriter = {
  id: string
  write(chunk: Uint8Array): Promise<void>
  finish(): Promise<void>
  discard(): Promise<void>
}

/** Bodies as files that never change, each owned by one part of one version or upload. */
export type Bodies = {
  create(): BodyWriter
  /** Bytes [start, end) of a body. */
  read(id: string, start: number, end: number): AsyncIterable<Uint8Array>
  drop(ids: string[]): void
  /** Keeps bodies readable, even when dropped, until the returned function is called. */
  pin(ids: string[]): () => void
}

const openWriter = (id: string, path: string): BodyWriter => {
  const stream = createWriteStream(path, { flags: 'wx', highWaterMark: ioBytes })
  let failure: Error | undefined
  stream.on('error', (error) => (failure = error))
  return {
    id,
    write: async (chunk) => {
      if (failure) throw failure
      if (!stream.write(chunk)) await once(stream, 'drain')
    },
    finish: async () => {
      stream.end()
      await finished(stream)
    },
    discard: async () => {
      stream.destroy()
      if (!stream.closed) await once(stream, 'close')
      await rm(path, { force: true })
    },
  }
}

/** Removes what a killed process left: bodies that were being written, or dropped without being deleted. */
const removeOrphans = (folder: string, isKnown: (id: string) => boolean): void => {
  for (const id of readdirSync(folder)) if (!isKnown(id)) rmSync(join(folder, id), { force: true })
}

export const openBodies = (dir: string, isKnown: (id: string) => boolean): Bodies => {
  const folder = join(dir, 'bodies')
  mkdirSync(folder, { recursive: true })
  removeOrphans(folder, isKnown)
  const pins = new Map<string, number>()
  const dropped = new Set<string>()
  const remove = (id: string): void => {
    rm(join(folder, id), { force: true }).catch((error: unknown) => console.error(`body ${id} stays on disk`, error))
  }
  const unpin = (id: string): void => {
    const left = (pins.get(id) ?? 1) - 1
    if (left > 0) pins.set(id, left)
    else pins.delete(id)
    if (left === 0 && dropped.delete(id)) remove(id)
  }
  return {
    create: () => {
      const id = randomUUID()
      return openWriter(id, join(folder, id))
    },
    read: async function* (id, start, end) {
      if (start < end) yield* createReadStream(join(folder, id), { start, end: end - 1, highWaterMark: ioBytes })
    },
    drop: (ids) => {
      for (const id of ids) {
        if (pins.has(id)) dropped.add(id)
        else remove(id)
      }
    },
    pin: (ids) => {
      for (const id of ids) pins.set(id, (pins.get(id) ?? 0) + 1)
      return () => ids.forEach(unpin)
    },
  }
}
