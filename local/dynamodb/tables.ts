/** CreateTable, UpdateTable, DescribeTable, DeleteTable and the switches of point-in-time recovery. */
import { act, countItems, hasTable, type Table, tableOf, validate } from './dynalite.ts'
import type { Engine } from './engine.ts'
import { type Stream, type StreamView, streamViews } from './stream-catalog.ts'
import type { TableSettings } from './table-settings.ts'
import { invalid, notImplemented, refusal } from './wire.ts'

type StreamSpecification = { StreamEnabled: boolean; StreamViewType?: string }
type Extras = {
  StreamSpecification?: StreamSpecification
  SSESpecification?: { Enabled?: boolean; SSEType?: string; KMSMasterKeyId?: string }
  DeletionProtectionEnabled?: boolean
  TableClass?: string
}
type CreateInput = Extras & {
  TableName: string
  KeySchema: Table['KeySchema']
  Tags?: { Key: string; Value: string }[]
}
type UpdateInput = Extras & {
  TableName: string
  GlobalSecondaryIndexUpdates?: Record<string, unknown>[]
  ReplicaUpdates?: unknown
}

const viewOf = (wanted: StreamSpecification): StreamView => {
  if (!wanted.StreamViewType || !streamViews.includes(wanted.StreamViewType))
    throw invalid(
      'StreamViewType is required, and one of KEYS_ONLY, NEW_IMAGE, OLD_IMAGE, NEW_AND_OLD_IMAGES, to enable a stream',
    )
  return wanted.StreamViewType as StreamView
}

const withExtras = (settings: TableSettings, extras: Extras): TableSettings => {
  const { DeletionProtectionEnabled: protect, TableClass: tableClass, SSESpecification: sse } = extras
  const { serverSideEncryption: current, ...rest } = settings
  const encryption = sse
    ? sse.Enabled === false
      ? undefined
      : { type: sse.SSEType ?? 'KMS', ...(sse.KMSMasterKeyId && { key: sse.KMSMasterKeyId }) }
    : current
  return {
    ...rest,
    ...(protect !== undefined && { deletionProtection: protect }),
    ...(tableClass !== undefined && { tableClass }),
    ...(encryption && { serverSideEncryption: encryption }),
  }
}

const describe = (engine: Engine, table: Table): Record<string, unknown> => {
  const stream = engine.catalog.latest(table.TableName)
  const { deletionProtection, tableClass, serverSideEncryption: sse } = engine.settings.get(table.TableName)
  return {
    ...table,
    ...(stream && { LatestStreamArn: stream.arn, LatestStreamLabel: stream.label }),
    ...(stream?.disabledAt === undefined &&
      stream && { StreamSpecification: { StreamEnabled: true, StreamViewType: stream.view } }),
    DeletionProtectionEnabled: deletionProtection ?? false,
    ...(tableClass && { TableClassSummary: { TableClass: tableClass } }),
    ...(sse && {
      SSEDescription: { Status: 'ENABLED', SSEType: sse.type, ...(sse.key && { KMSMasterKeyArn: sse.key }) },
    }),
  }
}

const openStream = (engine: Engine, table: string, keySchema: Table['KeySchema'], view: StreamView): Stream =>
  engine.catalog.create({
    table,
    arnOf: (label) =>
      `arn:aws:dynamodb:${engine.region}:${engine.store.tableDb.awsAccountId}:table/${table}/stream/${label}`,
    view,
    keySchema,
    at: engine.now(),
    first: engine.log.next(),
  })

const createTable = async (engine: Engine, input: CreateInput): Promise<unknown> => {
  const { StreamSpecification: wanted, Tags: tags, TableName: name } = input
  const view = wanted?.StreamEnabled ? viewOf(wanted) : undefined
  const data = validate(engine.store, 'CreateTable', structuredClone(input))
  return engine.commits.alone(async () => {
    if (await hasTable(engine.store, name)) throw refusal('ResourceInUseException', `Table already exists: ${name}`)
    // The stream comes first: a kill in between leaves a stream of no table, and never a table without its stream.
    const stream = view && openStream(engine, name, input.KeySchema, view)
    engine.settings.set(name, withExtras({}, input))
    try {
      const made = await act<{ TableDescription: Table }>(engine.store, 'CreateTable', data)
      if (tags) await act(engine.store, 'TagResource', { ResourceArn: made.TableDescription.TableArn, Tags: tags })
      return { TableDescription: describe(engine, made.TableDescription) }
    } catch (error) {
      if (stream) engine.catalog.remove(stream)
      engine.settings.delete(name)
      throw error
    }
  })
}

