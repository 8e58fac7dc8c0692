import { createHash } from 'node:crypto'
import type { GetObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { forEachBounded, toArray } from '../../shared/bounded.ts'
import { createS3Source } from '../../shared/clouds/aws/s3-source.ts'
import type { PutOptions } from '../../shared/clouds/memory/source.ts'
import { SupersededError, UnavailableError } from '../../shared/errors.ts'
import type { ObjectSource, SourceChecksum, SourceObject } from '../../shared/ports.ts'
import { combineCrc, compositeOf, createRangeCrc } from '../../shared/weights/checksums.ts'
import { type SourceBench, startMemoryBench, startS3Bench } from '../support/source-bench.ts'
import { noise } from '../support/weights-world.ts'

const MIB = 2 ** 20
const partBytes = 5 * MIB
const small = noise(1000)
const large = noise(12 * MIB)
const partsOfLarge = [
  large.subarray(0, partBytes),
  large.subarray(partBytes, 2 * partBytes),
  large.subarray(2 * partBytes),
]
const oddKeys = [
  ' ',
  'a b',
  'a+b',
  '100%',
  'a%2Bb',
  'é/重み',
  'line\nbreak',
  '<&>\'"',
  '../x',
  'a//b',
  '~',
  'x'.repeat(1024),
]

const digest = (algorithm: SourceChecksum['algorithm'], bytes: Uint8Array): Buffer => {
  if (algorithm === 'SHA1' || algorithm === 'SHA256' || algorithm === 'MD5')
    return createHash(algorithm.toLowerCase()).update(bytes).digest()
  const crc = createRangeCrc(algorithm)
  crc.update(bytes)
  return Buffer.from(crc.digest())
}
const read = async (source: ObjectSource, object: SourceObject, start: number, end: number): Promise<Buffer> =>
  Buffer.concat(await toArray(source.read(object, start, end)))

describe.each([
  ['memory', startMemoryBench],
  ['S3, embedded', startS3Bench],
])('an object source: %s', (_name, start: () => Promise<SourceBench>) => {
  let bench: SourceBench
  let bucket: string
  beforeAll(async () => {
    bench = await start()
    bucket = await bench.bucket('versioned')
  })
  afterAll(async () => bench.close())
  const put = async (key: string, body: Uint8Array, options: PutOptions = {}): Promise<SourceObject> => {
    const { versionId } = await bench.put(bucket, key, body, options)
    return (await bench.source.head({ bucket, key, versionId }))!
  }

  describe('head', () => {
    it('answers undefined for what is not there', async () => {
      expect(await bench.source.head({ bucket, key: 'none' })).toBeUndefined()
      const { versionId } = await bench.put(bucket, 'deleted', small)
      await bench.delete(bucket, 'deleted')
      expect(await bench.source.head({ bucket, key: 'deleted' })).toBeUndefined()
      expect(await bench.source.head({ bucket, key: 'deleted', versionId })).toMatchObject({ size: 1000 })
      const marker = (await toArray(bench.source.versions(bucket, 'deleted'))).find(({ etag }) => etag === undefined)
      expect(marker).toMatchObject({ isLatest: true })
      expect(await bench.source.head({ bucket, key: 'deleted', versionId: marker?.versionId })).toBeUndefined()
    })

    it('describes the version named and the current one', async () => {
      const first = await put('two', small, { contentType: 'text/x', metadata: { a: 'b' }, contentEncoding: 'gzip' })
      const second = await put('two', noise(20))
      expect(first).toMatchObject({ size: 1000, contentType: 'text/x', contentEncoding: 'gzip', metadata: { a: 'b' } })
      expect(first.etag).toBe(digest('MD5', small).toString('hex'))
      expect(Math.abs(Date.now() - first.lastModified)).toBeLessThan(60_000)
      expect(first.lastModified % 1000).toBe(0)
      expect(first).not.toHaveProperty('partsCount')
      expect(await bench.source.head({ bucket, key: 'two' })).toEqual(second)
      expect(await bench.source.head({ bucket, key: 'two', versionId: first.versionId })).toEqual(first)
    })

    it.each(['CRC64NVME', 'CRC32', 'CRC32C', 'SHA1', 'SHA256'] as const)(
      'gives the %s of a whole object',
      async (algorithm) => {
        const object = await put(`whole-${algorithm}`, small, { checksum: { algorithm, type: 'FULL_OBJECT' } })
        const value = digest(algorithm, small).toString('base64')
        expect(object.checksums).toEqual([{ algorithm, type: 'FULL_OBJECT', value }])
      },
    )

    it.each(['CRC32', 'CRC32C', 'SHA1', 'SHA256'] as const)('gives the %s by part', async (algorithm) => {
      const object = await put(`parts-${algorithm}`, large, { checksum: { algorithm, type: 'COMPOSITE' }, partBytes })
      const value = compositeOf(
        algorithm,
        partsOfLarge.map((part) => digest(algorithm, part)),
      )
      expect(object).toMatchObject({ partsCount: 3, checksums: [{ algorithm, type: 'COMPOSITE', value }] })
      const parts = await toArray(bench.source.parts({ ...object, partsCount: 3 }))
      expect(parts.map(({ number, size }) => [number, size])).toEqual([
        [1, partBytes],
        [2, partBytes],
        [3, 2 * MIB],
      ])
    })

    it.each(['CRC64NVME', 'CRC32', 'CRC32C'] as const)(
      'gives the %s of a whole multipart object',
      async (algorithm) => {
        const object = await put(`whole-parts-${algorithm}`, large, {
          checksum: { algorithm, type: 'FULL_OBJECT' },
          partBytes,
        })
        const combined = partsOfLarge.reduce<Uint8Array | undefined>(
          (sum, part) =>
            sum ? combineCrc(algorithm, sum, digest(algorithm, part), part.length) : digest(algorithm, part),
          undefined,
        )
        const value = Buffer.from(combined!).toString('base64')
        expect(object.checksums).toEqual([{ algorithm, type: 'FULL_OBJECT', value }])
      },
    )

    it('says that an encrypted object has no MD5 for an ETag', async () => {
      const object = await put('encrypted', small, { isEncrypted: true, checksum: null })
      expect(object).toMatchObject({ etagIsOpaque: true })
      expect(object.etag).not.toBe(digest('MD5', small).toString('hex'))
    })
  })

  describe('read', () => {
    it.each([
      [0, 12 * MIB],
      [0, 1],
      [12 * MIB - 1, 12 * MIB],
      [5 * MIB - 3, 5 * MIB + 3],
      [7, 7],
    ])('gives exactly [%d, %d)', async (from, to) => {
      const object = await put('large', large)
      expect(Buffer.compare(await read(bench.source, object, from, to), large.subarray(from, to))).toBe(0)
    })

    it('gives an old version, and refuses it once it is gone', async () => {
      const object = await put('old', small)
      await put('old', noise(1000, 2))
      expect(Buffer.compare(await read(bench.source, object, 0, 1000), small)).toBe(0)
      await bench.delete(bucket, 'old', object.versionId)
      await expect(read(bench.source, object, 0, 10)).rejects.toThrow(SupersededError)
    })

    it('refuses the current version of another content', async () => {
      const plain = await bench.bucket('unversioned')
      await bench.put(plain, 'k', small)
      const object = (await bench.source.head({ bucket: plain, key: 'k' }))!
      expect(object).not.toHaveProperty('versionId')
      await bench.put(plain, 'k', noise(1000, 2))
      await expect(read(bench.source, object, 0, 10)).rejects.toThrow(SupersededError)
      await bench.delete(plain, 'k')
      await expect(read(bench.source, object, 0, 10)).rejects.toThrow(SupersededError)
    })
  })

  describe('parts', () => {
    it('are listed where the object has no checksum but its ETag', async () => {
      const object = await put('etag-only', large, { checksum: null, partBytes })
      const parts = await toArray(bench.source.parts({ ...object, partsCount: 3 }))
      expect(parts.map(({ number, size }) => [number, size])).toEqual([
        [1, partBytes],
        [2, partBytes],
        [3, 2 * MIB],
      ])
    })

    it.each([null, { algorithm: 'SHA1', type: 'COMPOSITE' } as const])(
      'of an object that was overwritten are refused: %j',
      async (checksum) => {
        const plain = await bench.bucket('unversioned')
        await bench.put(plain, 'k', large, { checksum, partBytes })
        const object = (await bench.source.head({ bucket: plain, key: 'k' }))!
        await bench.put(plain, 'k', large.subarray(1), { checksum, partBytes })
        await expect(toArray(bench.source.parts({ ...object, partsCount: 3 }))).rejects.toThrow(SupersededError)
        await bench.delete(plain, 'k')
        await expect(toArray(bench.source.parts({ ...object, partsCount: 3 }))).rejects.toThrow(SupersededError)
      },
    )
  })

  describe('versions', () => {
    it('lists more than a page of them, with odd keys, versions and delete markers', { timeout: 60_000 }, async () => {
      const full = await bench.bucket('versioned')
      const names = Array.from({ length: 1020 }, (_, index) => `many/${index}`)
      await forEachBounded(names, 8, async (key) => void (await bench.put(full, key, noise(3), { checksum: null })))
      for (const key of oddKeys) await bench.put(full, `odd/${key}`.slice(0, 1024), noise(4))
      await bench.put(full, 'many/7', noise(5))
      await bench.delete(full, 'many/7')
      const all = await toArray(bench.source.versions(full, ''))
      expect(all).toHaveLength(1020 + oddKeys.length + 2)
      expect(all.filter(({ isLatest }) => isLatest)).toHaveLength(1020 + oddKeys.length)
      const seven = all.filter(({ key }) => key === 'many/7')
      expect(new Set(seven.map(({ size }) => size))).toEqual(new Set([3, 5, undefined]))
      expect(new Set(seven.map(({ versionId }) => versionId)).size).toBe(3)
      const odd = await toArray(bench.source.versions(full, 'odd/'))
      expect(odd.map(({ key }) => key).toSorted()).toEqual(oddKeys.map((key) => `odd/${key}`.slice(0, 1024)).toSorted())
      for (const { key, versionId } of odd)
        expect(await bench.source.head({ bucket: full, key, versionId })).toMatchObject({ size: 4, key })
      expect(await toArray(bench.source.versions(full, 'none'))).toEqual([])
    })

    it.each(['suspended', 'unversioned'] as const)('has no version ids in a bucket that is %s', async (versioning) => {
      const plain = await bench.bucket(versioning)
      await bench.put(plain, 'k', small)
      await bench.put(plain, 'k', noise(9))
      const [entry, ...others] = await toArray(bench.source.versions(plain, ''))
      expect(others).toEqual([])
      expect(entry).toMatchObject({ key: 'k', size: 9, isLatest: true })
      expect(entry).not.toHaveProperty('versionId')
      expect(await bench.source.head({ bucket: plain, key: 'k' })).not.toHaveProperty('versionId')
    })

    it('keeps versions with ids beside the null version', async () => {
      const mixed = await bench.bucket('versioned')
      const { versionId } = await bench.put(mixed, 'k', small)
      await bench.suspend(mixed)
      await bench.put(mixed, 'k', noise(9))
      await bench.put(mixed, 'k', noise(8))
      const entries = await toArray(bench.source.versions(mixed, ''))
      expect(entries.map((entry) => [entry.versionId, entry.size, entry.isLatest])).toEqual([
        [undefined, 8, true],
        [versionId, 1000, false],
      ])
    })
  })
})

describe('the S3 source over a bad network', () => {
  let bench: Awaited<ReturnType<typeof startS3Bench>>
  let object: SourceObject
  beforeAll(async () => {
    bench = await startS3Bench()
    const bucket = await bench.bucket('versioned')
    await bench.put(bucket, 'k', large)
    object = (await bench.source.head({ bucket, key: 'k' }))!
  })
  afterAll(async () => bench.close())

  it.each([
    ['cut before an answer', { cut: 'before' as const }],
    ['cut after one', { cut: 'after' as const }],
    ['a 503', { status: 503 }],
    ['a 500', { status: 500 }],
  ])('goes on after %s, twice', async (_what, fault) => {
    bench.server.faults.push({ path: '^GET /bucket-1/k', times: 2, ...fault })
    expect(Buffer.compare(await read(bench.source, object, 100, 12 * MIB), large.subarray(100))).toBe(0)
    expect(bench.server.faults.splice(0)[0]).toMatchObject({ times: 0 })
  })

  it('goes on from the byte at which the connection was cut', async () => {
    const ranges: (string | undefined)[] = []
    const cutting = {
      send: async ({ input }: GetObjectCommand) => {
        ranges.push(input.Range)
        const [from, to] = /(\d+)-(\d+)/
          .exec(input.Range ?? '')!
          .slice(1)
          .map(Number)
        async function* body() {
          yield large.subarray(from, Math.min(to! + 1, from! + 1000))
          if (from! + 1000 <= to!) throw Object.assign(new Error('aborted'), { code: 'ECONNRESET' })
        }
        return { Body: body() }
      },
    } as unknown as S3Client
    expect(Buffer.compare(await read(createS3Source(cutting), object, 5, 2505), large.subarray(5, 2505))).toBe(0)
    expect(ranges).toEqual(['bytes=5-2504', 'bytes=1005-2504', 'bytes=2005-2504'])
  })

  it('gives up with what a retry may cure', { timeout: 30_000 }, async () => {
    bench.server.faults.push({ path: '^GET /bucket-1/k', times: 100, cut: 'before' })
    await expect(read(bench.source, object, 0, 100)).rejects.toThrow(UnavailableError)
    bench.server.faults.splice(0)
  })

  it('stops when it is told to', async () => {
    const abort = new AbortController()
    const got: number[] = []
    const reading = (async () => {
      for await (const bytes of bench.source.read(object, 0, 12 * MIB, abort.signal)) {
        got.push(bytes.length)
        abort.abort()
      }
    })()
    const [ended] = await Promise.allSettled([reading])
    expect(ended.status === 'fulfilled' || ended.reason instanceof UnavailableError).toBe(true)
    expect(got.reduce((sum, bytes) => sum + bytes, 0)).toBeLessThan(12 * MIB)
  })
})
