import { CorruptError, InvalidInputError } from '../errors.ts'

declare const changeVersionBrand: unique symbol
/**
 * Which change a row is at, as text of 68 bytes whose byte order is the order of changes: epoch in 10 digits, sequence
 * number in 40, nonce in 16 hex digits. DynamoDB's sequence numbers have 21 to 40 digits and order only as numbers.
 *
 *     { epoch: 1, sequenceNumber: "400000000000499660" }
 *       -> 0000000001.0000000000000000000000400000000000499660.0000000000000000
 *
 * The epoch grows when a table gets a new stream, whose sequence numbers may start anywhere. A plain change has the nonce
 * 0; a reread has one of its own, so that two rereads at the same fence are two versions.
 */
export type ChangeVersion = string & { readonly [changeVersionBrand]: true }

export const versionBytes = 68
const plainNonce = '0'.repeat(16)
const epochMax = 9_999_999_999

/** Throws InvalidInputError where the epoch is no integer from 0, or the sequence number is not 1 to 40 digits. */
export const changeVersion = (change: { epoch: number; sequenceNumber: string; nonce?: string }): ChangeVersion => {
  const { epoch, sequenceNumber, nonce = plainNonce } = change
  if (!Number.isInteger(epoch) || epoch < 0 || epoch > epochMax)
    throw new InvalidInputError(`an epoch is an integer from 0 to ${epochMax}, not ${epoch}`)
  if (!/^\d{1,40}$/.test(sequenceNumber))
    throw new InvalidInputError(`a sequence number has 1 to 40 digits, not ${JSON.stringify(sequenceNumber)}`)
  if (!/^[0-9a-f]{16}$/.test(nonce))
    throw new InvalidInputError(`a nonce has 16 lower-case hex digits, not ${JSON.stringify(nonce)}`)
  return `${String(epoch).padStart(10, '0')}.${sequenceNumber.padStart(40, '0')}.${nonce}` as ChangeVersion
}

/** Below every change: a scanned item never replaces what the stream brought. */
export const backfillVersion = changeVersion({ epoch: 0, sequenceNumber: '0' })

/** What a reread includes: all up to this change, or, without a sequence number, all of the epochs before this one. */
export const fenceVersion = (fence: { epoch: number; sequenceNumber?: string }): ChangeVersion =>
  changeVersion({ epoch: fence.epoch, sequenceNumber: fence.sequenceNumber ?? '0' })

/** The same change with another nonce: 16 lower-case hex digits. */
export const withNonce = (version: ChangeVersion, nonce: string): ChangeVersion =>
  changeVersion({ ...parseVersion(version), nonce })

/** Negative where `left` is the older. */
export const compareVersions = (left: ChangeVersion, right: ChangeVersion): number => {
  if (left === right) return 0
  return left < right ? -1 : 1
}

export const newerVersion = (left: ChangeVersion, right: ChangeVersion): ChangeVersion => (left < right ? right : left)

export const isVersion = (text: string): text is ChangeVersion => /^\d{10}\.\d{40}\.[0-9a-f]{16}$/.test(text)

/** A version as it was stored. Throws CorruptError on any other text. */
export const readVersion = (text: string): ChangeVersion => {
  if (!isVersion(text)) throw new CorruptError(`not a version: ${JSON.stringify(text)}`)
  return text
}

/** The parts of a version, the sequence number without leading zeros. Throws CorruptError on any other text. */
export const parseVersion = (text: string): { epoch: number; sequenceNumber: string; nonce: string } => {
  const version = readVersion(text)
  return {
    epoch: Number(version.slice(0, 10)),
    sequenceNumber: version.slice(11, 51).replace(/^0+(?=\d)/, ''),
    nonce: version.slice(52),
  }
}
