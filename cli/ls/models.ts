import { NotFoundError } from '../../shared/errors.ts'
import { findRelease, type FoundRelease, listReleases } from '../../shared/weights/catalog.ts'
import { listWaiting } from '../../shared/weights/catalog-failures.ts'
import { type Survey, surveyObjects } from '../../shared/weights/catalog-pending.ts'
import type { ReleaseManifest, WaitingRecord } from '../../shared/weights/manifest.ts'
import { humanAge, humanBytes, roughDuration, renderTable } from '../output.ts'
import {
  keySqueeze,
  type Listing,
  namesMaxDefault,
  noteSqueeze,
  recordsMaxDefault,
  versionSqueeze,
  type View,
} from './listing.ts'

/** Models, their versions and the members of one. */

const sizeOf = (release: ReleaseManifest): number => release.members.reduce((sum, { size }) => sum + size, 0)

const releaseFacts = ({ release }: FoundRelease): Record<string, unknown> => ({
  model: release.model,
  version: release.version,
  releaseId: release.releaseId,
  state: release.state,
  completeness: release.completeness,
  publishedAt: release.publishedAt,
  objects: release.members.length,
  bytes: sizeOf(release),
  parent: release.parent,
})

const newestOf = (releases: readonly FoundRelease[]): FoundRelease | undefined =>
  releases.find(({ release }) => release.state === 'protected') ?? releases[0]

// --------------------------------------------------------------------- sources

type Source = { bucket: string; versions: number; pending: number | null; oldestPendingAt: string | null }

/** One entry for each source bucket that the replica knows; `pending` is null where it cannot be told. */
const sourcesOf = (survey: Survey): Source[] => {
  const pending = Map.groupBy(survey.pending ?? [], ({ record }) => record.source.bucket)
  const buckets = [...new Set([...survey.sealed.keys(), ...pending.keys()])].sort()
  return buckets.map((bucket) => ({
    bucket,
    versions: survey.sealed.get(bucket) ?? 0,
    pending: survey.pending ? (pending.get(bucket)?.length ?? 0) : null,
    oldestPendingAt: pending.get(bucket)?.[0]?.plannedAt ?? null,
  }))
}

const sourcesText = (sources: readonly Source[], survey: Survey, { nowMs, width }: View): string => {
  const rows = sources.map(({ bucket, versions, pending, oldestPendingAt }) => [
    `s3://${bucket}`,
    `${versions}${survey.namesTruncated ? '+' : ''}`,
    pending === null ? 'unknown' : `${pending}${survey.pendingTruncated ? '+' : ''}`,
    oldestPendingAt === null ? '-' : roughDuration(nowMs - Date.parse(oldestPendingAt)),
  ])
  const head = ['source', 'versions kept', 'pending', 'oldest pending']
  const table = renderTable(head, rows, ['versions kept', 'pending'], { width, squeezes: [keySqueeze('source')] })
  const more = 'not all names were looked at; --limit looks at more\n'
  return survey.namesTruncated ? table + more : table
}

// ---------------------------------------------------------------------- models

const modelsText = (
  models: Map<string, FoundRelease[]>,
  names: readonly string[],
  waiting: readonly WaitingRecord[],
  { nowMs, width }: View,
): string => {
  const rows = names.map((model) => {
    const versions = models.get(model) ?? []
    const release = newestOf(versions)?.release
    const open = waiting.filter((record) => record.model === model).length
    return [
      model,
      release?.version ?? '-',
      release?.state ?? 'waiting',
      String(versions.length),
      String(release?.members.length ?? 0),
      release ? humanBytes(sizeOf(release)) : '-',
      release ? humanAge(release.publishedAt, nowMs) : '-',
      open > 0 ? `${open} waiting` : '',
    ]
  })
  const head = ['model', 'newest', 'state', 'versions', 'objects', 'size', 'published', '']
  const squeezes = [keySqueeze('model'), versionSqueeze('newest')]
  return renderTable(head, rows, ['versions', 'objects', 'size'], { width, squeezes })
}

/** Every model, then every source bucket. */
export const listModels = async (view: View): Promise<Listing> => {
  const { store, limit } = view
  const { releases, damaged: unread } = await listReleases(store)
  const damaged = unread.map(({ name }) => name)
  const { waiting, truncated } = await listWaiting(store, releases, limit ?? recordsMaxDefault)
  const survey = await surveyObjects(store, {
    namesMax: limit ?? namesMaxDefault,
    readsMax: limit ?? recordsMaxDefault,
  })
  const models = Map.groupBy(releases, ({ release }) => release.model)
  const names = [...new Set([...models.keys(), ...waiting.map(({ model }) => model)])].sort()
  const facts = names.map((model) => {
    const versions = models.get(model) ?? []
    const newest = newestOf(versions)
    return {
      model,
      newest: newest ? releaseFacts(newest) : null,
      versions: versions.length,
      waiting: waiting.filter((record) => record.model === model).length,
    }
  })
  const sources = sourcesOf(survey)
  const none =
    'no releases in the replica; "lifeboat ls s3://bucket/" lists single objects, "lifeboat ls --failed" what was refused\n'
  const tables = [
    ...(names.length > 0 ? [modelsText(models, names, waiting, view)] : damaged.length > 0 ? [] : [none]),
    ...(sources.length === 0 ? [] : [sourcesText(sources, survey, view)]),
  ]
  const json = {
    models: facts,
    sources,
    damaged,
    truncated: { names: survey.namesTruncated, pending: survey.pendingTruncated, waiting: truncated },
  }
  return { json, text: tables.join('\n'), damaged }
}

/** The versions of one model, newest first, those that wait before them with the reason. */
export const listVersions = async (view: View, model: string): Promise<Listing> => {
  const { store, nowMs, width, limit } = view
  const { releases, damaged: unread } = await listReleases(store, model)
  const damaged = unread.map(({ name }) => name)
  const all = await listWaiting(store, releases, limit ?? recordsMaxDefault)
  const waiting = all.waiting.filter((record) => record.model === model)
  if (releases.length + waiting.length + damaged.length === 0)
    throw new NotFoundError(`the replica has no model ${model}: "lifeboat ls" lists what it has`)
  const rows = [
    ...waiting.map(({ version, reason, at }) => [version, 'waiting', '-', '-', '-', humanAge(at, nowMs), reason]),
    ...releases.map(({ release }) => [
      release.version,
      release.state,
      release.completeness,
      String(release.members.length),
      humanBytes(sizeOf(release)),
      humanAge(release.publishedAt, nowMs),
      release.parent ? `after ${release.parent.version}` : '',
    ]),
  ]
  const head = ['version', 'state', 'complete by', 'objects', 'size', 'published', '']
  const squeezes = [noteSqueeze(''), versionSqueeze('version')]
  const text = renderTable(head, rows, ['objects', 'size'], { width, squeezes })
  const json = { model, versions: releases.map(releaseFacts), waiting, damaged, truncated: all.truncated }
  return { json, text, damaged }
}

/** The objects of one release. */
export const listMembers = async ({ store, width }: View, model: string, version: string): Promise<Listing> => {
  const found = await findRelease(store, model, version)
  const { members } = found.release
  const rows = members.map(({ path, size, version: objectVersion }) => [path, humanBytes(size), objectVersion])
  const squeezes = [versionSqueeze('object version'), keySqueeze('path')]
  return {
    json: { ...releaseFacts(found), members },
    text: renderTable(['path', 'size', 'object version'], rows, ['size'], { width, squeezes }),
  }
}
