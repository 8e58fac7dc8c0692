import { randomBytes } from 'node:crypto'
import type { About, Tag } from './about.ts'
import type { AnswerHeaders } from './call.ts'
import { type Algorithm, type Checksum, checksumHeader, type ChecksumType } from './checksums.ts'
import { invalidArgument, S3Error } from './errors.ts'
import { nextRank, type Store } from './store.ts'

export type Bucket = {
  name: string
  created: number
  region: string
  versioning: 'Enabled' | 'Suspended' | null
  eventBridge: number
  queues: string
}

/** A row of `versions`: an object version or delete marker. `about` and `tags` are JSON, `modified` is in ms. */
export type VersionRow = {
  id: number
  bucket: string
  key: Uint8Array
  version: string
  rank: number
  latest: number
  marker: number
  modified: number
  size: number
  etag: string
  about: string
  tags: string
  algorithm: Algorithm | null
  checksumType: ChecksumType | null
  checksum: string | null
  partsCount: number | null
}
export type PartRow = { number: number; body: string; size: number; checksum: string | null }

/** `rank` orders versions of a key by when they were begun; it is the next one unless an upload brings its own. */
export type NewVersion = {
  key: string
  marker: boolean
  modified: number
  rank?: number
  size: number
  etag: string
  about?: About
  tags: Tag[]
  checksum?: Checksum
  partsCount?: number
  parts: PartRow[]
}

export const keyBytes = (key: string): Buffer => Buffer.from(key, 'utf8')
export const keyText = (key: Uint8Array): string => Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString()
export const aboutOf = (row: { about: string }): About => JSON.parse(row.about) as About
export const tagsOf = (row: { tags: string }): Tag[] => JSON.parse(row.tags) as Tag[]

export const findBucket = (store: Store, name: string): Bucket | undefined =>
  store.get<Bucket>('SELECT * FROM buckets WHERE name = ?', name)

export const requireBucket = (store: Store, name: string): Bucket => {
  const bucket = findBucket(store, name)
  if (!bucket)
    throw new S3Error(404, 'NoSuchBucket', 'The specified bucket does not exist', { details: { BucketName: name } })
  return bucket
}

export const partsOf = (store: Store, version: number): PartRow[] =>
  store.all<PartRow>('SELECT number, body, size, checksum FROM versionParts WHERE version = ? ORDER BY number', version)

/** The current version of a key, which may be a delete marker. */
export const latestVersion = (store: Store, bucket: string, key: string): VersionRow | undefined =>
  store.get<VersionRow>('SELECT * FROM versions WHERE bucket = ? AND key = ? AND latest = 1', bucket, keyBytes(key))

export const versionById = (store: Store, bucket: string, key: string, version: string): VersionRow | undefined =>
  store.get<VersionRow>(
    'SELECT * FROM versions WHERE bucket = ? AND key = ? AND version = ?',
    bucket,
    keyBytes(key),
    version,
  )

export const checkVersionId = (version: string): void => {
  if (version !== 'null' && !/^[0-9A-Za-z._-]{32}$/.test(version))
    throw invalidArgument('versionId', version, 'Invalid version id specified')
}

export const noSuchKey = (key: string, headers: Record<string, string> = {}): S3Error =>
  new S3Error(404, 'NoSuchKey', 'The specified key does not exist.', { headers, details: { Key: key } })

/** The version named, or the current one; a missing one and a delete marker are S3's errors. */
export const requireVersion = (store: Store, bucket: Bucket, key: string, version: string | null): VersionRow => {
  if (version !== null) checkVersionId(version)
  const row = version === null ? latestVersion(store, bucket.name, key) : versionById(store, bucket.name, key, version)
  if (!row && version === null) throw noSuchKey(key)
  if (!row)
    throw new S3Error(404, 'NoSuchVersion', 'The specified version does not exist.', {
      details: { Key: key, VersionId: version ?? '' },
    })
  if (row.marker === 0) return row
  const headers = { 'x-amz-delete-marker': 'true', 'x-amz-version-id': row.version }
  if (version === null) throw noSuchKey(key, headers)
  throw new S3Error(405, 'MethodNotAllowed', 'The specified method is not allowed against this resource.', {
    headers: { ...headers, allow: 'DELETE', 'last-modified': new Date(row.modified).toUTCString() },
    details: { Method: 'GET', ResourceType: 'DeleteMarker' },
  })
}

const refreshLatest = (store: Store, bucket: string, key: Uint8Array): void => {
  store.run('UPDATE versions SET latest = 0 WHERE bucket = ? AND key = ? AND latest = 1', bucket, key)
  store.run(
    `UPDATE versions SET latest = 1 WHERE id =
      (SELECT id FROM versions WHERE bucket = ? AND key = ? ORDER BY rank DESC LIMIT 1)`,
    bucket,
    key,
  )
}

/** Deletes a row for good; its bodies go into `dropped`. */
export const removeVersion = (store: Store, row: VersionRow, dropped: string[]): void => {
  dropped.push(...partsOf(store, row.id).map((part) => part.body))
  store.run('DELETE FROM versionParts WHERE version = ?', row.id)
  store.run('DELETE FROM versions WHERE id = ?', row.id)
  refreshLatest(store, row.bucket, row.key)
}

/** Adds a version: with an id of its own where versioning is on, else in place of the `null` version. */
export const insertVersion = (store: Store, bucket: Bucket, object: NewVersion, dropped: string[]): VersionRow => {
  const key = keyBytes(object.key)
  const enabled = bucket.versioning === 'Enabled'
  const version = enabled ? randomBytes(24).toString('base64url').replaceAll('-', '.') : 'null'
  const replaced = enabled ? undefined : versionById(store, bucket.name, object.key, 'null')
  if (replaced) removeVersion(store, replaced, dropped)
  const rank = (enabled ? object.rank : undefined) ?? nextRank(store)
  const row = store.get<{ id: number }>(
    `INSERT INTO versions (bucket, key, version, rank, latest, marker, modified, size, etag, about, tags,
      algorithm, checksumType, checksum, partsCount) VALUES (?, ?, ?, ?, 0, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id`,
    bucket.name,
    key,
    version,
    rank,
    Number(object.marker),
    object.modified,
    object.size,
    object.etag,
    JSON.stringify(object.about ?? {}),
    JSON.stringify(object.tags),
    object.checksum?.algorithm ?? null,
    object.checksum?.type ?? null,
    object.checksum?.value ?? null,
    object.partsCount ?? null,
  )
  for (const part of object.parts)
    store.run(
      'INSERT INTO versionParts VALUES (?, ?, ?, ?, ?)',
      row?.id ?? null,
      part.number,
      part.body,
      part.size,
      part.checksum,
    )
  refreshLatest(store, bucket.name, key)
  const inserted = versionById(store, bucket.name, object.key, version)
  if (!inserted) throw new Error(`${bucket.name}/${object.key}: the version just inserted is not there`)
  return inserted
}

/** S3 names the version, `null` too, wherever versioning was ever switched on. */
export const versionHeader = (bucket: Bucket, row: VersionRow): AnswerHeaders =>
  bucket.versioning === null ? {} : { 'x-amz-version-id': row.version }

export const checksumHeaders = (row: VersionRow): AnswerHeaders =>
  row.algorithm && row.checksum
    ? { [checksumHeader(row.algorithm)]: row.checksum, 'x-amz-checksum-type': row.checksumType ?? undefined }
    : {}
