import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openDisk } from '../../cli/disk.ts'
import { createMemoryBlobStore, type MemoryBlobStore } from '../../shared/clouds/memory/blob-store.ts'
import {
  ChecksumMismatchError,
  CorruptError,
  FormatVersionError,
  TargetDiskError,
  UnavailableError,
  UnsafePathError,
} from '../../shared/errors.ts'
import type { BlobStore } from '../../shared/ports.ts'
import { compositeOf, createRangeCrc } from '../../shared/weights/checksums.ts'
import { sha256Hex } from '../../shared/weights/codec.ts'
import { restoreFiles, type RestoreOptions, type RestoreTarget } from '../../shared/weights/restore.ts'
import type { RestoreDisk } from '../../shared/weights/restore-disk.ts'
import { crc64, noise, publishedAt, type WrittenObject, writeObject } from '../support/replica.ts'

let dir: string
let store: MemoryBlobStore
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'lifeboat-restore-'))
  store = createMemoryBlobStore()
})
afterEach(() => rm(dir, { recursive: true, force: true }))

const targetOf = (object: WrittenObject, path: string): RestoreTarget => ({
  path,
  size: object.manifest.size,
  manifest: object.name,
  manifestDigest: object.digest,
})

const options = (change: Partial<RestoreOptions> = {}): RestoreOptions => ({
  overwrite: false,
  allowCaseCollisions: false,
  ...change,
})

const restore = async (targets: RestoreTarget[], change: Partial<RestoreOptions> = {}, from: BlobStore = store) =>
  restoreFiles(from, await openDisk(dir), targets, options(change))

const read = (path: string): Promise<Buffer> => readFile(join(dir, path))
const listing = async (): Promise<string[]> => (await readdir(dir, { recursive: true })).sort()

/** Fails the read of a chunk after so many of them. */
const failingAfter = (reads: number, error: () => Error): BlobStore & { chunkReads: () => number } => {
  let count = 0
  return {
    ...store,
    read: async (name, wanted) => {
      if (name.startsWith('chunks/')) {
        count += 1
        if (count > reads) throw error()
      }
      return store.read(name, wanted)
    },
    chunkReads: () => count,
  }
}

describe('what is restored', () => {
  test('is the same bytes, with the time of the source, proved by its checksum', async () => {
    const big = await writeObject(store, { key: 'a/big', bytes: noise(12_345, 1), indexed: true })
    const empty = await writeObject(store, { key: 'a/empty', bytes: new Uint8Array() })
    const folder = await writeObject(store, { key: 'a/sub/', bytes: new Uint8Array() })
    let progress = 0
    const files = await restore([targetOf(big, 'deep/er/big'), targetOf(empty, 'empty'), targetOf(folder, 'sub/')], {
      onBytes: (bytes) => (progress += bytes),
    })
    expect(files).toEqual([
      { path: 'deep/er/big', bytes: 12_345, outcome: 'restored', provedBy: 'source checksum', fetchedBytes: 12_345 },
      { path: 'empty', bytes: 0, outcome: 'restored', provedBy: 'source checksum', fetchedBytes: 0 },
    ])
    expect(progress).toBe(12_345)
    expect(await read('deep/er/big')).toEqual(Buffer.from(big.bytes))
    expect((await stat(join(dir, 'deep/er/big'))).mtime.toISOString()).toBe(publishedAt)
    expect(await listing()).toEqual(['deep', 'deep/er', 'deep/er/big', 'empty', 'sub'])
  })

  test('is proved by a composite checksum where the manifest has the part sizes', async () => {
    const bytes = noise(5000, 3)
    const part = (from: number, to: number): Uint8Array => {
      const crc = createRangeCrc('CRC32')
      crc.update(bytes.subarray(from, to))
      return crc.digest()
    }
    const value = compositeOf('CRC32', [part(0, 2200), part(2200, 4400), part(4400, 5000)])
    const verified = { algorithm: 'CRC32', type: 'COMPOSITE', value } as const
    const parts: [number, number][] = [
      [2200, 2],
      [600, 1],
    ]
    const proved = await writeObject(store, { key: 'a', bytes, change: { checksums: { source: [], verified, parts } } })
    const unproved = await writeObject(store, { key: 'b', bytes, change: { checksums: { source: [], verified } } })
    const files = await restore([targetOf(proved, 'a'), targetOf(unproved, 'b')])
    expect(files.map(({ provedBy }) => provedBy)).toEqual(['source checksum', 'chunk digests'])
    const wrong = { ...verified, value: compositeOf('CRC32', [part(0, 2200), part(2200, 5000)]) }
    const bad = await writeObject(store, {
      key: 'c',
      bytes,
      change: { checksums: { source: [], verified: wrong, parts } },
    })
    await expect(restore([targetOf(bad, 'c')])).rejects.toThrow(ChecksumMismatchError)
  })

  test('is refused where every chunk is right and the whole is not', async () => {
    const checksums = { source: [], verified: crc64(noise(10, 9)) }
    const object = await writeObject(store, { key: 'a', bytes: noise(3000, 1), change: { checksums } })
    await expect(restore([targetOf(object, 'weights')])).rejects.toThrow(/^weights: every chunk is right/)
    expect(await listing()).toEqual(['weights.lifeboat-partial', 'weights.lifeboat-partial.json'])
  })
})

