import { gzipSync } from 'node:zlib'
import { beforeEach, describe, expect, it } from 'vitest'
import { CorruptError, RefusedError, UnavailableError } from '../../shared/errors.ts'
import { ruleOfTable } from '../../shared/features/change.ts'
import { compareTable } from '../../shared/features/compare.ts'
import type { Item } from '../../shared/features/item.ts'
import { encodeRowKey } from '../../shared/features/row-key.ts'
import { type BackfillWorld, createBackfillWorld, table, tableSpec } from '../support/backfill-world.ts'
import { type ExportedTable, writeFullExport, writeIncrementalExport } from '../support/dynamodb-export.ts'
import { account } from '../support/weights-world.ts'

const bucket = 'exports'
const arnOf = (name: string): string => `arn:aws:dynamodb:eu-west-1:${account}:table/${name}`
const minuteMs = 60_000

let world: BackfillWorld
let now: number
beforeEach(async () => {
  world = await createBackfillWorld()
  world.world.source.createBucket(bucket, 'unversioned')
  now = world.world.now()
})

const target = (id: string, more: Partial<ExportedTable> = {}): ExportedTable => ({
  tableArn: arnOf(table),
  bucket,
  id,
  files: 3,
  put: async (key, body) => world.world.source.put(bucket, key, body).etag,
  ...more,
})
const itemOf = (index: number, value = index): Item => ({
  pk: { S: `p${index}` },
  n: { N: String(value) },
  s: { SS: ['b', 'a'] },
})
const keyOf = (index: number): Item => ({ pk: { S: `p${index}` } })
const items = (count: number): Item[] => Array.from({ length: count }, (_, index) => itemOf(index))
const specOf = (...exports: string[]) => ({ ...tableSpec, exports }) as typeof tableSpec
const differences = async (): Promise<number> =>
  (await compareTable({ source: world.items, rows: world.rows }, ruleOfTable(world.deps.weights.config, table)))
    .differences
const cellsOf = async (rows: BackfillWorld['rows']): Promise<string[]> => {
  const all: string[] = []
  for await (const { key, cells, marker } of rows.scan(table, { start: Buffer.alloc(0) }))
    if (marker?.tombstone === false)
      all.push(
        `${Buffer.from(key).toString('hex')} ${JSON.stringify([...cells].map(([name, value]) => [name, Buffer.from(value).toString('hex')]))}`,
      )
  return all
}
const begun = (...exports: string[]): Promise<unknown> => world.start(specOf(...exports))