const switchStream = (engine: Engine, table: Table, wanted: StreamSpecification): void => {
  const current = engine.catalog.enabled(table.TableName)
  if (wanted.StreamEnabled) {
    const view = viewOf(wanted)
    if (current) throw invalid(`Table already has an enabled stream: TableName: ${table.TableName}`)
    openStream(engine, table.TableName, table.KeySchema, view)
  } else {
    if (!current) throw invalid(`Table has no stream to disable: TableName: ${table.TableName}`)
    engine.catalog.disable(current, engine.now(), engine.log.next())
  }
}

const updateTable = async (engine: Engine, input: UpdateInput): Promise<unknown> => {
  if (input.GlobalSecondaryIndexUpdates?.some((update) => !update['Update']) || input.ReplicaUpdates)
    throw notImplemented('UpdateTable that adds or removes an index or a replica')
  const {
    StreamSpecification: wanted,
    SSESpecification: _s,
    DeletionProtectionEnabled: _d,
    TableClass: _t,
    ...rest
  } = input
  return engine.commits.alone(async () => {
    let table = await tableOf(engine.store, input.TableName, false)
    if (Object.keys(rest).length > 1) {
      const data = validate(engine.store, 'UpdateTable', rest)
      table = (await act<{ TableDescription: Table }>(engine.store, 'UpdateTable', data)).TableDescription
    }
    if (wanted) switchStream(engine, table, wanted)
    engine.settings.set(input.TableName, withExtras(engine.settings.get(input.TableName), input))
    return { TableDescription: describe(engine, table) }
  })
}

const deleteTable = async (engine: Engine, input: { TableName: string }): Promise<unknown> => {
  const data = validate(engine.store, 'DeleteTable', structuredClone(input))
  return engine.commits.alone(async () => {
    if (engine.settings.get(input.TableName).deletionProtection)
      throw invalid(
        'Resource cannot be deleted as it is currently protected against deletion. Disable deletion protection first.',
      )
    const deleted = await act<{ TableDescription: Table }>(engine.store, 'DeleteTable', data)
    const description = describe(engine, deleted.TableDescription)
    const stream = engine.catalog.enabled(input.TableName)
    if (stream) engine.catalog.disable(stream, engine.now(), engine.log.next())
    engine.settings.delete(input.TableName)
    return { TableDescription: description }
  })
}

const describeBackups = (engine: Engine, table: string): unknown => {
  const since = engine.settings.get(table).pointInTimeRecoverySince
  return {
    ContinuousBackupsDescription: {
      ContinuousBackupsStatus: 'ENABLED',
      PointInTimeRecoveryDescription:
        since === undefined
          ? { PointInTimeRecoveryStatus: 'DISABLED' }
          : {
              PointInTimeRecoveryStatus: 'ENABLED',
              EarliestRestorableDateTime: since / 1000,
              LatestRestorableDateTime: engine.now() / 1000,
            },
    },
  }
}

/** The service counts every six hours or so; here who asks has it counted, at most a hundredth of the time. */
const createCounter = (engine: Engine): ((table: string) => Promise<number>) => {
  const counts = new Map<string, { items: number; until: number }>()
  return async (table) => {
    const known = counts.get(table)
    const startedAt = performance.now()
    if (known && startedAt < known.until) return known.items
    const items = await countItems(engine.store, table)
    const endedAt = performance.now()
    counts.set(table, { items, until: endedAt + (endedAt - startedAt) * 100 })
    return items
  }
}

export const createTables = (engine: Engine) => tablesOf(engine, createCounter(engine))

const tablesOf = (engine: Engine, counted: (table: string) => Promise<number>) => ({
  CreateTable: (input: CreateInput) => createTable(engine, input),
  UpdateTable: (input: UpdateInput) => updateTable(engine, input),
  DeleteTable: (input: { TableName: string }) => deleteTable(engine, input),
  DescribeTable: async (input: { TableName: string }): Promise<unknown> => {
    const { TableName: name } = validate(engine.store, 'DescribeTable', input) as { TableName: string }
    const ItemCount = await counted(name)
    return { Table: { ...describe(engine, await tableOf(engine.store, name, false)), ItemCount } }
  },
  DescribeContinuousBackups: async (input: { TableName: string }): Promise<unknown> => {
    await tableOf(engine.store, input.TableName, false)
    return describeBackups(engine, input.TableName)
  },
  UpdateContinuousBackups: async (input: {
    TableName: string
    PointInTimeRecoverySpecification?: { PointInTimeRecoveryEnabled: boolean }
  }): Promise<unknown> => {
    await tableOf(engine.store, input.TableName, false)
    const { pointInTimeRecoverySince: since = engine.now(), ...rest } = engine.settings.get(input.TableName)
    const enabled = input.PointInTimeRecoverySpecification?.PointInTimeRecoveryEnabled
    engine.settings.set(input.TableName, { ...rest, ...(enabled && { pointInTimeRecoverySince: since }) })
    return describeBackups(engine, input.TableName)
  },
})