describe('damage in the replica', () => {
  test('a damaged chunk is named, and no file has its name', async () => {
    const good = await writeObject(store, { key: 'a', bytes: noise(5000, 1) })
    const bad = await writeObject(store, { key: 'b', bytes: noise(5000, 2) })
    store.corrupt(bad.chunkNames[2]!, (body) => body.with(40, body[40]! ^ 1))
    const failure = restore([targetOf(good, 'good'), targetOf(bad, 'bad')])
    await expect(failure).rejects.toThrow(CorruptError)
    await expect(failure).rejects.toThrow(/^bad: bytes 2000 to 3000 \(chunk sha256:[0-9a-f]{64}\): .*damaged/)
    expect((await listing()).filter((name) => !name.includes('.lifeboat-partial'))).toEqual([])
  })

  test('a missing chunk is named; the same bytes under another name or generation serve as well', async () => {
    const object = await writeObject(store, { key: 'a', bytes: noise(5000, 1) })
    const [first, second] = object.chunkNames
    const body = (await store.read(first!))!
    const other = (await store.read(second!))!
    store.remove(first!)
    await expect(restore([targetOf(object, 'a')])).rejects.toThrow(/bytes 0 to 1000 .* is missing from the replica/)
    await store.create(first!, other)
    await expect(restore([targetOf(object, 'a')])).rejects.toThrow('is missing from the replica')
    await store.create(`${first!}~abcd`, body)
    await restore([targetOf(object, 'a')])
    expect(await read('a')).toEqual(Buffer.from(object.bytes))
  })

  test('a read that was damaged on its way is made again', async () => {
    const object = await writeObject(store, { key: 'a', bytes: noise(2000, 1) })
    let broken = 0
    const flaky: BlobStore = {
      ...store,
      read: async (name, wanted) => {
        const body = await store.read(name, wanted)
        if (!body || name !== object.chunkNames[0] || broken > 0) return body
        broken += 1
        return body.with(30, body[30]! ^ 255)
      },
    }
    await restore([targetOf(object, 'a')], {}, flaky)
    expect(broken).toBe(1)
  })

  test('a manifest that is not the one of the release, or of another major version, is refused', async () => {
    const object = await writeObject(store, { key: 'a', bytes: noise(2000, 1) })
    store.corrupt(object.name, (body) =>
      Buffer.from(Buffer.from(body).toString().replace('"sequence": 1', '"sequence": 2')),
    )
    await expect(restore([targetOf(object, 'a')])).rejects.toThrow(/the release names sha256:/)
    const newer = await writeObject(store, { key: 'b', bytes: noise(2000, 1), change: { formatVersion: '2.0' } })
    await expect(restore([targetOf(newer, 'b')])).rejects.toThrow(FormatVersionError)
    const minor = await writeObject(store, { key: 'c', bytes: noise(2000, 1), change: { formatVersion: '1.9' } })
    await restore([targetOf(minor, 'c')])
    expect(await listing()).toEqual(['c'])
  })

  test('a manifest whose parts leave a hole or end early is corrupt, whatever its size says', async () => {
    const bytes = noise(5000, 1)
    const whole = await writeObject(store, { key: 'a', bytes })
    const hole = await writeObject(store, { key: 'b', bytes, change: { parts: whole.manifest.parts.slice(1) } })
    await expect(restore([targetOf(hole, 'b')])).rejects.toThrow(/byte 0 is followed by byte 2000/)
    const short = await writeObject(store, { key: 'c', bytes, change: { parts: whole.manifest.parts.slice(0, 1) } })
    await expect(restore([targetOf(short, 'c')])).rejects.toThrow(/end at byte 2000, its size is 5000/)
  })
})