describe('a backfill from an export', () => {
  it('gives the same table as a scan', async () => {
    const all = items(2100)
    for (const item of all) world.put(item)
    const url = await writeFullExport(target('1'), all, now - minuteMs)
    const run = await world.start(specOf(url))
    await world.settle()
    expect(await differences()).toBe(0)
    expect((await world.report(run)).counts).toMatchObject({ read: 2100, done: 2100 })
    const byScan = await createBackfillWorld()
    for (const item of all) byScan.put(item)
    await byScan.start(tableSpec)
    await byScan.settle()
    expect(await cellsOf(world.rows)).toEqual(await cellsOf(byScan.rows))
  })

  it('of a full one and those that follow it writes what changed last, and nothing that is gone', async () => {
    const times = [0, 30, 60, 90].map((minutes) => now - (100 - minutes) * minuteMs)
    const full = await writeFullExport(target('1'), items(50), times[0]!)
    const first = await writeIncrementalExport(
      target('2'),
      [
        { key: keyOf(1), item: itemOf(1, 100), before: itemOf(1) },
        { key: keyOf(2), item: undefined, before: itemOf(2) },
        { key: keyOf(3), item: undefined },
        { key: keyOf(60), item: itemOf(60) },
      ],
      { fromMs: times[0]!, toMs: times[1]! },
    )
    const second = await writeIncrementalExport(
      target('3'),
      [
        { key: keyOf(1), item: itemOf(1, 200) },
        { key: keyOf(3), item: itemOf(3, 300) },
      ],
      { fromMs: times[1]!, toMs: now - minuteMs },
    )
    for (const item of items(50)) world.put(item)
    for (const item of [itemOf(1, 200), itemOf(3, 300), itemOf(60)]) world.put(item)
    world.items.delete(table, keyOf(2))
    // In any order.
    const run = await world.start(specOf(second, full, first))
    await world.settle()
    expect(await differences()).toBe(0)
    expect((await world.report(run)).counts).toMatchObject({ read: 56, gone: 2 })
    const [gone] = await world.rows.read(table, [encodeRowKey({ partition: { S: 'p2' } })])
    expect(gone!.marker!.tombstone).toBe(true)
  })

  it('goes on in the middle of a file', async () => {
    for (const item of items(90)) world.put(item)
    const url = await writeFullExport(target('1', { files: 1 }), items(90), now - minuteMs)
    const run = await world.start(specOf(url), { items: 20 })
    const before = { ...world.deps.state }
    let writes = 0
    world.deps.state.write = async (name, value, expected) => {
      writes += 1
      if (writes % 3 === 0) throw new Error('killed')
      return before.write(name, value, expected)
    }
    for (let call = 0; call < 60 && (await world.run(run)).report === undefined; call += 1) {
      const [message] = world.messages
      if (message === undefined) break
      await world.step().catch(() => world.messages.push(message))
    }
    expect((await world.report(run)).counts).toMatchObject({ read: 90 })
    expect(await differences()).toBe(0)
  })

  it('is refused where it is of another table, account or region', async () => {
    const others = [
      arnOf('others'),
      arnOf(table).replace(account, '999999999999'),
      arnOf(table).replace('eu-west-1', 'us-east-1'),
    ]
    for (const [index, tableArn] of others.entries()) {
      const url = await writeFullExport(target(`o${index}`, { tableArn }), items(1), now - minuteMs)
      await expect(begun(url)).rejects.toThrow(RefusedError)
      await expect(begun(url)).rejects.toThrow(/is an export of .*, not of table features/)
    }
  })

  it('is refused with an incremental one that is not newer than the full one', async () => {
    const full = await writeFullExport(target('1'), items(3), now - minuteMs)
    const older = await writeIncrementalExport(target('2'), [{ key: keyOf(1), item: itemOf(1, 100) }], {
      fromMs: now - 3 * minuteMs,
      toMs: now - 2 * minuteMs,
    })
    await expect(begun(full, older)).rejects.toThrow(RefusedError)
    await expect(begun(full, older)).rejects.toThrow(
      /AWSDynamoDB\/2 has exportToTime .*, expected one after .*: leave it out/,
    )
  })

  it('goes on where a data file was cut off while it was read', async () => {
    for (const item of items(30)) world.put(item)
    const url = await writeFullExport(target('1', { files: 1 }), items(30), now - minuteMs)
    const run = await world.start({ ...specOf(url), segments: 1 })
    const { source } = world.deps.weights
    let reads = 0
    world.deps.weights.source = {
      ...source,
      read: async function* cut(object, start, end) {
        if (object.key.endsWith('.gz')) reads += 1
        // The first read is that of its checksum.
        if (reads === 2) throw new UnavailableError('cut off')
        yield* source.read(object, start, end)
      },
    }
    const [message] = world.messages
    await expect(world.step()).rejects.toThrow(new UnavailableError('cut off'))
    world.messages.push(message!)
    await world.settle()
    expect(await world.report(run)).toMatchObject({ outcome: 'passed', counts: { done: 30 } })
    expect(await differences()).toBe(0)
  })

  it('fails where a data file is no gzip, and says which', async () => {
    const url = await writeFullExport(target('1', { files: 1 }), items(3), now - minuteMs)
    const run = await world.start({ ...specOf(url), segments: 1 })
    const { source } = world.deps.weights
    let reads = 0
    world.deps.weights.source = {
      ...source,
      read: async function* torn(object, start, end) {
        if (object.key.endsWith('.gz')) reads += 1
        if (reads === 2) yield* [gzipSync('{}').subarray(0, 15)]
        else yield* source.read(object, start, end)
      },
    }
    expect(await world.step()).toBe('stopped')
    expect(await world.run(run)).toMatchObject({
      status: 'failed',
      why: expect.stringMatching(/s3:\/\/exports\/AWSDynamoDB\/1\/data\/.* is not whole in gzip/) as string,
    })
  })

  it('is refused where it is not complete', async () => {
    const url = await writeFullExport(target('1'), items(9), now - minuteMs)
    world.world.source.delete(bucket, 'AWSDynamoDB/1/data/file1.json.gz', 'x')
    for (const key of [
      'AWSDynamoDB/1/data/file1.json.gz',
      'AWSDynamoDB/1/manifest-files.json',
      'AWSDynamoDB/1/manifest-summary.json',
    ]) {
      const before = world.deps.weights.source
      world.deps.weights.source = {
        ...before,
        head: async (ref) => (ref.key === key ? undefined : before.head(ref)),
      }
      await expect(begun(url)).rejects.toThrow(/is not there: the export is not complete/)
      world.deps.weights.source = before
    }
    await expect(begun('s3://exports/AWSDynamoDB/none')).rejects.toThrow(RefusedError)
  })

  it('is corrupt where a checksum or a count differs', async () => {
    const put = target('1').put
    const url = await writeFullExport(target('1'), items(9), now - minuteMs)
    await put('AWSDynamoDB/1/manifest-summary.checksum', Buffer.from('AAAAAAAAAAAAAAAAAAAAAA=='))
    await expect(begun(url)).rejects.toThrow(CorruptError)
    const second = await writeFullExport(target('2'), items(9), now - minuteMs)
    await put('AWSDynamoDB/2/data/file0.json.gz', gzipSync('{"Item":{"pk":{"S":"evil"}}}\n'))
    await expect(begun(second)).rejects.toThrow(/has ETag/)
    // The manifest's own MD5 is what is believed of the bytes, not that S3 has an object of this ETag.
    const bad = target('3', {
      put: async (key, body) => put(key, key.endsWith('.gz') ? gzipSync('{"Item":{"pk":{"S":"evil"}}}\n') : body),
    })
    const third = await writeFullExport(bad, items(9), now - minuteMs)
    const run = await world.start(specOf(third))
    await world.settle()
    expect(await world.run(run)).toMatchObject({ status: 'failed', why: expect.stringMatching(/has MD5 .*, expected/) })
    expect(await world.rows.read(table, [encodeRowKey({ partition: { S: 'evil' } })])).toEqual([undefined])
  })

  it('is refused where it is older than the stream is proven, or than tombstones are kept', async () => {
    const older = await writeFullExport(target('1'), items(1), now - 61 * minuteMs)
    await expect(begun(older)).rejects.toThrow(/what changed between is in neither/)
    const url = await writeFullExport(target('2'), items(1), now - minuteMs)
    world.world.tick(25 * 86_400_000)
    await expect(begun(url)).rejects.toThrow(/more than 25 days ago/)
  })

  it('becomes too old while it is paused', async () => {
    const url = await writeFullExport(target('1', { files: 1 }), items(30), now - minuteMs)
    const run = await world.start({ ...specOf(url), segments: 1 }, { items: 10 })
    const { wait } = world.deps
    world.deps.wait = async () => void (await world.ask({ action: 'pause', run }))
    await world.step()
    world.deps.wait = wait
    world.world.tick(25 * 86_400_000)
    await world.ask({ action: 'resume', run })
    await world.settle()
    expect(await world.run(run)).toMatchObject({
      status: 'failed',
      why: expect.stringContaining('more than 25 days ago'),
    })
  })

  it('is refused where changes between two of them are in none, and without a full one', async () => {
    const full = await writeFullExport(target('1'), items(1), now - 50 * minuteMs)
    const later = await writeIncrementalExport(target('2'), [], { fromMs: now - 40 * minuteMs, toMs: now - minuteMs })
    await expect(begun(full, later)).rejects.toThrow(/what changed between is in none/)
    await expect(begun(later)).rejects.toThrow(/found 0 full exports/)
  })
})
