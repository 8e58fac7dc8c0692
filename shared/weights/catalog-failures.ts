import { mapInOrder, toArray } from '../bounded.ts'
import { InvalidInputError } from '../errors.ts'
import type { BlobStat, BlobStore } from '../ports.ts'
import type { FoundRelease } from './catalog.ts'
import { readsAtOnce, readSealed, sealedNamesOf, statsOf } from './catalog-read.ts'
import { type FailedRecord, failedSchema, type parseRecord, type WaitingRecord, waitingSchema } from './manifest.ts'
import { parseFailedName, parseWaitingName } from './names.ts'
import { readRecord } from './restore-read.ts'

/** What did not become a manifest, and what a release waits for. */

const isFailed = (name: string): boolean => parseFailedName(name) !== undefined
const isWaiting = (name: string): boolean => parseWaitingName(name) !== undefined

const byTime = (a: { at: string }, b: { at: string }): number => Date.parse(b.at) - Date.parse(a.at)

/** The records under `prefix` that were written last, at most `limit` of them, newest first. */
const readNewest = async <T extends { at: string }>(
  store: BlobStore,
  prefix: string,
  isName: (name: string) => boolean,
  schema: Parameters<typeof parseRecord<T>>[0],
  limit: number,
): Promise<{ records: T[]; truncated: boolean }> => {
  const stats = (await toArray(statsOf(store, prefix, isName))).sort((a, b) => b.createdAt - a.createdAt)
  const read = async ({ name }: BlobStat): Promise<T> => (await readRecord(store, name, schema)).record
  const records = await toArray(mapInOrder(stats.slice(0, limit), readsAtOnce, read))
  return { records: records.sort(byTime), truncated: stats.length > limit }
}

/** `since` is the manifest that the same object version got nevertheless. */
export type Failure = FailedRecord & { since?: { state: 'protected' | 'sealed'; sealedAt: string; manifest: string } }

const sealedSince = async (store: BlobStore, record: FailedRecord): Promise<Failure> => {
  const { bucket, key, version } = record
  if (bucket === undefined || key === undefined || version === undefined) return record
  try {
    for await (const name of sealedNamesOf(store, { bucket, key, version })) {
      const found = await readSealed(store, name)
      if (!found) continue
      const { state, sealedAt } = found.object
      return { ...record, since: { state, sealedAt, manifest: name } }
    }
  } catch (error) {
    // What was refused may bear names that no manifest can have.
    if (!(error instanceof InvalidInputError)) throw error
  }
  return record
}

/**
 * Why objects did not become manifests, newest first: of the last `limit` records (of one `state`) those that are `wanted`,
 * each with what became of its version since.
 */
export const listFailures = async (
  store: BlobStore,
  limit: number,
  wanted: (record: FailedRecord) => boolean = () => true,
  state?: FailedRecord['state'],
): Promise<{ failed: Failure[]; truncated: boolean }> => {
  const folder = state === undefined ? 'failed/' : `failed/${state}/`
  const { records, truncated } = await readNewest<FailedRecord>(store, folder, isFailed, failedSchema, limit)
  const failed = mapInOrder(records.filter(wanted), readsAtOnce, (record) => sealedSince(store, record))
  return { failed: await toArray(failed), truncated }
}

/** Releases that still wait, each with its last reason; one that was sealed since waits no more. */
export const listWaiting = async (
  store: BlobStore,
  releases: readonly FoundRelease[],
  limit: number,
): Promise<{ waiting: WaitingRecord[]; truncated: boolean }> => {
  const { records, truncated } = await readNewest<WaitingRecord>(store, 'waiting/', isWaiting, waitingSchema, limit)
  const last = new Map<string, WaitingRecord>()
  for (const record of records) {
    const key = JSON.stringify([record.bucket, record.model, record.version])
    if (!last.has(key)) last.set(key, record)
  }
  const isSealed = (record: WaitingRecord): boolean =>
    releases.some(
      ({ release }) =>
        release.bucket === record.bucket &&
        release.model === record.model &&
        (record.version === '-' || release.version === record.version) &&
        Date.parse(release.sealedAt) >= Date.parse(record.at),
    )
  return { waiting: [...last.values()].filter((record) => !isSealed(record)), truncated }
}
