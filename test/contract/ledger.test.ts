import { BatchGetItemCommand, BatchWriteItemCommand } from '@aws-sdk/client-dynamodb'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { forEachBounded, toArray } from '../../shared/bounded.ts'
import { createChunkIndex } from '../../shared/clouds/aws/chunk-index.ts'
import { createObjectLedger } from '../../shared/clouds/aws/object-ledger.ts'
import { createChain, createReleaseLedger } from '../../shared/clouds/aws/release-ledger.ts'
import { createDigestLedger, createSegmentLedger } from '../../shared/clouds/aws/segment-ledger.ts'
import { createMemoryChunkIndex, createMemoryLedger } from '../../shared/clouds/memory/ledger.ts'
import { createMemoryChain, createMemoryReleaseLedger } from '../../shared/clouds/memory/release-ledger.ts'
import type {
  Chain,
  ChunkIndex,
  DigestLedger,
  MemberRow,
  ObjectLedger,
  ObjectRow,
  ReleaseLedger,
  SegmentLedger,
  SegmentRow,
} from '../../shared/weights/ledger.ts'
import type { ChunkRef } from '../../shared/weights/manifest.ts'
import { type LedgerTables, startLedgerTables } from '../support/ledger-table.ts'

type Ledger = {
  objects: ObjectLedger
  segments: SegmentLedger
  digests: DigestLedger
  chunks: ChunkIndex
  releases: ReleaseLedger
  chain: Chain
}

/** Segments of one counter in this suite: a plan of more of them has sharded counters. */
const perCounter = 10
let tables: LedgerTables
beforeAll(async () => {
  tables = await startLedgerTables()
})
afterAll(async () => tables.close())

const onMemory = async (): Promise<Ledger> => {
  const { objects, segments, digests } = createMemoryLedger()
  return {
    objects,
    segments,
    digests,
    chunks: createMemoryChunkIndex(),
    releases: createMemoryReleaseLedger(),
    chain: createMemoryChain(),
  }
}
const onDynamoDb = async (): Promise<Ledger> => {
  const table = await tables.create()
  const { client } = tables
  return {
    objects: createObjectLedger(client, table, perCounter),
    segments: createSegmentLedger(client, table, perCounter),
    digests: createDigestLedger(client, table),
    chunks: createChunkIndex(client, table),
    releases: createReleaseLedger(client, table),
    chain: createChain(client, table),
  }
}

const objectRow = (over: Partial<ObjectRow> = {}): ObjectRow => ({
  traceId: 'trace-1',
  source: { bucket: 'models', key: 'a/ö b\n.bin', etag: 'e', lastModified: 1000, size: 30, checksums: [] },
  version: 'v1',
  planId: 'plan-1',
  attempt: 0,
  state: 'copying',
  left: 3,
  phase: 'copy',
  segments: 3,
  cutter: 'gear/1',
  warnings: ['careful'],
  tensors: [],
  check: { algorithm: 'SHA1', type: 'COMPOSITE', value: 'x-2', parts: [[15, 2]] },
  release: { model: 'a', version: 'v', path: 'b', prefix: 'a/v/' },
  plannedAt: 2000,
  since: 1000,
  ...over,
})
const large = (segments: number, over: Partial<ObjectRow> = {}): ObjectRow =>
  objectRow({ segments, left: segments, ...over })
const segmentRow = (index: number, over: Partial<SegmentRow> = {}): SegmentRow => ({
  traceId: 'trace-1',
  planId: 'plan-1',
  offset: index * 10,
  size: 10,
  index,
  parts: [
    {
      kind: 'chunks',
      id: `sha256:${'0'.repeat(64)}`,
      storedBytes: 5,
      crc32c: 1,
      generation: '1',
      offset: index * 10,
      size: 10,
      chunks: 1,
    },
  ],
  pieces: [{ start: index * 10, length: 10, value: 'AAAA' }],
  bytesSent: 10,
  bytesReused: 0,
  ...over,
})
const member = (over: Partial<MemberRow> = {}): MemberRow => ({
  bucket: 'models',
  prefix: 'a/v/',
  path: 'b',
  key: 'a/v/b',
  traceId: 'trace-1',
  version: 'v1',
  etag: 'e',
  lastModified: 1000,
  size: 30,
  state: 'copying',
  planId: 'plan-1',
  ...over,
})
const chunkRef = (number: number): ChunkRef => ({
  id: `sha256:${number.toString(16).padStart(64, '0')}`,
  length: 10,
  codec: 'raw',
  base: null,
  storedBytes: 26,
  crc32c: number,
  generation: '1',
})
const idOf = (number: number): string => number.toString(16).padStart(64, '0')
const range = (count: number): number[] => Array.from({ length: count }, (_, index) => index)
const times = async <T>(count: number, work: (index: number) => Promise<T>): Promise<T[]> =>
  Promise.all(range(count).map(work))
