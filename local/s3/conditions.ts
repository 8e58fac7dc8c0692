import { type Call, header } from './call.ts'
import { preconditionFailed, S3Error } from './errors.ts'
import { latestVersion, noSuchKey, type VersionRow } from './versions.ts'

const matches = (list: string, etag: string): boolean =>
  list.split(',').some((item) => item.trim() === '*' || item.trim().replace(/^W\//, '').replaceAll('"', '') === etag)

const seconds = (date: string | undefined): number | undefined => {
  const ms = date === undefined ? Number.NaN : Date.parse(date)
  return Number.isNaN(ms) ? undefined : Math.floor(ms / 1000)
}

/**
 * The four conditions of a read, or those of a copy's source with `prefix`. An ETag condition that holds overrides the
 * date condition of its kind, as in RFC 9110. Answers whether the reader has this version already.
 */
export const readConditions = (call: Call, row: VersionRow, prefix = ''): 'read' | 'not-modified' => {
  const modified = Math.floor(row.modified / 1000)
  const ifMatch = header(call, `${prefix}if-match`)
  const unmodifiedSince = seconds(header(call, `${prefix}if-unmodified-since`))
  if (ifMatch !== undefined && !matches(ifMatch, row.etag)) throw preconditionFailed('If-Match')
  if (ifMatch === undefined && unmodifiedSince !== undefined && modified > unmodifiedSince)
    throw preconditionFailed('If-Unmodified-Since')
  const ifNoneMatch = header(call, `${prefix}if-none-match`)
  if (ifNoneMatch !== undefined) return matches(ifNoneMatch, row.etag) ? 'not-modified' : 'read'
  const modifiedSince = seconds(header(call, `${prefix}if-modified-since`))
  return modifiedSince !== undefined && modified <= modifiedSince ? 'not-modified' : 'read'
}

/** If-None-Match and If-Match of a write, against the current object. */
export const checkWriteConditions = (call: Call): void => {
  const ifNoneMatch = header(call, 'if-none-match')
  const ifMatch = header(call, 'if-match')
  if (ifNoneMatch === undefined && ifMatch === undefined) return
  if (ifNoneMatch !== undefined && ifNoneMatch !== '*')
    throw new S3Error(501, 'NotImplemented', 'A header you provided implies functionality that is not implemented', {
      details: { Header: 'If-None-Match' },
    })
  const row = latestVersion(call.s3.store, call.bucket, call.key)
  const current = row && row.marker === 0 ? row : undefined
  if (ifNoneMatch === '*' && current) throw preconditionFailed('If-None-Match')
  if (ifMatch === undefined) return
  if (!current) throw noSuchKey(call.key)
  if (ifMatch.replaceAll('"', '') !== current.etag && ifMatch !== '*') throw preconditionFailed('If-Match')
}
