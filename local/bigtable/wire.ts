/**
 * The requests of Bigtable's API as they come out of the decoder, as far as the server reads them: proto3 defaults are
 * absent, 64-bit integers and enums are strings, bytes are Buffers, and a oneof has a member that names the one set.
 * https://cloud.google.com/bigtable/docs/reference/data/rpc/google.bigtable.v2
 */
export type Duration = { seconds?: string; nanos?: number }
export type TimestampRange = { startTimestampMicros?: string; endTimestampMicros?: string }
export type RowRange = {
  startKeyClosed?: Buffer
  startKeyOpen?: Buffer
  endKeyOpen?: Buffer
  endKeyClosed?: Buffer
}
export type RowSet = { rowKeys?: Buffer[]; rowRanges?: RowRange[] }
export type ColumnRange = {
  familyName?: string
  startQualifierClosed?: Buffer
  startQualifierOpen?: Buffer
  endQualifierClosed?: Buffer
  endQualifierOpen?: Buffer
}
export type ValueRange = {
  startValueClosed?: Buffer
  startValueOpen?: Buffer
  endValueClosed?: Buffer
  endValueOpen?: Buffer
}
export type RowFilter =
  | { filter?: undefined }
  | { filter: 'chain'; chain: { filters?: RowFilter[] } }
  | { filter: 'interleave'; interleave: { filters?: RowFilter[] } }
  | {
      filter: 'condition'
      condition: { predicateFilter?: RowFilter; trueFilter?: RowFilter; falseFilter?: RowFilter }
    }
  | { filter: 'sink'; sink: boolean }
  | { filter: 'passAllFilter'; passAllFilter: boolean }
  | { filter: 'blockAllFilter'; blockAllFilter: boolean }
  | { filter: 'rowKeyRegexFilter'; rowKeyRegexFilter: Buffer }
  | { filter: 'rowSampleFilter'; rowSampleFilter: number }
  | { filter: 'familyNameRegexFilter'; familyNameRegexFilter: string }
  | { filter: 'columnQualifierRegexFilter'; columnQualifierRegexFilter: Buffer }
  | { filter: 'columnRangeFilter'; columnRangeFilter: ColumnRange }
  | { filter: 'timestampRangeFilter'; timestampRangeFilter: TimestampRange }
  | { filter: 'valueRegexFilter'; valueRegexFilter: Buffer }
  | { filter: 'valueRangeFilter'; valueRangeFilter: ValueRange }
  | { filter: 'cellsPerRowOffsetFilter'; cellsPerRowOffsetFilter: number }
  | { filter: 'cellsPerRowLimitFilter'; cellsPerRowLimitFilter: number }
  | { filter: 'cellsPerColumnLimitFilter'; cellsPerColumnLimitFilter: number }
  | { filter: 'stripValueTransformer'; stripValueTransformer: boolean }
  | { filter: 'applyLabelTransformer'; applyLabelTransformer: string }
export type Mutation =
  | { mutation?: undefined }
  | {
      mutation: 'setCell'
      setCell: { familyName?: string; columnQualifier?: Buffer; timestampMicros?: string; value?: Buffer }
    }
  | {
      mutation: 'deleteFromColumn'
      deleteFromColumn: { familyName?: string; columnQualifier?: Buffer; timeRange?: TimestampRange | null }
    }
  | { mutation: 'deleteFromFamily'; deleteFromFamily: { familyName?: string } }
  | { mutation: 'deleteFromRow'; deleteFromRow: object }
  | { mutation: 'addToCell' | 'mergeToCell' }

export type TableRequest = { tableName?: string; authorizedViewName?: string; materializedViewName?: string }
export type ReadRowsRequest = TableRequest & {
  rows?: RowSet | null
  filter?: RowFilter | null
  rowsLimit?: string
  requestStatsView?: string
  reversed?: boolean
}
export type MutateRowRequest = TableRequest & { rowKey?: Buffer; mutations?: Mutation[] }
export type MutateRowsRequest = TableRequest & { entries?: { rowKey?: Buffer; mutations?: Mutation[] }[] }
export type CheckAndMutateRowRequest = TableRequest & {
  rowKey?: Buffer
  predicateFilter?: RowFilter | null
  trueMutations?: Mutation[]
  falseMutations?: Mutation[]
}
export type CellChunk = {
  rowKey?: Buffer
  familyName?: { value: string }
  qualifier?: { value: Buffer }
  timestampMicros: string
  labels?: string[]
  value: Buffer
  commitRow?: boolean
}

export type GcRule = {
  rule?: 'maxNumVersions' | 'maxAge' | 'intersection' | 'union'
  maxNumVersions?: number
  maxAge?: Duration
  intersection?: { rules?: GcRule[] }
  union?: { rules?: GcRule[] }
}
export type ColumnFamily = { gcRule?: GcRule | null; valueType?: unknown }
export type TableMessage = {
  name?: string
  columnFamilies?: Record<string, ColumnFamily>
  granularity?: string
  deletionProtection?: boolean
  changeStreamConfig?: unknown
}
export type CreateTableRequest = {
  parent?: string
  tableId?: string
  table?: TableMessage | null
  initialSplits?: { key?: Buffer }[]
}
export type ModifyColumnFamiliesRequest = {
  name?: string
  modifications?: {
    id?: string
    mod?: 'create' | 'update' | 'drop'
    create?: ColumnFamily
    update?: ColumnFamily
    drop?: boolean
  }[]
}