const countOf = (all: readonly unknown[], one: unknown): number => all.filter((item) => item === one).length

describe.each([
  ['memory', onMemory],
  ['DynamoDB, embedded', onDynamoDb],
])('a ledger: %s', (_name, open) => {
  let ledger: Ledger
  beforeEach(async () => {
    ledger = await open()
  })
  const left = async (): Promise<number | undefined> => (await ledger.objects.get('trace-1'))?.left

  describe('objects', () => {
    it('gives back what was begun, and undefined for what was not', async () => {
      expect(await ledger.objects.get('trace-1')).toBeUndefined()
      expect(await ledger.objects.begin(objectRow())).toBe(true)
      expect(await ledger.objects.get('trace-1')).toEqual(objectRow())
    })

    it('begins the same plan once, among many', async () => {
      const begun = await times(20, async () => ledger.objects.begin(objectRow()))
      expect(countOf(begun, true)).toBe(1)
      await ledger.segments.finish(segmentRow(0))
      expect(await ledger.objects.begin(objectRow())).toBe(false)
      expect(await left()).toBe(2)
    })

    it.each(['copying', 'superseded', 'refused'] as const)('replaces another plan that is %s', async (state) => {
      await ledger.objects.begin(objectRow())
      if (state !== 'copying') await ledger.objects.update('trace-1', 'plan-1', { state, reason: 'gone' })
      await ledger.objects.update('trace-1', 'plan-1', { cursor: 5, nudgedAt: 6 })
      const next = objectRow({ planId: 'plan-2', attempt: 1 })
      expect(await ledger.objects.begin(next)).toBe(true)
      expect(await ledger.objects.get('trace-1')).toEqual(next)
    })

    it.each(['protected', 'sealed'] as const)('does not replace what is %s', async (state) => {
      await ledger.objects.begin(objectRow())
      await ledger.objects.update('trace-1', 'plan-1', { state, manifestDigest: 'd' })
      expect(await ledger.objects.begin(objectRow({ planId: 'plan-2', attempt: 9 }))).toBe(false)
      expect(await ledger.objects.get('trace-1')).toEqual(objectRow({ state, manifestDigest: 'd' }))
    })

    it('does not go back to an earlier attempt, and takes another plan of the same one', async () => {
      await ledger.objects.begin(objectRow({ attempt: 2 }))
      expect(await ledger.objects.begin(objectRow({ planId: 'plan-0', attempt: 1 }))).toBe(false)
      expect(await ledger.objects.begin(objectRow({ planId: 'plan-3', attempt: 2 }))).toBe(true)
    })

    it('changes fields of this plan only', async () => {
      await ledger.objects.begin(objectRow())
      expect(await ledger.objects.update('trace-1', 'plan-2', { cursor: 7 })).toBe(false)
      expect(await ledger.objects.update('none', 'plan-1', { cursor: 7 })).toBe(false)
      const change = { cursor: 7, nudgedAt: 8, sha256: 'aa', manifestDigest: 'bb', reason: 'cc' }
      expect(await ledger.objects.update('trace-1', 'plan-1', change)).toBe(true)
      expect(await ledger.objects.get('trace-1')).toEqual(objectRow(change))
    })

    it.each([
      ['copying', 'protected', true],
      ['copying', 'superseded', true],
      ['copying', 'refused', true],
      ['superseded', 'protected', true],
      ['superseded', 'refused', false],
      ['refused', 'superseded', false],
      ['protected', 'superseded', false],
      ['sealed', 'refused', false],
      ['protected', 'protected', false],
    ] as const)('from %s to %s: %s', async (from, to, allowed) => {
      await ledger.objects.begin(objectRow())
      if (from !== 'copying') await ledger.objects.update('trace-1', 'plan-1', { state: from })
      expect(await ledger.objects.update('trace-1', 'plan-1', { state: to })).toBe(allowed)
      expect((await ledger.objects.get('trace-1'))!.state).toBe(allowed ? to : from)
    })

    it('lists what is being copied, oldest first, until it is not', async () => {
      for (const number of [3, 1, 2])
        await ledger.objects.begin(objectRow({ traceId: `trace-${number}`, since: number * 1000 }))
      const pending = async () => (await toArray(ledger.objects.pending())).map(({ traceId }) => traceId)
      expect(await pending()).toEqual(['trace-1', 'trace-2', 'trace-3'])
      await ledger.objects.update('trace-2', 'plan-1', { nudgedAt: 5 })
      await ledger.objects.update('trace-1', 'plan-1', { state: 'protected' })
      await ledger.objects.update('trace-3', 'plan-1', { state: 'refused' })
      expect(await pending()).toEqual(['trace-2'])
      expect((await toArray(ledger.objects.pending()))[0]).toMatchObject({ nudgedAt: 5, left: 3, state: 'copying' })
    })
  })

  describe('segments', () => {
    it('counts each once, among many duplicates at the same time', async () => {
      await ledger.objects.begin(objectRow())
      const results = await times(100, async (index) => ledger.segments.finish(segmentRow(index % 2)))
      expect(countOf(results, 'counted')).toBe(2)
      expect(countOf(results, 'already')).toBe(98)
      expect(await left()).toBe(1)
    })

    it('counts 100 different ones at the same time', { timeout: 60_000 }, async () => {
      await ledger.objects.begin(large(100))
      const results = await times(100, async (index) => ledger.segments.finish(segmentRow(index)))
      expect(countOf(results, 'counted')).toBe(100)
      expect(await left()).toBe(0)
      expect((await toArray(ledger.segments.list('trace-1', 'plan-1'))).map(({ index }) => index)).toEqual(range(100))
    })

    it.each([
      ['another plan', async () => ledger.objects.begin(objectRow({ planId: 'plan-2' }))],
      ['a closed plan', async () => ledger.objects.update('trace-1', 'plan-1', { state: 'superseded' })],
      ['another large plan', async () => ledger.objects.begin(large(25, { planId: 'plan-2' }))],
    ])('takes one for stale after %s', async (_what, change) => {
      await ledger.objects.begin(objectRow())
      await ledger.segments.finish(segmentRow(0))
      await change()
      const before = await left()
      expect(await ledger.segments.finish(segmentRow(0))).toBe('already')
      expect(await ledger.segments.finish(segmentRow(1))).toBe('stale')
      expect(await left()).toBe(before)
      expect(await ledger.segments.get('trace-1', 'plan-1', 10)).toBeUndefined()
    })

    it('takes one for stale where there is no object', async () => {
      expect(await ledger.segments.finish(segmentRow(0))).toBe('stale')
      expect(await ledger.segments.get('trace-1', 'plan-1', 0)).toBeUndefined()
    })

    it('lists what overlaps a range, in order of offset', async () => {
      await ledger.objects.begin(large(12))
      await forEachBounded(
        [11, 3, 0, 7, 10, 2, 9],
        4,
        async (index) => void (await ledger.segments.finish(segmentRow(index))),
      )
      const offsets = async (from?: number, to?: number) =>
        (await toArray(ledger.segments.list('trace-1', 'plan-1', from, to))).map(({ offset }) => offset)
      expect(await offsets()).toEqual([0, 20, 30, 70, 90, 100, 110])
      expect(await offsets(25)).toEqual([20, 30, 70, 90, 100, 110])
      expect(await offsets(30, 100)).toEqual([30, 70, 90])
      expect(await offsets(35, 36)).toEqual([30])
      expect(await toArray(ledger.segments.list('trace-1', 'plan-2'))).toEqual([])
      expect(await ledger.segments.get('trace-1', 'plan-1', 20)).toEqual(segmentRow(2))
    })

    it.each([
      ['a small plan', 3],
      ['a plan with sharded counters', 25],
    ])('reopens a segment of %s once, and finishes it again', async (_what, count) => {
      await ledger.objects.begin(large(count))
      for (const index of range(count)) await ledger.segments.finish(segmentRow(index))
      await ledger.objects.update('trace-1', 'plan-1', { cursor: 10 })
      expect(await left()).toBe(0)
      await times(5, async () => ledger.segments.reopen(segmentRow(1)))
      expect(await ledger.objects.get('trace-1')).toMatchObject({ left: 1 })
      expect((await ledger.objects.get('trace-1'))!.cursor).toBeUndefined()
      expect(await ledger.segments.get('trace-1', 'plan-1', 10)).toBeUndefined()
      expect(await ledger.segments.finish(segmentRow(1))).toBe('counted')
      expect(await left()).toBe(0)
    })

    it('reopens segments of one counter at the same time', async () => {
      await ledger.objects.begin(large(25))
      for (const index of range(25)) await ledger.segments.finish(segmentRow(index))
      for (let round = 0; round < 5; round += 1) {
        const some = range(25).filter((index) => index % 3 === round % 3)
        await Promise.all(some.map(async (index) => ledger.segments.reopen(segmentRow(index))))
        expect(await left()).toBeGreaterThan(0)
        await Promise.all(some.map(async (index) => ledger.segments.finish(segmentRow(index))))
        expect(await left()).toBe(0)
      }
    })

    it('reopens where other segments of the counter are not done', async () => {
      await ledger.objects.begin(large(25))
      await ledger.segments.finish(segmentRow(0))
      await ledger.segments.reopen(segmentRow(0))
      for (const index of range(25)) expect(await ledger.segments.finish(segmentRow(index))).toBe('counted')
      expect(await left()).toBe(0)
    })

    it('does not reopen a plan that was replaced or closed', async () => {
      await ledger.objects.begin(objectRow())
      for (const index of range(3)) await ledger.segments.finish(segmentRow(index))
      await ledger.objects.update('trace-1', 'plan-1', { state: 'protected' })
      await ledger.segments.reopen(segmentRow(1))
      expect(await left()).toBe(0)
      expect(await ledger.segments.get('trace-1', 'plan-1', 10)).toEqual(segmentRow(1))
    })
  })

  describe('digests', () => {
    const piece = (number: number) => ({ start: number * 10, length: 10, value: `d${number}` })

    it('begin once, when all is copied, and are counted once each', async () => {
      await ledger.objects.begin(objectRow({ segments: 1, left: 1 }))
      expect(await ledger.digests.begin('trace-1', 'plan-1', 2)).toBe(false)
      await ledger.segments.finish(segmentRow(0))
      const begun = await times(5, async () => ledger.digests.begin('trace-1', 'plan-1', 2))
      expect(countOf(begun, true)).toBe(1)
      expect(await ledger.objects.get('trace-1')).toMatchObject({ phase: 'digest', left: 2 })
      const results = await times(20, async (index) => ledger.digests.finish('trace-1', 'plan-1', piece(index % 2)))
      expect(countOf(results, 'counted')).toBe(2)
      expect(await left()).toBe(0)
      expect(await ledger.digests.begin('trace-1', 'plan-1', 2)).toBe(false)
      expect(await toArray(ledger.digests.list('trace-1', 'plan-1'))).toEqual([piece(0), piece(1)])
      expect(await toArray(ledger.segments.list('trace-1', 'plan-1'))).toHaveLength(1)
    })

    it('are stale for another plan', async () => {
      await ledger.objects.begin(objectRow({ segments: 0, left: 0 }))
      expect(await ledger.digests.begin('trace-1', 'plan-2', 2)).toBe(false)
      expect(await ledger.digests.begin('trace-1', 'plan-1', 2)).toBe(true)
      expect(await ledger.digests.finish('trace-1', 'plan-2', piece(0))).toBe('stale')
      expect(await left()).toBe(2)
    })

    it('and a reopened segment are both waited for', async () => {
      await ledger.objects.begin(large(25))
      for (const index of range(25)) await ledger.segments.finish(segmentRow(index))
      await ledger.digests.begin('trace-1', 'plan-1', 1)
      await ledger.segments.reopen(segmentRow(3))
      await ledger.digests.finish('trace-1', 'plan-1', piece(0))
      expect(await left()).toBe(1)
      await ledger.segments.finish(segmentRow(3))
      expect(await left()).toBe(0)
    })
  })

  describe('chunks', () => {
    it('gives back what was recorded, in any number at once', { timeout: 60_000 }, async () => {
      await ledger.chunks.record(range(230).map(chunkRef))
      await ledger.chunks.record([])
      const found = await times(260, async (number) => ledger.chunks.lookup(idOf(number)))
      expect(found.slice(0, 230)).toEqual(range(230).map(chunkRef))
      expect(found.slice(230)).toEqual(range(30).map(() => undefined))
    })

    it('keeps the last of several words about one chunk, and forgets it', async () => {
      await ledger.chunks.record([chunkRef(1), { ...chunkRef(1), generation: '2' }])
      await ledger.chunks.record([{ ...chunkRef(1), generation: '3' }])
      expect((await ledger.chunks.lookup(idOf(1)))?.generation).toBe('3')
      await ledger.chunks.forget(idOf(1))
      await ledger.chunks.forget(idOf(2))
      expect(await ledger.chunks.lookup(idOf(1))).toBeUndefined()
    })
  })

  describe('releases', () => {
    const release = { model: 'a', version: 'v' }

    it('keep a member for each version and the release open', async () => {
      expect(await ledger.releases.get('models', 'a/v/')).toBeUndefined()
      expect(await ledger.releases.members('models', 'a/v/')).toEqual([])
      await ledger.releases.touch(member(), release, 5)
      await ledger.releases.touch(member({ traceId: 'trace-2', crc64nvme: 'c' }), release, 6)
      await ledger.releases.touch(member({ traceId: 'trace-3', prefix: 'a/w/' }), { model: 'a' }, 7)
      expect(await ledger.releases.get('models', 'a/v/')).toEqual({
        bucket: 'models',
        prefix: 'a/v/',
        ...release,
        touchedAt: 6,
        done: [],
      })
      expect(await ledger.releases.get('models', 'a/w/')).not.toHaveProperty('version')
      const members = await ledger.releases.members('models', 'a/v/')
      expect(members.toSorted((a, b) => (a.traceId < b.traceId ? -1 : 1))).toEqual([
        member(),
        member({ traceId: 'trace-2', crc64nvme: 'c' }),
      ])
      expect((await toArray(ledger.releases.open())).map(({ prefix }) => prefix)).toHaveLength(2)
    })

    it.each([
      ['protected', 'copying', 'plan-1', false],
      ['protected', 'copying', 'plan-2', false],
      ['protected', 'superseded', 'plan-1', false],
      ['sealed', 'refused', 'plan-1', false],
      ['superseded', 'copying', 'plan-1', false],
      ['superseded', 'copying', 'plan-2', true],
      ['superseded', 'protected', 'plan-1', true],
      ['copying', 'copying', 'plan-2', true],
      ['copying', 'refused', 'plan-1', true],
      ['protected', 'protected', 'plan-1', true],
    ] as const)('do not let a late word hide an end: %s, then %s of %s: %s', async (from, to, planId, replaced) => {
      await ledger.releases.touch(member({ state: from }), release, 5)
      await ledger.releases.touch(member({ state: to, planId, sha256: 'new' }), release, 6)
      const [found] = await ledger.releases.members('models', 'a/v/')
      expect(found).toEqual(replaced ? member({ state: to, planId, sha256: 'new' }) : member({ state: from }))
    })

    it('remember what is done and what is waited for', async () => {
      await ledger.releases.touch(member(), release, 5)
      await ledger.releases.update('models', 'a/v/', { waiting: 'for b' })
      expect(await ledger.releases.get('models', 'a/v/')).toMatchObject({ waiting: 'for b', done: [] })
      await times(3, async (index) => ledger.releases.update('models', 'a/v/', { done: `m${index}` }))
      await ledger.releases.update('models', 'a/v/', { done: 'm1' })
      const row = await ledger.releases.get('models', 'a/v/')
      expect(row!.done.toSorted()).toEqual(['m0', 'm1', 'm2'])
      expect(row).not.toHaveProperty('waiting')
      await ledger.releases.touch(member({ traceId: 'trace-2' }), release, 9)
      expect((await ledger.releases.get('models', 'a/v/'))!.done).toHaveLength(3)
    })

    it('close only where nothing touched them since', async () => {
      const open = async () => (await toArray(ledger.releases.open())).length
      await ledger.releases.touch(member(), release, 5)
      await ledger.releases.touch(member(), release, 6)
      await ledger.releases.update('models', 'a/v/', { closeIf: 5 })
      expect(await open()).toBe(1)
      await ledger.releases.update('models', 'a/v/', { closeIf: 6 })
      expect(await open()).toBe(0)
      await ledger.releases.touch(member(), release, 7)
      expect(await open()).toBe(1)
    })

    it('take an order to evaluate for no member', async () => {
      await ledger.releases.touch(member(), release, 5)
      await ledger.releases.request('models', 'a/v/', 6)
      expect(await ledger.releases.members('models', 'a/v/')).toEqual([member()])
      expect(await toArray(ledger.objects.pending())).toEqual([])
    })
  })

  describe('chains', () => {
    it('never give a number twice', async () => {
      const given = await times(50, async () => (await ledger.chain.next('k')).sequence)
      expect(given.toSorted((a, b) => a - b)).toEqual(range(50).map((number) => number + 1))
      expect((await ledger.chain.next('other')).sequence).toBe(1)
    })

    it('remember the newest sealed manifest, however late an older one is told of', async () => {
      expect(await ledger.chain.next('k')).toEqual({ sequence: 1, previousDigest: null })
      await ledger.chain.advance('k', 1, 'd1', { version: 'v1' })
      await ledger.chain.advance('k', 3, 'd3', { version: 'v3' })
      await ledger.chain.advance('k', 2, 'd2', { version: 'v2' })
      await ledger.chain.advance('k', 3, 'again')
      expect(await ledger.chain.next('k')).toEqual({
        sequence: 2,
        previousDigest: 'd3',
        previous: { version: 'v3' },
      })
    })
  })
})

