import { hash } from 'node:crypto'
import * as z from 'zod'
import { RefusedError } from '../errors.ts'
import { scannedBytes } from '../features/backfill-row.ts'
import { itemKeyOf, ruleOfTable } from '../features/change.ts'
import { forEachBounded } from '../bounded.ts'
import type { SourceVersionEntry } from '../ports.ts'
import type { Deadline, WeightsDeps } from '../weights/deps.ts'
import { traceIdOf, versionOf } from '../weights/identity.ts'
import { ruleFor } from '../weights/plan.ts'
import type { BackfillDeps } from './deps.ts'
import { openChain } from './export.ts'
import { type Candidate, candidateSchema, readSample } from './sample.ts'
import { pricesOf } from './prices.ts'
import { provenSince, checkAge } from './proven.ts'
import { accountOf } from './quantities.ts'
import type { ObjectsSpec, Spec, TableSpec } from './run.ts'

/**
 * What a backfill would do, without doing it. Of objects the whole listing is read and counted, and some contents are read,
 * cut and encoded as a copy would: those whose hashes are the smallest, so that all objects of one content are in the sample
 * or none is, and what is stored twice counts in it as it does in all. Of a table the first pages of its segments are.
 */

const sampleObjectsMax = 64
const entriesPerPage = 1000
const reserveMs = 60_000
const sampleItems = 250

const whole = z.number().nonnegative()

/** How far the listing is: the caller keeps it and gives it back. */
export const tallySchema = z.object({
  cursor: z.object({ key: z.string(), versionId: z.string().exactOptional() }).exactOptional(),
  isListed: z.boolean(),
  listed: whole,
  wanted: whole,
  bytes: whole,
  alreadyThere: whole,
  unreplicable: whole,
  sample: z.array(candidateSchema),
})
export type Tally = z.infer<typeof tallySchema>

const emptyTally: Tally = {
  isListed: false,
  listed: 0,
  wanted: 0,
  bytes: 0,
  alreadyThere: 0,
  unreplicable: 0,
  sample: [],
}

/** Keeps the smallest hashes; one that leaves never comes back, so that copies of those that stay are all counted. */
const sampled = (sample: Candidate[], bucketEntry: SourceVersionEntry): Candidate[] => {
  const { key, versionId, etag = '', size = 0 } = bucketEntry
  const id = hash('sha256', `${etag}/${size}`, 'hex')
  const known = sample.find((one) => one.hash === id)
  if (known) {
    known.copies += 1
    return sample
  }
  const last = sample.at(-1)
  if (sample.length >= sampleObjectsMax && last && id > last.hash) return sample
  const next = [...sample, { hash: id, key, size, copies: 1, ...(versionId === undefined ? {} : { versionId }) }]
  return next.toSorted((a, b) => (a.hash < b.hash ? -1 : 1)).slice(0, sampleObjectsMax)
}

const listPage = async (weights: WeightsDeps, spec: ObjectsSpec, tally: Tally, entries: SourceVersionEntry[]) => {
  const wanted = entries.filter(
    ({ key, etag, isLatest }) =>
      etag !== undefined && (spec.versions === 'all' || isLatest) && ruleFor(weights.config, spec.bucket, key),
  )
  tally.listed += wanted.length
  const rows = new Map<SourceVersionEntry, string | undefined>()
  await forEachBounded(wanted, 32, async (entry) => {
    const version = versionOf({ ...entry, etag: entry.etag ?? '', versionId: entry.versionId })
    const row = await weights.objects.get(traceIdOf(spec.bucket, entry.key, version))
    rows.set(entry, row?.state)
  })
  for (const entry of wanted) {
    const state = rows.get(entry)
    if (state !== undefined && state !== 'superseded') tally.alreadyThere += 1
    else if (entry.isArchived || (entry.versionId === undefined && !entry.isLatest)) tally.unreplicable += 1
    else {
      tally.wanted += 1
      tally.bytes += entry.size ?? 0
      tally.sample = sampled(tally.sample, entry)
    }
  }
}

export type Estimated =
  | { kind: 'goes on'; tally: Tally }
  | { kind: 'estimated'; estimate: Record<string, number>; notes: string[] }

