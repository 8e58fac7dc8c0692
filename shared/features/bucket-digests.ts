import { createHash } from 'node:crypto'

/**
 * The rows of one side of a table, counted and digested into buckets: 2.25 MiB whatever the size of the table. The bucket of a row
 * is the first two bytes of its key, so that those of a bucket are one range in Bigtable. A row's SHA-256 is added to its
 * bucket as 8 numbers of 32 bits that wrap, so the order of rows does not matter.
 */
export const bucketCount = 65_536
const lanes = 8

export const bucketOf = (rowKey: Uint8Array): number => ((rowKey[0] ?? 0) << 8) | (rowKey[1] ?? 0)

/** The least key of a bucket; a key of one byte, which Lifeboat writes none of, is before those that it begins. */
export const bucketStart = (bucket: number): Buffer =>
  (bucket & 0xff) === 0 ? Buffer.of(bucket >> 8) : Buffer.of(bucket >> 8, bucket & 0xff)

export type BucketDigests = {
  /** `digest` is the SHA-256 of the row with its key. */
  add(rowKey: Uint8Array, digest: Uint8Array): void
  rows(bucket: number): number
  total(): number
  equals(other: BucketDigests, bucket: number): boolean
  sum(bucket: number): Uint32Array
  /** SHA-256 of all buckets, in hex: of a side without rows that of the empty text. */
  digest(): string
}

export const createBucketDigests = (): BucketDigests => {
  const counts = new Uint32Array(bucketCount)
  const sums = new Uint32Array(bucketCount * lanes)
  const sum = (bucket: number): Uint32Array => sums.subarray(bucket * lanes, (bucket + 1) * lanes)
  return {
    add(rowKey, digest) {
      const bucket = bucketOf(rowKey)
      const view = new DataView(digest.buffer, digest.byteOffset, digest.byteLength)
      counts[bucket] = (counts[bucket] ?? 0) + 1
      const into = sum(bucket)
      for (let lane = 0; lane < lanes; lane += 1) into[lane] = (into[lane] ?? 0) + view.getUint32(4 * lane)
    },
    rows: (bucket) => counts[bucket] ?? 0,
    total: () => counts.reduce((total, count) => total + count, 0),
    sum,
    equals: (other, bucket) =>
      counts[bucket] === other.rows(bucket) && Buffer.compare(bytesOf(sum(bucket)), bytesOf(other.sum(bucket))) === 0,
    digest() {
      const all = createHash('sha256')
      for (let bucket = 0; bucket < bucketCount; bucket += 1) {
        if (counts[bucket] === 0) continue
        all.update(`${bucket} ${counts[bucket]} ${Array.from(sum(bucket)).join(' ')}\n`)
      }
      return all.digest('hex')
    },
  }
}

const bytesOf = (numbers: Uint32Array): Buffer => Buffer.from(numbers.buffer, numbers.byteOffset, numbers.byteLength)
