/**
 * The embedded Bigtable: Google's gRPC API on loopback, for `@google-cloud/bigtable`, `cbt` and any other client.
 *
 * Covered: MutateRow, MutateRows, CheckAndMutateRow, ReadRows (row sets, ranges, limits, reversed, every filter),
 * SampleRowKeys, PingAndWarm; CreateTable, ListTables, GetTable, DeleteTable, ModifyColumnFamilies, DropRowRange with
 * all GC rules; instances, clusters and app profiles made, read, listed and deleted. A row's mutations are atomic,
 * timestamps are whole milliseconds, splits are bytes. A GC rule works from the moment it is set, where Bigtable may
 * take days. Patterns are RE2's; the parts of RE2 that are not translated (see regex.ts) are UNIMPLEMENTED.
 *
 * Everything else answers UNIMPLEMENTED: ReadModifyWriteRow, aggregates, change streams, SQL, views, request stats,
 * changes of a table or an instance, snapshots, backups, consistency tokens and IAM. Nobody is asked who they are.
 *
 * The same port answers HTTP: the controls of ../http.ts, whose faults match "/google.bigtable.v2.Bigtable/ReadRows"
 * and the like, `status` being a gRPC code, and `POST /_lifeboat/sweep`, which takes collected cells from the disk.
 * All is in `<dir>/bigtable.sqlite`; what was acknowledged survives SIGKILL.
 */
import { mkdirSync } from 'node:fs'
import { Server, ServerCredentials } from '@grpc/grpc-js'
import { listen, sendJson } from '../http.ts'
import { type CallStats, createHandlers } from './calls.ts'
import { createDataApi } from './data-api.ts'
import { createEngine, type Rules } from './engine.ts'
import { createInstanceApi } from './instance-api.ts'
import { listenOnOnePort } from './one-port.ts'
import { loadProtocol, type Protocol } from './protocol.ts'
import { openStore } from './store.ts'
import { createTableApi } from './table-api.ts'

export type BigtableStats = { tables: number; calls: CallStats }
/** `url` is `controlUrl`: one port speaks both gRPC and HTTP. */
export type BigtableServer = {
  host: string
  port: number
  url: string
  controlUrl: string
  stats(): BigtableStats
  close(): Promise<void>
}

const messageBytesMax = 256 * 2 ** 20
const sweepEveryMs = 10 * 60_000

const createGrpcServer = (
  protocol: Protocol,
  handlersOf: (service: keyof Protocol['services']) => Parameters<Server['addService']>[1],
): Server => {
  const server = new Server({
    'grpc.max_receive_message_length': messageBytesMax,
    'grpc.max_send_message_length': -1,
    'grpc.max_concurrent_streams': 1000,
  })
  for (const name of ['data', 'tableAdmin', 'instanceAdmin'] as const)
    server.addService(protocol.services[name], handlersOf(name))
  return server
}

/** `rules` replaces rules of Bigtable, for tests of the tests. */
export const startBigtable = async (options: {
  dir: string
  port?: number
  now?: () => number
  rules?: Partial<Rules>
}): Promise<BigtableServer> => {
  const { dir, port, now = Date.now, rules } = options
  mkdirSync(dir, { recursive: true })
  const store = openStore(dir)
  const engine = createEngine({ store, now, ...(rules && { rules }) })
  const protocol = loadProtocol()
  const calls: CallStats = {}
  const stats = (): BigtableStats => ({ tables: store.tables().length, calls: structuredClone(calls) })
  const control = await listen({
    handle: async (_request, response) => sendJson(response, 404, { error: 'this is gRPC: see /_lifeboat/health' }),
    onFault: (response, code) => sendJson(response, code, { error: 'a fault was switched on' }),
    stats,
    control: async (path, request, response) => {
      if (path !== '/_lifeboat/sweep' || request.method !== 'POST') return false
      sendJson(response, 200, { rows: await engine.sweep() })
      return true
    },
  })
  const shared = { faults: control.faults, stats: calls, settled: () => store.settled() }
  const instances = protocol.services.instanceAdmin['GetInstance']
  const grpc = createGrpcServer(protocol, (service) => {
    const methods = {
      data: () => createDataApi(engine),
      tableAdmin: () => createTableApi(store),
      instanceAdmin: () =>
        createInstanceApi(store, (instance) => instances?.responseSerialize(instance) ?? Buffer.of()),
    }[service]()
    const path = Object.values(protocol.services[service])[0]?.path.split('/')[1] ?? ''
    return createHandlers(path, methods, shared)
  })
  const injector = grpc.createConnectionInjector(ServerCredentials.createInsecure())
  const listening = await listenOnOnePort({
    ...(port !== undefined && { port }),
    controlPort: control.port,
    onGrpc: (socket) => injector.injectConnection(socket),
  })
  const sweeping = setInterval(() => void engine.sweep().catch(console.error), sweepEveryMs).unref()
  const url = `http://127.0.0.1:${listening.port}`
  return {
    host: '127.0.0.1',
    port: listening.port,
    url,
    controlUrl: url,
    stats,
    close: async () => {
      clearInterval(sweeping)
      grpc.forceShutdown()
      await listening.close()
      await control.close()
      store.close()
    },
  }
}