const estimateObjects = async (
  { weights }: BackfillDeps,
  spec: ObjectsSpec,
  { from, prices, deadline }: { from: Tally | undefined; prices: unknown; deadline: Deadline },
): Promise<Estimated> => {
  const tally = from ?? structuredClone(emptyTally)
  if (!tally.isListed) {
    for await (const page of weights.source.versionPages(spec.bucket, spec.prefix, tally.cursor, entriesPerPage)) {
      await listPage(weights, spec, tally, page.entries)
      if (!page.next) {
        tally.isListed = true
        break
      }
      tally.cursor = page.next
      // What is read for the sample has a call of its own, where the listing took long.
      if (deadline.remainingMs() < 4 * reserveMs) return { kind: 'goes on', tally }
    }
    tally.isListed = true
  }
  const sample = await readSample(weights, { bucket: spec.bucket, sample: tally.sample, deadline })
  const per = (part: number): number => (sample.bytes > 0 ? part / sample.bytes : 0)
  const { unread } = sample
  const wanted = tally.wanted - unread.copies
  const bytes = tally.bytes - unread.bytes
  const work = {
    read: tally.listed,
    done: wanted,
    bytesRead: bytes,
    bytesSent: Math.round(bytes * per(sample.sent)),
    readUnits: 0,
    chunks: Math.max(Math.round(bytes * per(sample.chunks)), wanted > 0 ? tally.sample.length : 0),
    segments: Math.max(wanted, Math.ceil(bytes / 2 ** 28)),
  }
  const counts = {
    alreadyThere: tally.alreadyThere,
    unreplicable: tally.unreplicable + unread.copies,
    sampleObjects: sample.objects,
    sampleBytes: sample.bytes,
    sampleSent: Math.round(sample.sent),
  }
  const notes =
    tally.unreplicable > 0 ? [`${tally.unreplicable} cannot be read: archived, or from before versions`] : []
  if (unread.why !== undefined)
    notes.push(`${unread.copies} of the sample cannot be read, and as many of the rest as it stands for: ${unread.why}`)
  return { kind: 'estimated', estimate: { ...accountOf(spec, work, pricesOf(prices)), ...counts }, notes }
}

type RowsSample = { items: number; bytes: number; sent: number; readUnits: number }

const sampleScan = async (deps: BackfillDeps, spec: TableSpec): Promise<RowsSample> => {
  const rows = await deps.openRows()
  const rule = ruleOfTable(deps.weights.config, spec.table)
  const names = await rows.keys(spec.table)
  const sample: RowsSample = { items: 0, bytes: 0, sent: 0, readUnits: 0 }
  for (let segment = 0; segment < spec.segments; segment += 1) {
    const page = await rows.scan.page(spec.table, { segment, segments: spec.segments, itemsMax: sampleItems })
    sample.items += page.items.length
    sample.bytes += page.bytes
    sample.readUnits += page.readUnits
    for (const item of page.items) sample.sent += scannedBytes(rule, { key: itemKeyOf(item, names), item })
  }
  return sample
}

const estimateTable = async (deps: BackfillDeps, spec: TableSpec, prices: unknown): Promise<Estimated> => {
  const { config, source, clock } = deps.weights
  const rows = await deps.openRows()
  const notes: string[] = []
  const sample = await sampleScan(deps, spec)
  const about = await rows.scan.about(spec.table)
  const chain = spec.exports.length > 0 ? await openChain(source, { config, spec, checked: false }) : []
  // What the table says of itself is hours old: where it is smaller than what was seen, that is all there is.
  const items = chain.length > 0 ? chain.reduce((sum, one) => sum + one.items, 0) : Math.max(about.items, sample.items)
  const per = (part: number): number => (sample.items > 0 ? part / sample.items : 0)
  const nowMs = clock.now()
  try {
    const provenSinceMs = await provenSince({ ...rows, config, state: deps.state }, spec.table)
    checkAge('the state that would be written', chain[0]?.toMs ?? nowMs, { provenSinceMs, nowMs })
  } catch (error) {
    if (!(error instanceof RefusedError)) throw error
    notes.push(`would be refused now: ${error.message}`)
  }
  const work = {
    read: items,
    done: items,
    bytesRead: Math.round(items * per(sample.bytes)),
    bytesSent: Math.round(items * per(sample.sent)),
    readUnits: chain.length > 0 ? 0 : Math.ceil(items * per(sample.readUnits)),
  }
  const counts = { sampleItems: sample.items, sampleBytes: sample.bytes }
  return { kind: 'estimated', estimate: { ...accountOf(spec, work, pricesOf(prices)), ...counts }, notes }
}

export const estimate = (
  deps: BackfillDeps,
  spec: Spec,
  options: { from: Tally | undefined; prices: unknown; deadline: Deadline },
): Promise<Estimated> =>
  spec.kind === 'objects' ? estimateObjects(deps, spec, options) : estimateTable(deps, spec, options.prices)
