import { describe, expect, it } from 'vitest'
import { CorruptError, InvalidInputError } from '../../shared/errors.ts'
import {
  backfillVersion,
  changeVersion,
  compareVersions,
  fenceVersion,
  newerVersion,
  parseVersion,
  readVersion,
  withNonce,
} from '../../shared/features/version.ts'
import { rowVectors as vectors } from '../support/row-vectors.ts'

describe('versions', () => {
  it.each(vectors.versions)('$version is what the other implementation makes', ({ version, ...change }) => {
    expect(changeVersion(change)).toBe(version)
    expect(parseVersion(version)).toEqual({ ...change, sequenceNumber: String(BigInt(change.sequenceNumber)) })
  })

  it('order sequence numbers as numbers: 21 digits before 22', () => {
    const [older, newer] = ['9'.repeat(21), `1${'0'.repeat(21)}`].map((sequenceNumber) =>
      changeVersion({ epoch: 1, sequenceNumber }),
    )
    expect(compareVersions(older!, newer!)).toBe(-1)
    expect(newerVersion(older!, newer!)).toBe(newer)
    expect(compareVersions(newer!, newer!)).toBe(0)
  })

  it('put backfill first, a fence at its change, and a new epoch after all of the old one', () => {
    const first = changeVersion({ epoch: 1, sequenceNumber: '1' })
    const last = changeVersion({ epoch: 1, sequenceNumber: '9'.repeat(40), nonce: 'f'.repeat(16) })
    expect(backfillVersion).toBe(`${'0'.repeat(10)}.${'0'.repeat(40)}.${'0'.repeat(16)}`)
    expect(
      [fenceVersion({ epoch: 2 }), last, first, fenceVersion({ epoch: 1 }), backfillVersion].sort(compareVersions),
    ).toEqual([backfillVersion, fenceVersion({ epoch: 1 }), first, last, fenceVersion({ epoch: 2 })])
    expect(fenceVersion({ epoch: 1, sequenceNumber: '1' })).toBe(first)
  })

  it('with a nonce are after the plain change and before the next one', () => {
    const plain = changeVersion({ epoch: 3, sequenceNumber: '0041' })
    const reread = withNonce(plain, '00000000000000ff')
    expect(parseVersion(reread)).toEqual({ epoch: 3, sequenceNumber: '41', nonce: '00000000000000ff' })
    expect(compareVersions(plain, reread)).toBe(-1)
    expect(compareVersions(reread, changeVersion({ epoch: 3, sequenceNumber: '42' }))).toBe(-1)
  })

  it.each([
    { epoch: -1, sequenceNumber: '1' },
    { epoch: 1.5, sequenceNumber: '1' },
    { epoch: Number.NaN, sequenceNumber: '1' },
    { epoch: 10_000_000_000, sequenceNumber: '1' },
    { epoch: 1, sequenceNumber: '' },
    { epoch: 1, sequenceNumber: '1'.repeat(41) },
    { epoch: 1, sequenceNumber: '-1' },
    { epoch: 1, sequenceNumber: '1e3' },
    { epoch: 1, sequenceNumber: '1\n' },
    { epoch: 1, sequenceNumber: '1', nonce: 'F'.repeat(16) },
    { epoch: 1, sequenceNumber: '1', nonce: '0' },
  ])('are refused: %j', (change) => {
    expect(() => changeVersion(change)).toThrow(InvalidInputError)
  })

  it.each([
    '',
    '1.2.3',
    `${backfillVersion} `,
    `${backfillVersion}\n`,
    backfillVersion.slice(1),
    backfillVersion.replaceAll('.', '-'),
  ])('are corrupt: %j', (text) => {
    expect(() => readVersion(text)).toThrow(CorruptError)
    expect(() => parseVersion(text)).toThrow(CorruptError)
  })
})
