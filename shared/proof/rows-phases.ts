import { mapInOrder } from '../bounded.ts'
import { itemToJson, parseItem } from '../features/attribute-json.ts'
import { bucketCount, bucketOf } from '../features/bucket-digests.ts'
import { itemOfKey, type KeyNames } from '../features/change.ts'
import type { Item } from '../features/item.ts'
import { addKey, equalSums, noKeys } from '../features/key-buckets.ts'
import { isTombstone, keyOfRow, replicaDigest, sourceRow } from '../features/row-digest.ts'
import type { StoredRow } from '../features/row-store.ts'
import { isStartKey } from '../features/start.ts'
import { type CompareDeps, markDiffering, nextDiffering, type RowsWork, suspectRow } from './rows-work.ts'

/**
 * The first look of a comparison, in phases; each finds suspects only. Every yield is a place to stop at and to go on from:
 * what was looked at until then is in the work.
 */

const pagesInFlight = 2
const rowsPerRead = 500
const rowsPerStep = 5000
const getsInFlight = 32
const recentRanges = 256
const hourMs = 3_600_000
/** Changes of three hours every hour: a call that comes late leaves none out. */
export const recentHours = 3

const inRuns = <T>(all: readonly T[], length: number): T[][] =>
  Array.from({ length: Math.ceil(all.length / length) }, (_, index) => all.slice(index * length, (index + 1) * length))

const behind = (key: Uint8Array): string => `${Buffer.from(key).toString('hex')}00`

/** The rows that items should be, and whether they are; rows are read after their items. */
const lookAtItems = async ({ rows }: CompareDeps, { rule }: RowsWork, names: KeyNames, items: readonly Item[]) => {
  const wanted = items.map((item) => sourceRow(rule, names, item))
  const reads = inRuns(wanted, rowsPerRead).map((run) =>
    rows.read(
      rule.target,
      run.map(({ rowKey }) => rowKey),
    ),
  )
  const stored = (await Promise.all(reads)).flat()
  return wanted.map(({ rowKey, key, digest }, index) => ({
    rowKey,
    keyItem: itemOfKey(key, names),
    isEqual: replicaDigest(stored[index])?.equals(digest) === true,
  }))
}

/** The source page by page, each item with its row; of every key its bucket's sum. `pagesMax` of them. */
async function* comparePages(deps: CompareDeps, work: RowsWork, pagesMax = Infinity): AsyncGenerator<void> {
  const { run, keys } = work
  const names = await deps.source.keys(work.rule.name)
  const from = run.cursor === undefined ? undefined : parseItem(JSON.parse(run.cursor))
  const looked = mapInOrder(deps.source.pages(work.rule.name, from), pagesInFlight, async ({ items, next }) => ({
    rows: await lookAtItems(deps, work, names, items),
    next,
  }))
  let pages = 0
  for await (const { rows, next } of looked) {
    const now = deps.clock.now()
    for (const { rowKey, keyItem, isEqual } of rows) {
      keys.add(rowKey)
      if (!isEqual) suspectRow(work, rowKey, now, keyItem)
    }
    run.counts.items += rows.length
    run.cursor = next && JSON.stringify(itemToJson(next))
    pages += 1
    if (!next || pages >= pagesMax) return
    yield
  }
}

type OpenBucket = { bucket: number; keys: number; high: number; low: number }

const closeBucket = (work: RowsWork, open: OpenBucket | undefined): void => {
  if (!open || equalSums(open, work.keys.of(open.bucket))) return
  markDiffering(work, open.bucket)
  work.run.counts.bucketsDiffering += 1
}

/** The replica's keys in order, so that one bucket after the other is complete, against the source's sums. */
async function* compareKeys(deps: CompareDeps, work: RowsWork): AsyncGenerator<void> {
  const { run, rule } = work
  let { open } = run
  let sinceStep = 0
  const start = Buffer.from(run.cursor ?? '', 'hex')
  for await (const row of deps.rows.scan(rule.target, { start, markersOnly: true })) {
    if (isStartKey(row.key)) continue
    const bucket = bucketOf(row.key)
    if (open?.bucket !== bucket) {
      closeBucket(work, open)
      open = { bucket, ...noKeys() }
    }
    if (isTombstone(row)) run.counts.tombstones += 1
    else {
      run.counts.rows += 1
      addKey(open, row.key)
    }
    sinceStep += 1
    if (sinceStep < rowsPerStep) continue
    sinceStep = 0
    run.cursor = behind(row.key)
    run.open = open
    yield
  }
  closeBucket(work, open)
}

