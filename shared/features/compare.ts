import { mapInOrder } from '../bounded.ts'
import { bucketCount, type BucketDigests, bucketOf, bucketStart, createBucketDigests } from './bucket-digests.ts'
import { itemOfKey, type KeyNames, type TableRule } from './change.ts'
import type { ItemSource } from './deps.ts'
import { isTombstone, keyOfRow, replicaDigest, sourceRow, type SourceRow } from './row-digest.ts'
import type { ItemKey } from './row-key.ts'
import type { RowStore, StoredRow } from './row-store.ts'
import { isStartKey } from './start.ts'

/** Compares a whole table with its replica: one scan of each side, and a second look at only what differs. */

type Deps = { source: ItemSource; rows: RowStore }
type Rule = Pick<TableRule, 'name' | 'target' | 'omit'>

/** `missing`: of the source only. `extra`: of the replica only. `key` is undefined where an extra row does not say it. */
export type Difference = { kind: 'missing' | 'extra' | 'changed'; rowKey: Uint8Array; key: ItemKey | undefined }

export type Comparison = {
  source: { items: number; digest: string }
  /** `tombstones` are not among `items`. */
  replica: { items: number; digest: string; tombstones: number }
  /** Rows that differ at the second look too. While digests differ it may be 0: then the table changed in between. */
  differences: number
  /** The first of them. */
  examples: Difference[]
}

const pageRows = 500
const getsInFlight = 16

async function* inPages<T>(items: AsyncIterable<T>): AsyncGenerator<T[]> {
  let page: T[] = []
  for await (const item of items) {
    if (page.push(item) < pageRows) continue
    yield page
    page = []
  }
  if (page.length > 0) yield page
}

const digestSource = async ({ source }: Deps, rule: Rule, names: KeyNames): Promise<BucketDigests> => {
  const digests = createBucketDigests()
  for await (const item of source.scan(rule.name)) {
    const { rowKey, digest } = sourceRow(rule, names, item)
    digests.add(rowKey, digest)
  }
  return digests
}

const digestReplica = async ({ rows }: Deps, rule: Rule): Promise<{ digests: BucketDigests; tombstones: number }> => {
  const digests = createBucketDigests()
  let tombstones = 0
  for await (const row of rows.scan(rule.target, { start: Buffer.alloc(0) })) {
    if (isStartKey(row.key)) continue
    const digest = replicaDigest(row)
    if (digest) digests.add(row.key, digest)
    else tombstones += 1
  }
  return { digests, tombstones }
}

/** Scans the source again, and reads from the replica the rows of its items in the differing buckets. */
async function* missingOrChanged(
  { source, rows }: Deps,
  rule: Rule,
  names: KeyNames,
  differs: (bucket: number) => boolean,
): AsyncGenerator<Difference> {
  const suspects = async function* (): AsyncGenerator<SourceRow> {
    for await (const item of source.scan(rule.name)) {
      const row = sourceRow(rule, names, item)
      if (differs(bucketOf(row.rowKey))) yield row
    }
  }
  for await (const page of inPages(suspects())) {
    const stored = await rows.read(
      rule.target,
      page.map(({ rowKey }) => rowKey),
    )
    for (const [index, { rowKey, key, digest }] of page.entries()) {
      const found = replicaDigest(stored[index])
      if (found?.equals(digest) !== true) yield { kind: found ? 'changed' : 'missing', rowKey, key }
    }
  }
}

/** Ranges of the differing buckets; one goes on over buckets without rows, so that many buckets are few reads. */
const rangesOf = (replica: BucketDigests, differs: (bucket: number) => boolean): { start: Buffer; end?: Buffer }[] => {
  const ranges: { start: Buffer; end?: Buffer }[] = []
  let open: { start: Buffer; end?: Buffer } | undefined
  for (let bucket = 0; bucket < bucketCount; bucket += 1) {
    if (replica.rows(bucket) === 0) continue
    if (!differs(bucket)) {
      open = undefined
      continue
    }
    if (!open) ranges.push((open = { start: bucketStart(bucket) }))
    if (bucket === bucketCount - 1) delete open.end
    else open.end = bucketStart(bucket + 1)
  }
  return ranges
}

/** Lists the differing buckets in the replica, and asks the source for each row that says it has an item. */
async function* extra(
  { source, rows }: Deps,
  rule: Rule,
  names: KeyNames,
  ranges: readonly { start: Buffer; end?: Buffer }[],
): AsyncGenerator<Difference> {
  const present = async function* (): AsyncGenerator<StoredRow> {
    for (const range of ranges)
      for await (const row of rows.scan(rule.target, range)) if (!isStartKey(row.key) && !isTombstone(row)) yield row
  }
  const look = async (row: StoredRow): Promise<Difference | undefined> => {
    const key = keyOfRow(row, names)
    const item = key && (await source.get(rule.name, itemOfKey(key, names)))
    return item ? undefined : { kind: 'extra', rowKey: row.key, key }
  }
  for await (const found of mapInOrder(present(), getsInFlight, look)) if (found) yield found
}

/**
 * Counts and digests both sides, and names up to `examplesMax` rows that differ, without the attributes that the rule
 * omits. Memory does not grow with the table. A table without rows on either side compares equal with 0 items: the caller
 * says whether that proves anything.
 */
export const compareTable = async (deps: Deps, rule: Rule, examplesMax = 10): Promise<Comparison> => {
  const names = await deps.source.keys(rule.name)
  const source = await digestSource(deps, rule, names)
  const { digests: replica, tombstones } = await digestReplica(deps, rule)
  const differs = (bucket: number): boolean => !source.equals(replica, bucket)
  let differences = 0
  const examples: Difference[] = []
  const count = async (found: AsyncIterable<Difference>): Promise<void> => {
    for await (const difference of found) {
      differences += 1
      if (examples.length < examplesMax) examples.push(difference)
    }
  }
  if (source.digest() !== replica.digest()) {
    await count(missingOrChanged(deps, rule, names, differs))
    await count(extra(deps, rule, names, rangesOf(replica, differs)))
  }
  return {
    source: { items: source.total(), digest: source.digest() },
    replica: { items: replica.total(), digest: replica.digest(), tombstones },
    differences,
    examples,
  }
}