describe('the target folder', () => {
  test('nothing is written where any path is unsafe', async () => {
    const object = await writeObject(store, { key: 'a', bytes: noise(2000, 1) })
    await rm(dir, { recursive: true })
    await expect(restore([targetOf(object, 'fine'), targetOf(object, '../up')])).rejects.toThrow(UnsafePathError)
    await expect(stat(dir)).rejects.toThrow('ENOENT')
  })

  test('a link on the way or at the end is never followed', async () => {
    const object = await writeObject(store, { key: 'a', bytes: noise(2000, 1) })
    const outside = await mkdtemp(join(tmpdir(), 'lifeboat-outside-'))
    try {
      await symlink(outside, join(dir, 'sub'))
      await symlink(join(outside, 'x'), join(dir, 'file'))
      await symlink(join(outside, 'y'), join(dir, 'z.lifeboat-partial'))
      for (const path of ['sub/a', 'file', 'z'])
        await expect(restore([targetOf(object, path)], { overwrite: true })).rejects.toThrow(/is a link where/)
      expect(await readdir(outside)).toEqual([])
    } finally {
      await rm(outside, { recursive: true })
    }
  })

  test('a file in the place of a folder, and a folder in the place of a file, are refused', async () => {
    const object = await writeObject(store, { key: 'a', bytes: noise(2000, 1) })
    await writeFile(join(dir, 'file'), '')
    await mkdir(join(dir, 'folder'))
    await expect(restore([targetOf(object, 'file/a')])).rejects.toThrow('file is a file where a folder must be')
    await expect(restore([targetOf(object, 'folder')])).rejects.toThrow('folder is a folder where a file must go')
  })

  test('the same bytes are kept without a fetch, other bytes only replaced when told', async () => {
    const object = await writeObject(store, { key: 'a', bytes: noise(5000, 1) })
    const targets = [targetOf(object, 'a'), targetOf(object, 'b')]
    await writeFile(join(dir, 'a'), object.bytes)
    const counting = failingAfter(Infinity, () => new Error('never'))
    const first = await restore(targets, {}, counting)
    expect(first.map(({ outcome }) => outcome)).toEqual(['kept', 'restored'])
    expect(counting.chunkReads()).toBe(5)
    const changed = object.bytes.with(4999, object.bytes[4999]! ^ 1)
    await writeFile(join(dir, 'b'), changed)
    await expect(restore(targets)).rejects.toThrow(/^b: the file exists with other content: --overwrite/)
    expect(await read('b')).toEqual(Buffer.from(changed))
    await restore(targets, { overwrite: true })
    expect(await read('b')).toEqual(Buffer.from(object.bytes))
  })

  test('a full disk is a clear error, names the file and is no reason to start anew', async () => {
    const object = await writeObject(store, { key: 'a', bytes: noise(10_000, 1) })
    const disk = await openDisk(dir)
    const full = (bytesMax: number): RestoreDisk => ({
      ...disk,
      openToWrite: async (path) => {
        const file = await disk.openToWrite(path)
        return {
          ...file,
          write: async (offset, bytes) => {
            if (offset + bytes.length > bytesMax) throw new TargetDiskError(`cannot write ${path}: the disk is full`)
            await file.write(offset, bytes)
          },
        }
      },
    })
    const failure = restoreFiles(store, full(4000), [targetOf(object, 'a')], options({ chunksAtOnce: 1 }))
    await expect(failure).rejects.toThrow(TargetDiskError)
    await expect(failure).rejects.toThrow(/^a: bytes 4000 to 5000 .* the disk is full/)
    const [file] = await restoreFiles(store, disk, [targetOf(object, 'a')], options())
    expect(file?.fetchedBytes).toBe(6000)
  })

  test('too little room is found before anything is fetched', async () => {
    const object = await writeObject(store, { key: 'a', bytes: noise(2000, 1) })
    const disk: RestoreDisk = { ...(await openDisk(dir)), freeBytes: async () => 1999 }
    await expect(restoreFiles(store, disk, [targetOf(object, 'a')], options())).rejects.toThrow(
      '2000 bytes are needed and 1999 are free',
    )
    expect(await listing()).toEqual([])
  })
})

