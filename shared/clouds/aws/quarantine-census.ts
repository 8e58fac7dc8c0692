import { GetObjectCommand, paginateListObjectsV2, type S3Client } from '@aws-sdk/client-s3'
import { mapInOrder } from '../../bounded.ts'
import { CorruptError, NotFoundError } from '../../errors.ts'
import { givenUpFolder, quarantineFolder, tableOfStream } from '../../features/quarantine-name.ts'
import type { Quarantined, QuarantineCensus } from '../../proof/lag-deps.ts'
import { translated } from './errors.ts'
import { parseGivenUp } from './quarantine.ts'

/** Past this many the counts are lower bounds. */
const namesMax = 20_000
/** Of batches that were given up, each as large as an invocation. */
const batchesReadMax = 20
const readsInFlight = 2

type Named = { name: string; putAt: number }

const readText = async (s3: S3Client, bucket: string, name: string): Promise<string> => {
  const text = await translated(`read s3://${bucket}/${name}`, async () => {
    const { Body } = await s3.send(new GetObjectCommand({ Bucket: bucket, Key: name }))
    return Body?.transformToString()
  })
  return text ?? ''
}

async function* list(s3: S3Client, bucket: string, prefix: string): AsyncGenerator<Named> {
  const pages = paginateListObjectsV2({ client: s3 }, { Bucket: bucket, Prefix: prefix })
  let names = 0
  for (;;) {
    const page = await translated(`list s3://${bucket}/${prefix}`, () => pages.next())
    if (page.done || names >= namesMax) return
    for (const { Key = '', LastModified } of page.value.Contents ?? []) {
      yield { name: Key, putAt: LastModified?.getTime() ?? 0 }
      names += 1
    }
  }
}

type Changed = { dynamodb?: { ApproximateCreationDateTime?: unknown } } | null | undefined

/** When the change came to be, where its record says so: it was put later. */
const createdAt = (record: Changed, putAt: number): number => {
  const second = record?.dynamodb?.ApproximateCreationDateTime
  return typeof second === 'number' ? Math.min(putAt, second * 1000) : putAt
}

const changedAt = async (s3: S3Client, bucket: string, { name, putAt }: Named): Promise<number> => {
  try {
    const { record } = JSON.parse(await readText(s3, bucket, name)) as { record?: Changed }
    return createdAt(record, putAt)
  } catch (error) {
    // Whatever lies there, it has lain there since; what was redriven meanwhile had.
    if (error instanceof SyntaxError || error instanceof NotFoundError) return putAt
    throw error
  }
}

type Census = Map<string, Quarantined>

const add = (census: Census, table: string, count: number, oldestAt: number): void => {
  const before = census.get(table)
  census.set(table, {
    count: (before?.count ?? 0) + count,
    oldestAt: Math.min(before?.oldestAt ?? Infinity, oldestAt),
  })
}

/**
 * Counts by names alone, as of quarantine-name.ts. Names of a stream order as its changes do, so that the first of each is
 * the oldest and the only one that is read.
 */
const countChanges = async (s3: S3Client, bucket: string, census: Census): Promise<void> => {
  const streams = new Set<string>()
  const firsts: { table: string; first: Named }[] = []
  for await (const named of list(s3, bucket, quarantineFolder())) {
    const [, table = '', stream = ''] = named.name.split('/')
    add(census, table, 1, named.putAt)
    if (!streams.has(`${table}/${stream}`)) firsts.push({ table, first: named })
    streams.add(`${table}/${stream}`)
  }
  for (const { table, first } of firsts) add(census, table, 0, await changedAt(s3, bucket, first))
}

/** By table; none where the batch was redriven meanwhile. */
const readBatch = async (s3: S3Client, bucket: string, { name, putAt }: Named): Promise<Census> => {
  const census: Census = new Map()
  try {
    const records = parseGivenUp(name, await readText(s3, bucket, name)) as (Changed & { eventSourceARN?: unknown })[]
    for (const record of records)
      add(census, tableOfStream(String(record?.eventSourceARN)) ?? 'unknown', 1, createdAt(record, putAt))
  } catch (error) {
    if (error instanceof NotFoundError) return census
    if (!(error instanceof CorruptError)) throw error
  }
  if (census.size === 0) add(census, 'unknown', 1, putAt)
  return census
}

/**
 * Lambda names batches `aws/lambda/MAPPING/SHARD/TIME-ID`: all of a mapping are of one table, and the first of a shard has its
 * oldest change. Firsts are read before others; a batch that is not read counts as one change of its mapping's table.
 */
const countGivenUp = async (s3: S3Client, bucket: string, census: Census): Promise<void> => {
  const shards = new Set<string>()
  const [firsts, others]: [Named[], Named[]] = [[], []]
  for await (const named of list(s3, bucket, givenUpFolder)) {
    const shard = named.name.split('/').slice(2, -1).join('/')
    void (shards.has(shard) ? others : firsts).push(named)
    shards.add(shard)
  }
  const all = [...firsts, ...others]
  const tables = new Map<string, string>()
  const mappingOf = ({ name }: Named): string => name.split('/')[2] ?? ''
  const read = async (named: Named) => ({ named, batch: await readBatch(s3, bucket, named) })
  for await (const { named, batch } of mapInOrder(all.slice(0, batchesReadMax), readsInFlight, read))
    for (const [table, { count, oldestAt = named.putAt }] of batch) {
      add(census, table, count, oldestAt)
      if (table !== 'unknown') tables.set(mappingOf(named), table)
    }
  for (const named of all.slice(batchesReadMax)) add(census, tables.get(mappingOf(named)) ?? 'unknown', 1, named.putAt)
}

/** Changes that were set aside one by one, and batches that Lambda gave up. */
export const createQuarantineCensus = ({ s3, bucket }: { s3: S3Client; bucket: string }): QuarantineCensus => ({
  take: async () => {
    const census: Census = new Map()
    await countChanges(s3, bucket, census)
    await countGivenUp(s3, bucket, census)
    return census
  },
})
