import { toCounter } from './sequence.ts'
import type { Shard } from './stream-catalog.ts'
import { invalid, refusal } from './wire.ts'

const lifeMs = 15 * 60_000

/** A place in a shard: what comes after the counter `after`. `issuedAt` in ms. */
export type ShardIterator = { shard: string; after: number; issuedAt: number }

export const encodeIterator = (arn: string, iterator: ShardIterator): string =>
  `${arn}|1|${Buffer.from(JSON.stringify(iterator)).toString('base64url')}`

/** Throws ValidationException for what is no iterator of ours and ExpiredIteratorException 15 minutes after it was issued. */
export const decodeIterator = (text: string, now: number): { arn: string; iterator: ShardIterator } => {
  const [arn = '', version, payload = ''] = text.split('|')
  let iterator: ShardIterator
  try {
    if (version !== '1') throw new Error(`the version of a shard iterator is ${version}`)
    iterator = JSON.parse(Buffer.from(payload, 'base64url').toString()) as ShardIterator
  } catch (error) {
    throw Object.assign(invalid('Invalid ShardIterator'), { cause: error })
  }
  if (now - iterator.issuedAt > lifeMs)
    throw refusal('ExpiredIteratorException', 'The shard iterator is older than 15 minutes')
  return { arn, iterator }
}

export const refuseTrimmed = (shard: Shard, after: number): void => {
  if (after < shard.trimmed)
    throw refusal('TrimmedDataAccessException', 'The requested position is past the retention of the stream')
}

/** The counter after which an iterator of this type begins; `committed` is the newest record's. */
export const startOf = (shard: Shard, committed: number, type: string, sequenceNumber: string | undefined): number => {
  if (type === 'TRIM_HORIZON') return Math.max(shard.trimmed, shard.first - 1)
  if (type === 'LATEST') return Math.max(committed, shard.first - 1)
  if (type !== 'AT_SEQUENCE_NUMBER' && type !== 'AFTER_SEQUENCE_NUMBER')
    throw invalid(`Value '${type}' at 'shardIteratorType' failed to satisfy constraint: a shard iterator type`)
  if (!sequenceNumber || !/^\d{21,40}$/.test(sequenceNumber))
    throw invalid(`A SequenceNumber of 21 to 40 digits is required for ${type}`)
  const after = toCounter(sequenceNumber, type === 'AT_SEQUENCE_NUMBER')
  refuseTrimmed(shard, after)
  return after
}