describe('an interrupted restore', () => {
  test('goes on where it stopped and trusts nothing that it finds', async () => {
    const object = await writeObject(store, { key: 'a', bytes: noise(10_000, 1) })
    const cut = failingAfter(6, () => new UnavailableError('the network is gone'))
    await expect(restore([targetOf(object, 'a')], { chunksAtOnce: 1 }, cut)).rejects.toThrow(UnavailableError)
    expect(await listing()).toEqual(['a.lifeboat-partial', 'a.lifeboat-partial.json'])
    const partial = await read('a.lifeboat-partial')
    partial[1500]! ^= 1
    await writeFile(join(dir, 'a.lifeboat-partial'), partial)
    const [file] = await restore([targetOf(object, 'a')])
    expect(file).toMatchObject({ outcome: 'restored', fetchedBytes: 5000 })
    expect(await read('a')).toEqual(Buffer.from(object.bytes))
    expect(await listing()).toEqual(['a'])
  })

  test('starts anew where the partial file is of another manifest or its journal is not readable', async () => {
    const before = await writeObject(store, { key: 'a', bytes: noise(10_000, 1) })
    const after = await writeObject(store, { key: 'a', version: 'v2', bytes: noise(5000, 2) })
    const cut = failingAfter(6, () => new UnavailableError('the network is gone'))
    await expect(restore([targetOf(before, 'a')], { chunksAtOnce: 1 }, cut)).rejects.toThrow(UnavailableError)
    const [file] = await restore([targetOf(after, 'a')])
    expect(file?.fetchedBytes).toBe(5000)
    expect(await read('a')).toEqual(Buffer.from(after.bytes))
    await writeFile(join(dir, 'b.lifeboat-partial.json'), '{"lifeboat":')
    await restore([targetOf(after, 'b')])
    expect(sha256Hex(await read('b'))).toBe(sha256Hex(after.bytes))
  })

  test('stops at the signal and gives no file its name', async () => {
    const objects = await Promise.all(
      [1, 2, 3].map((seed) => writeObject(store, { key: `k${seed}`, bytes: noise(5000, seed) })),
    )
    const interrupt = new AbortController()
    const failure = restore(
      objects.map((object, index) => targetOf(object, `f${index}`)),
      { signal: interrupt.signal, onBytes: () => interrupt.abort(new Error('interrupted')), filesAtOnce: 1 },
    )
    await expect(failure).rejects.toThrow('interrupted')
    expect((await listing()).filter((name) => !name.includes('.lifeboat-partial'))).toEqual([])
    await restore(objects.map((object, index) => targetOf(object, `f${index}`)))
    expect(await listing()).toEqual(['f0', 'f1', 'f2'])
  })

  test('holds no more chunks than it may at once', async () => {
    const object = await writeObject(store, { key: 'a', bytes: noise(40_000, 1) })
    let open = 0
    let most = 0
    const slow: BlobStore = {
      ...store,
      read: async (name, wanted) => {
        if (!name.startsWith('chunks/')) return store.read(name, wanted)
        open += 1
        most = Math.max(most, open)
        await new Promise((resolve) => setTimeout(resolve, 2))
        open -= 1
        return store.read(name, wanted)
      },
    }
    await restore([targetOf(object, 'a')], { chunksAtOnce: 4 }, slow)
    expect(most).toBe(4)
  })
})
