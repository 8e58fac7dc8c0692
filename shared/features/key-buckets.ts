import { hash } from 'node:crypto'
import { bucketCount, bucketOf } from './bucket-digests.ts'

/**
 * Which rows one side of a table has, whatever is in them: of each bucket the number of its keys, and their sum, which wraps,
 * of 64 bits of each key's SHA-256. 768 KiB whatever the size of the table, so that a comparison can put it down and go on.
 */
export type KeySum = { keys: number; high: number; low: number }

export const noKeys = (): KeySum => ({ keys: 0, high: 0, low: 0 })

export const addKey = (sum: KeySum, rowKey: Uint8Array): void => {
  const digest = hash('sha256', rowKey, 'buffer')
  const low = sum.low + digest.readUInt32BE(4)
  sum.keys += 1
  sum.low = low >>> 0
  sum.high = (sum.high + digest.readUInt32BE(0) + (low > 0xffff_ffff ? 1 : 0)) >>> 0
}

export const equalSums = (left: KeySum, right: KeySum): boolean =>
  left.keys === right.keys && left.low === right.low && left.high === right.high

export type KeyBuckets = {
  add(rowKey: Uint8Array): void
  of(bucket: number): KeySum
  /** For `createKeyBuckets` to go on with. */
  toBytes(): Buffer
}

const wordsPerBucket = 3
export const keyBucketsBytes = bucketCount * wordsPerBucket * 4

const at = (bucket: number): number => bucket * wordsPerBucket * 4

export const createKeyBuckets = (saved?: Uint8Array): KeyBuckets => {
  const bytes = saved ? Buffer.from(saved) : Buffer.alloc(keyBucketsBytes)
  const of = (bucket: number): KeySum => ({
    keys: bytes.readUInt32BE(at(bucket)),
    high: bytes.readUInt32BE(at(bucket) + 4),
    low: bytes.readUInt32BE(at(bucket) + 8),
  })
  return {
    add(rowKey) {
      const bucket = bucketOf(rowKey)
      const sum = of(bucket)
      addKey(sum, rowKey)
      bytes.writeUInt32BE(sum.keys, at(bucket))
      bytes.writeUInt32BE(sum.high, at(bucket) + 4)
      bytes.writeUInt32BE(sum.low, at(bucket) + 8)
    },
    of,
    toBytes: () => Buffer.from(bytes),
  }
}
