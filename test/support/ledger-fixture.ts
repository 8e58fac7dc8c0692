import { afterAll, beforeAll } from 'vitest'
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
import { type LedgerTables, startLedgerTables } from './ledger-table.ts'

export type Ledger = {
  objects: ObjectLedger
  segments: SegmentLedger
  digests: DigestLedger
  chunks: ChunkIndex
  releases: ReleaseLedger
  chain: Chain
}

/** Segments of one counter in this suite: a plan of more of them has sharded counters. */
const perCounter = 10
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
/** One embedded DynamoDB for a test file, and the two kinds of ledger that its suite runs on. */
export const ledgerFixture = () => {
  let tables: LedgerTables
  beforeAll(async () => {
    tables = await startLedgerTables()
  })
  afterAll(async () => tables.close())
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
  const targets: [name: string, open: () => Promise<Ledger>][] = [
    ['memory', onMemory],
    ['DynamoDB, embedded', onDynamoDb],
  ]
  return { tables: () => tables, targets }
}

export const objectRow = (over: Partial<ObjectRow> = {}): ObjectRow => ({
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
export const large = (segments: number, over: Partial<ObjectRow> = {}): ObjectRow =>
  objectRow({ segments, left: segments, ...over })
export const segmentRow = (index: number, over: Partial<SegmentRow> = {}): SegmentRow => ({
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
export const member = (over: Partial<MemberRow> = {}): MemberRow => ({
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
export const chunkRef = (number: number): ChunkRef => ({
  id: `sha256:${number.toString(16).padStart(64, '0')}`,
  length: 10,
  codec: 'raw',
  base: null,
  storedBytes: 26,
  crc32c: number,
  generation: '1',
})
export const idOf = (number: number): string => number.toString(16).padStart(64, '0')
export const range = (count: number): number[] => Array.from({ length: count }, (_, index) => index)
export const times = async <T>(count: number, work: (index: number) => Promise<T>): Promise<T[]> =>
  Promise.all(range(count).map(work))
export const countOf = (all: readonly unknown[], one: unknown): number => all.filter((item) => item === one).length