/** Live rows of the buckets whose keys differ. A bucket without rows has nothing that the source has not. */
async function* rowsToLookUp(deps: CompareDeps, work: RowsWork): AsyncGenerator<StoredRow> {
  const { run, rule } = work
  const from = run.cursor === undefined ? undefined : Buffer.from(run.cursor, 'hex')
  let bucket = from ? bucketOf(from) : 0
  while (bucket < bucketCount) {
    const range = nextDiffering(work, bucket)
    if (!range) return
    const start = from && Buffer.compare(from, range.start) > 0 ? from : range.start
    for await (const row of deps.rows.scan(rule.target, { start, ...(range.end && { end: range.end }) }))
      if (!isStartKey(row.key) && !isTombstone(row)) yield row
    bucket = range.next
  }
}

/** Rows whose items the source has not. */
async function* lookForExtras(deps: CompareDeps, work: RowsWork): AsyncGenerator<void> {
  const { run, rule } = work
  const names = await deps.source.keys(rule.name)
  const look = async (row: StoredRow) => {
    const key = keyOfRow(row, names)
    return { row, isExtra: !key || !(await deps.source.get(rule.name, itemOfKey(key, names))) }
  }
  for await (const { row, isExtra } of mapInOrder(rowsToLookUp(deps, work), getsInFlight, look)) {
    if (isExtra) suspectRow(work, row.key, deps.clock.now())
    run.counts.rowsReadAgain += 1
    run.cursor = behind(row.key)
    if (run.counts.rowsReadAgain % rowsPerRead === 0) yield
  }
}

async function* recentKeys(deps: CompareDeps, work: RowsWork): AsyncGenerator<{ keys: Buffer[]; next: string }> {
  const { run, rule } = work
  const changedSince = Math.floor((run.startedAt - recentHours * hourMs) / 1000)
  // Many requests, since one that finds nothing in a large table is answered only at its end.
  let start = Buffer.from(run.cursor ?? '', 'hex')
  for (let range = start[0] ?? 0; range < recentRanges; range += 1) {
    const end = range + 1 < recentRanges ? { end: Buffer.of(range + 1) } : {}
    let keys: Buffer[] = []
    for await (const { key } of deps.rows.scan(rule.target, { start, ...end, changedSince })) {
      if (isStartKey(key)) continue
      if (keys.push(Buffer.from(key)) < rowsPerRead) continue
      yield { keys, next: behind(key) }
      keys = []
    }
    start = Buffer.of(Math.min(range + 1, recentRanges - 1))
    if (keys.length > 0) yield { keys, next: 'end' in end ? start.toString('hex') : behind(keys.at(-1) ?? start) }
  }
}

/** Rows with a cell of the last hours, each with its item; finds what was applied or written wrongly, not what never came. */
async function* compareRecent(deps: CompareDeps, work: RowsWork): AsyncGenerator<void> {
  const { run, rule } = work
  const names = await deps.source.keys(rule.name)
  const look = async (row: StoredRow) => {
    const key = keyOfRow(row, names)
    const item = key && (await deps.source.get(rule.name, itemOfKey(key, names)))
    const found = replicaDigest(row)
    const wanted = item && sourceRow(rule, names, item).digest
    return { row, isEqual: wanted && found ? wanted.equals(found) : wanted === found }
  }
  for await (const { keys, next } of recentKeys(deps, work)) {
    const rows = (await deps.rows.read(rule.target, keys)).filter((row) => row !== undefined)
    for await (const { row, isEqual } of mapInOrder(rows, getsInFlight, look)) {
      run.counts.changedLately += 1
      if (!isEqual) suspectRow(work, row.key, deps.clock.now())
    }
    run.cursor = next
    yield
  }
}

/** The phases of a first look, one after the other, from where the work is. */
export async function* firstLook(deps: CompareDeps, work: RowsWork): AsyncGenerator<void> {
  const { run } = work
  const enter = (phase: RowsWork['run']['phase']): void => {
    run.phase = phase
    delete run.cursor
    delete run.open
  }
  if (run.phase === 'items') {
    yield* comparePages(deps, work)
    enter('keys')
    yield
  }
  if (run.phase === 'keys') {
    yield* compareKeys(deps, work)
    enter('extras')
    yield
  }
  if (run.phase === 'extras') yield* lookForExtras(deps, work)
  if (run.phase === 'recent') {
    yield* compareRecent(deps, work)
    enter('sample')
  }
  // Where nothing changed lately, a page is compared all the same: a check must have looked at something.
  if (run.phase === 'sample' && run.counts.changedLately === 0) yield* comparePages(deps, work, 1)
  enter('settle')
}
