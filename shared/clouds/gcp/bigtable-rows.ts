import { CorruptError } from '../../errors.ts'

/** The newest cell of a column; `qualifier` is latin1. */
export type CellRead = { family: string; qualifier: string; value: Buffer }
export type RowRead = { key: Buffer; cells: CellRead[] }

/** A chunk of an answer to ReadRows, as the client decodes it. */
export type Chunk = {
  rowKey?: Uint8Array | string | null
  familyName?: { value?: string | null } | null
  qualifier?: { value?: Uint8Array | string | null } | null
  value?: Uint8Array | string | null
  valueSize?: number | null
  resetRow?: boolean | null
  commitRow?: boolean | null
}

const toBuffer = (bytes: Uint8Array | string | null | undefined): Buffer => {
  if (typeof bytes === 'string') return Buffer.from(bytes, 'base64')
  return bytes ? Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength) : Buffer.alloc(0)
}

/**
 * Puts the chunks of an answer together to rows: what does not change from cell to cell is left out there, a large value
 * comes in several chunks, and a row may be taken back before its commit. Throws CorruptError on any other order.
 * https://cloud.google.com/bigtable/docs/reference/data/rpc/google.bigtable.v2#readrowsresponse
 */
export const createRowAssembler = (): { push(chunk: Chunk): RowRead | undefined; end(): void } => {
  let row: RowRead | undefined
  let family = ''
  let qualifier: string | undefined
  let parts: Buffer[] = []
  const reset = (): void => {
    row = undefined
    family = ''
    qualifier = undefined
    parts = []
  }
  const start = (chunk: Chunk): RowRead => {
    const key = toBuffer(chunk.rowKey)
    if (!row && key.length === 0) throw new CorruptError('Bigtable answered a cell without a row key')
    if (row && key.length > 0 && !row.key.equals(key))
      throw new CorruptError('Bigtable began a row before the one before it was committed')
    return row ?? { key, cells: [] }
  }
  const push = (chunk: Chunk): RowRead | undefined => {
    if (chunk.resetRow) {
      reset()
      return undefined
    }
    row = start(chunk)
    if (chunk.familyName) family = chunk.familyName.value ?? ''
    if (chunk.qualifier) qualifier = toBuffer(chunk.qualifier.value).toString('latin1')
    if (family === '' || qualifier === undefined) throw new CorruptError('Bigtable answered a cell without a column')
    parts.push(toBuffer(chunk.value))
    if (chunk.valueSize) return undefined
    row.cells.push({ family, qualifier, value: parts.length === 1 && parts[0] ? parts[0] : Buffer.concat(parts) })
    parts = []
    if (!chunk.commitRow) return undefined
    const done = row
    reset()
    return done
  }
  const end = (): void => {
    if (row) throw new CorruptError('Bigtable ended its answer in the middle of a row')
  }
  return { push, end }
}
