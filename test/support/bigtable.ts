import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type Client, credentials, Metadata, type ServiceError } from '@grpc/grpc-js'
import { loadProtocol } from '../../local/bigtable/protocol.ts'
import type {
  CellChunk,
  ColumnFamily,
  CreateTableRequest,
  ModifyColumnFamiliesRequest,
  TableMessage,
} from '../../local/bigtable/wire.ts'
import type { Mutation } from '../../shared/clouds/gcp/bigtable-wire.ts'

// Requests are written as the SDK's .proto files have them; what a test reads of an answer is typed.
type Json = Record<string, unknown>
type Unary = (request: object, callback: (error: ServiceError | null, answer: unknown) => void) => void
type Streaming = (request: object, metadata: Metadata) => AsyncIterable<Json>

export const parent = 'projects/p/instances/lifeboat'
export const tableNameOf = (id: string): string => `${parent}/tables/${id}`

let protocol: ReturnType<typeof loadProtocol> | undefined

export type CellRead = { family: string; qualifier: string; timestamp: string; value: string; labels?: string[] }
/** Keys, qualifiers and values as latin1. */
export type RowRead = { key: string; cells: CellRead[] }

export const bytes = (text: string): Buffer => Buffer.from(text, 'latin1')
export const setCell = (familyName: string, qualifier: string, micros: number | string, value: string): Json => ({
  setCell: { familyName, columnQualifier: bytes(qualifier), timestampMicros: String(micros), value: bytes(value) },
})

/** The mutations of a change at this second, as messages of the API. */
export const mutationMessages = (mutations: readonly Mutation[], second: number): Json[] =>
  mutations.map(({ family, qualifier, value = bytes('') }) =>
    qualifier === undefined
      ? { deleteFromFamily: { familyName: family } }
      : {
          setCell: {
            familyName: family,
            columnQualifier: bytes(qualifier),
            timestampMicros: second * 1_000_000,
            value,
          },
        },
  )

/** A row's cells as `family:qualifier@timestamp=value`, and its labels. */
export const brief = (rows: RowRead[]): Record<string, string[]> =>
  Object.fromEntries(
    rows.map(({ key, cells }) => [
      key,
      cells.map(
        ({ family, qualifier, timestamp, value, labels }) =>
          `${family}:${qualifier}@${timestamp}=${value}${labels ? `[${labels.join()}]` : ''}`,
      ),
    ]),
  )

/** The raw API of a server, without the SDK and its retries. */
export type BigtableApi = {
  call(service: 'data' | 'tableAdmin' | 'instanceAdmin', method: string, request: object): Promise<Json>
  stream(method: 'ReadRows' | 'MutateRows' | 'SampleRowKeys', request: object): Promise<Json[]>
  read(table: string, request?: Json): Promise<RowRead[]>
  createTable(id: string, families: Record<string, ColumnFamily>, rest?: Json): Promise<TableMessage>
  modify(id: string, modifications: Json[]): Promise<TableMessage>
  close(): void
}

const toRows = (chunks: CellChunk[]): RowRead[] => {
  const rows: RowRead[] = []
  let row: RowRead | undefined
  let family = ''
  let qualifier = ''
  for (const chunk of chunks) {
    if (!row) rows.push((row = { key: (chunk.rowKey ?? Buffer.of()).toString('latin1'), cells: [] }))
    if (chunk.familyName) family = chunk.familyName.value
    if (chunk.qualifier) qualifier = (chunk.qualifier.value ?? Buffer.of()).toString('latin1')
    row.cells.push({
      family,
      qualifier,
      timestamp: chunk.timestampMicros ?? '0',
      value: (chunk.value ?? Buffer.of()).toString('latin1'),
      ...(chunk.labels?.length && { labels: chunk.labels }),
    })
    if (chunk.commitRow) row = undefined
  }
  return rows
}

/** What a client must say before it is answered in reverse: FeatureFlags with `reverse_scans`. */
const features = (): Metadata => {
  const metadata = new Metadata()
  metadata.set('bigtable-features', Buffer.of(0x08, 0x01).toString('base64'))
  return metadata
}

const settle = async (messages: AsyncIterable<Json>): Promise<Json[]> => {
  const all: Json[] = []
  for await (const message of messages) all.push(message)
  return all
}

export const connectBigtable = (host: string): BigtableApi => {
  protocol ??= loadProtocol()
  const options = { 'grpc.max_receive_message_length': -1, 'grpc.use_local_subchannel_pool': 1 }
  const open = (service: 'data' | 'tableAdmin' | 'instanceAdmin'): Client & Record<string, unknown> =>
    new protocol!.clients[service](host, credentials.createInsecure(), options)
  const clients = { data: open('data'), tableAdmin: open('tableAdmin'), instanceAdmin: open('instanceAdmin') }
  const call: BigtableApi['call'] = (service, method, request) =>
    new Promise((resolve, reject) => {
      const unary = clients[service][method] as Unary
      unary.call(clients[service], request, (error, answer) => (error ? reject(error) : resolve(answer as Json)))
    })
  const stream: BigtableApi['stream'] = (method, request) =>
    settle((clients.data[method] as Streaming).call(clients.data, request, features()))
  return {
    call,
    stream,
    read: async (table, request = {}) => {
      const messages = await stream('ReadRows', { tableName: tableNameOf(table), ...request })
      return toRows(messages.flatMap(({ chunks }) => (chunks ?? []) as CellChunk[]))
    },
    createTable: (tableId, columnFamilies, rest = {}) => {
      const request: CreateTableRequest = { parent, tableId, table: { columnFamilies }, ...rest }
      return call('tableAdmin', 'CreateTable', request)
    },
    modify: (id, modifications) => {
      const request = { name: tableNameOf(id), modifications } as ModifyColumnFamiliesRequest
      return call('tableAdmin', 'ModifyColumnFamilies', request)
    },
    close: () => Object.values(clients).forEach((client) => client.close()),
  }
}

// ---------------------------------------------------------------- the reference

/** Google's own emulator, as `gcloud` installs it. */
const findEmulator = (): string | undefined => {
  try {
    const root = execFileSync('gcloud', ['info', '--format=value(installation.sdk_root)'], { encoding: 'utf8' }).trim()
    const file = join(root, 'platform', 'bigtable-emulator', 'cbtemulator')
    if (existsSync(file)) return file
  } catch {
    // No gcloud, no emulator.
  }
  console.log('deep tier: gcloud has no cbtemulator here, the checks against it are skipped')
  return undefined
}

let emulator: { file: string | undefined } | undefined

export const emulatorFile = (): string | undefined => (emulator ??= { file: findEmulator() }).file

export type RunningEmulator = { host: string; url: string; close(): Promise<void> }

const hostOf = async (child: ChildProcess): Promise<string> => {
  let said = ''
  for (const output of [child.stdout, child.stderr]) output?.on('data', (text) => (said += String(text)))
  const deadline = Date.now() + 15_000
  while (Date.now() < deadline && child.exitCode === null) {
    const found = /running on ([\d.]+:\d+)/.exec(said)
    if (found?.[1]) return found[1]
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  throw new Error(`cbtemulator did not come up: ${said}`)
}

export const startEmulator = async (file: string): Promise<RunningEmulator> => {
  const child = spawn(file, ['-host=127.0.0.1', '-port=0'], { stdio: ['ignore', 'pipe', 'pipe'] })
  const ended = once(child, 'exit')
  const host = await hostOf(child)
  return {
    host,
    url: `http://${host}`,
    close: async () => {
      child.kill('SIGKILL')
      await ended
    },
  }
}
