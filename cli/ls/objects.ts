import { listFailures } from '../../shared/weights/catalog-failures.ts'
import { findDeletions } from '../../shared/weights/catalog-deleted.ts'
import { listObjects } from '../../shared/weights/catalog-objects.ts'
import { surveyObjects } from '../../shared/weights/catalog-pending.ts'
import type { DeletedRecord } from '../../shared/weights/manifest.ts'
import { humanAge, humanBytes, roughDuration, plural, renderTable } from '../output.ts'
import {
  keySqueeze,
  type Listing,
  namesMaxDefault,
  noteSqueeze,
  recordsMaxDefault,
  versionSqueeze,
  type View,
} from './listing.ts'

/** Object versions below a prefix of a source bucket, in every state. */

type Place = { bucket: string; key: string }

/** `bytes` and `lastModified` are those of the source, null where nothing knows them. */
type Row = Place & {
  version: string | null
  state: string
  bytes: number | null
  lastModified: string | null
  note: string
  more: Record<string, unknown>
}

const noteOf = (deletion: DeletedRecord | undefined, nowMs: number): string =>
  deletion ? `deleted in the source ${humanAge(deletion.at, nowMs)}` : ''

const sealedRows = async ({ store, nowMs }: View, { bucket, key }: Place, limit: number) => {
  const { objects, truncated } = await listObjects(store, bucket, key, limit)
  const deletions = await findDeletions(store, bucket, key, objects, limit)
  const rows = objects.map(({ name, object }): Row => {
    const { source, state, size, sealedAt } = object
    const deletion = deletions.byManifest.get(name)
    return {
      bucket: source.bucket,
      key: source.key,
      version: source.version,
      state,
      bytes: size,
      lastModified: source.lastModified,
      note: noteOf(deletion, nowMs),
      more: {
        sealedAt,
        manifest: name,
        deleted: deletion ? { at: deletion.at, deletion: deletion.deletion } : null,
      },
    }
  })
  return { rows, truncated, deletionsTruncated: deletions.truncated }
}

const pendingRows = async ({ store, nowMs, limit }: View, place: Place) => {
  const namesMax = Math.max(limit ?? 0, namesMaxDefault)
  const { pending, pendingTruncated } = await surveyObjects(store, { namesMax, readsMax: limit ?? recordsMaxDefault })
  const wanted = pending?.filter(
    ({ record }) => record.source.bucket === place.bucket && record.source.key.startsWith(place.key),
  )
  const rows = wanted?.map(({ record, plannedAt }): Row => {
    const { bucket, key, version, lastModified } = record.source
    const note = `for ${roughDuration(nowMs - Date.parse(plannedAt))}`
    const more = { plannedAt, planId: record.planId, traceId: record.traceId }
    return { bucket, key, version, state: 'pending', bytes: record.size, lastModified, note, more }
  })
  return { rows: rows ?? [], known: pending !== undefined, truncated: pendingTruncated }
}

const failedRows = async ({ store, nowMs }: View, place: Place, limit: number) => {
  const { failed, truncated } = await listFailures(
    store,
    limit,
    ({ bucket, key }) => bucket === place.bucket && key !== undefined && key.startsWith(place.key),
  )
  const rows = failed
    .filter(({ since }) => since === undefined)
    .map(({ state, key = '', version = null, reason, at, traceId }): Row => {
      const note = `${humanAge(at, nowMs)}: ${reason}`
      const more = { reason, at, traceId }
      return { bucket: place.bucket, key, version, state, bytes: null, lastModified: null, note, more }
    })
  return { rows, truncated }
}

const byKeyThenTime = (a: Row, b: Row): number => {
  if (a.key !== b.key) return a.key < b.key ? -1 : 1
  return Date.parse(b.lastModified ?? '') - Date.parse(a.lastModified ?? '') || 0
}

const render = (rows: readonly Row[], { nowMs, width }: View): string => {
  const cells = rows.map(({ key, version, state, bytes, lastModified, note }) => [
    key,
    version ?? '-',
    state,
    bytes === null ? '-' : humanBytes(bytes),
    lastModified === null ? '-' : humanAge(lastModified, nowMs),
    note,
  ])
  const squeezes = [versionSqueeze('version'), noteSqueeze(''), keySqueeze('key'), keySqueeze('key', 16)]
  return renderTable(['key', 'version', 'state', 'size', 'modified', ''], cells, ['size'], { width, squeezes })
}

export const listKeys = async (view: View, place: Place): Promise<Listing> => {
  const limit = view.limit ?? recordsMaxDefault
  // Pending before sealed: what is sealed in between is listed as sealed.
  const pending = await pendingRows(view, place)
  const failed = await failedRows(view, place, limit)
  const sealed = await sealedRows(view, place, limit)
  const ends = new Set(sealed.rows.map(({ key, version }) => JSON.stringify([key, version])))
  const open = pending.rows.filter(({ key, version }) => !ends.has(JSON.stringify([key, version])))
  const rows = [...sealed.rows, ...open, ...failed.rows].sort(byKeyThenTime)
  const notes = [
    ...(sealed.truncated ? [`and more: this is the first ${plural(limit, 'record')}, --limit shows others`] : []),
    ...(pending.known ? [] : ['what is pending is not known: more names than --limit allows to look at']),
    ...(pending.truncated && pending.known ? ['more is pending than was read: --limit reads others'] : []),
    ...(failed.truncated ? [`only the last ${plural(limit, 'failure')} were read: --limit reads others`] : []),
    ...(sealed.deletionsTruncated ? ['not every deletion was read: --limit reads others'] : []),
  ]
  const none = `nothing in the replica begins with s3://${place.bucket}/${place.key}\n`
  const text = `${rows.length === 0 ? none : render(rows, view)}${notes.map((line) => `${line}\n`).join('')}`
  const objects = rows.map(({ note: _note, more, ...fact }) => ({ ...fact, ...more }))
  const truncated = {
    objects: sealed.truncated,
    pending: pending.truncated,
    failed: failed.truncated,
    deleted: sealed.deletionsTruncated,
  }
  return { json: { objects, pendingKnown: pending.known, truncated }, text }
}
