import { ApiError, invalid } from './api-error.ts'
import type { Streaming, Unary } from './calls.ts'
import type { Engine, Row } from './engine.ts'
import { checkMutationCount } from './mutations.ts'
import type { Table } from './store.ts'
import type {
  CellChunk,
  CheckAndMutateRowRequest,
  MutateRowRequest,
  MutateRowsRequest,
  ReadRowsRequest,
  TableRequest,
} from './wire.ts'

const messageBytesMax = 2 ** 20
const chunkBytes = 64
const sampleEveryBytes = 64 * 2 ** 20

/** A row as its cells' chunks: the key once, a family and a qualifier where they change, a commit at the end. */
const toChunks = ({ key, cells }: Row, familyName: (family: number) => string): CellChunk[] =>
  cells.map((cell, index) => {
    const before = cells[index - 1]
    const isNewFamily = before?.family !== cell.family
    const isNewColumn = isNewFamily || before.qualifier !== cell.qualifier
    return {
      ...(index === 0 && { rowKey: key }),
      ...(isNewFamily && { familyName: { value: familyName(cell.family) } }),
      ...(isNewColumn && { qualifier: { value: Buffer.from(cell.qualifier, 'latin1') } }),
      timestampMicros: String(cell.timestamp),
      ...(cell.labels && { labels: cell.labels }),
      value: cell.value,
      ...(index === cells.length - 1 && { commitRow: true }),
    }
  })

const readRows = function* (engine: Engine, request: ReadRowsRequest): Generator<{ chunks: CellChunk[] }> {
  const { names } = engine.requireTable(request)
  let chunks: CellChunk[] = []
  let bytes = 0
  for (const row of engine.read(request)) {
    chunks.push(...toChunks(row, (family) => names.get(family) ?? ''))
    for (const { value } of row.cells) bytes += value.length + chunkBytes
    if (bytes < messageBytesMax) continue
    yield { chunks }
    chunks = []
    bytes = 0
  }
  if (chunks.length > 0) yield { chunks }
}

/** The table's initial splits, a key about every 64 MiB, and, as Bigtable does, an empty key for the end of the table. */
const sampleRowKeys = function* (engine: Engine, table: Table): Generator<{ rowKey: Buffer; offsetBytes: string }> {
  const splits = table.splits.map((split) => Buffer.from(split, 'hex'))
  let offset = 0
  let sampled = 0
  for (const { key, size } of engine.store.sizes(table)) {
    for (let split = splits[0]; split && Buffer.compare(split, key) <= 0; split = splits[0]) {
      yield { rowKey: split, offsetBytes: String(offset) }
      splits.shift()
      sampled = offset
    }
    if (offset - sampled >= sampleEveryBytes) {
      yield { rowKey: key, offsetBytes: String(offset) }
      sampled = offset
    }
    offset += key.length + size
  }
  for (const rowKey of [...splits, Buffer.alloc(0)]) yield { rowKey, offsetBytes: String(offset) }
}

/** Every entry is applied or refused by itself; all that are applied are on record before any is answered. */
const mutateRows = (engine: Engine, request: MutateRowsRequest): { entries: unknown[] } => {
  const table = engine.requireTable(request)
  const { entries = [] } = request
  if (entries.length === 0) throw invalid('No mutations provided')
  checkMutationCount(entries.reduce((count, { mutations = [] }) => count + mutations.length, 0))
  const outcome = (entry: (typeof entries)[number]): { code: number; message: string } => {
    try {
      engine.mutate(table, entry.rowKey, entry.mutations)
      return { code: 0, message: '' }
    } catch (error) {
      if (!(error instanceof ApiError)) throw error
      return { code: error.code, message: error.details }
    }
  }
  return { entries: entries.map((entry, index) => ({ index: String(index), status: outcome(entry) })) }
}

/** The data API but for ReadModifyWriteRow, change streams and SQL. */
export const createDataApi = (
  engine: Engine,
): { unary: Record<string, Unary>; streaming: Record<string, Streaming> } => ({
  unary: {
    MutateRow: (request: MutateRowRequest) => {
      engine.mutate(engine.requireTable(request), request.rowKey, request.mutations)
      return {}
    },
    CheckAndMutateRow: async (request: CheckAndMutateRowRequest) => ({
      predicateMatched: await engine.checkAndMutate(request),
    }),
    PingAndWarm: () => ({}),
  },
  streaming: {
    ReadRows: (request: ReadRowsRequest) => readRows(engine, request),
    SampleRowKeys: (request: TableRequest) => sampleRowKeys(engine, engine.requireTable(request)),
    MutateRows: function* (request: MutateRowsRequest) {
      yield mutateRows(engine, request)
    },
  },
})