describe('the chunk index on DynamoDB', () => {
  it('asks again for keys that were left out, and writes again what was left out', async () => {
    const table = await tables.create()
    const { client } = tables
    let batches = 0
    const partly = {
      send: async (command: BatchGetItemCommand | BatchWriteItemCommand) => {
        batches += 1
        if (command instanceof BatchGetItemCommand) {
          const keys = command.input.RequestItems![table]!.Keys!
          command.input.RequestItems![table]!.Keys = keys.slice(0, 30)
          const output = await client.send(command)
          return { ...output, UnprocessedKeys: keys.length > 30 ? { [table]: { Keys: keys.slice(30) } } : {} }
        }
        const requests = command.input.RequestItems![table]!
        command.input.RequestItems![table] = requests.slice(0, 10)
        const output = await client.send(command)
        return { ...output, UnprocessedItems: requests.length > 10 ? { [table]: requests.slice(10) } : {} }
      },
    } as unknown as typeof client
    await createChunkIndex(partly, table).record(range(60).map(chunkRef))
    expect(batches).toBe(3 + 3 + 1)
    batches = 0
    const index = createChunkIndex(partly, table)
    const found = await times(60, async (number) => index.lookup(idOf(number)))
    expect(found).toEqual(range(60).map(chunkRef))
    expect(batches).toBe(2)
    await index.lookup(idOf(7))
    expect(batches).toBe(2)
  })

  it('rejects every lookup of a batch that fails, and the next one works', async () => {
    const table = await tables.create()
    let isDown = true
    const { client } = tables
    const flaky = {
      send: async (command: BatchGetItemCommand) => {
        if (isDown) throw new Error('validation')
        return client.send(command)
      },
    } as unknown as typeof client
    const index = createChunkIndex(flaky, table)
    const results = await Promise.allSettled(range(3).map(async (number) => index.lookup(idOf(number))))
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected'])
    isDown = false
    expect(await index.lookup(idOf(1))).toBeUndefined()
  })
})
