import {
  type Metadata,
  type sendUnaryData,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServerWritableStream,
} from '@grpc/grpc-js'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { loadProtocol } from '../../local/bigtable/protocol.ts'
import { type BigtableServer, startBigtable } from '../../local/bigtable/server.ts'
import type { Fault } from '../../local/http.ts'
import { createBigtableRowStore } from '../../shared/clouds/gcp/row-store.ts'
import { DeniedError, InvalidInputError, NotFoundError, UnavailableError } from '../../shared/errors.ts'
import { bytes } from '../support/bigtable.ts'
import { inFolder } from '../support/contract-target.ts'
import { collect, createTables, keysOf, rowOf, setFaults, storeOn, versionOf } from '../support/row-stores.ts'

describe('the Bigtable adapter', () => {
  let server: BigtableServer
  let store: ReturnType<typeof storeOn>
  let patient: ReturnType<typeof storeOn>
  const setOn = (path: string, fault: Omit<Fault, 'path'>): Promise<void> =>
    setFaults(server.controlUrl, [{ path, ...fault }])
  beforeAll(async () => {
    server = await inFolder((dir) => startBigtable({ dir }))
    await createTables(`127.0.0.1:${server.port}`)
    store = storeOn(server.url, 0)
    patient = storeOn(server.url, 3)
  })
  afterAll(async () => {
    await store.close()
    await patient.close()
    await server.close()
  })

  const grpcErrors: [number, new (message: string) => Error][] = [
    [4, UnavailableError],
    [8, UnavailableError],
    [10, UnavailableError],
    [14, UnavailableError],
    [7, DeniedError],
    [16, DeniedError],
    [5, NotFoundError],
    [3, InvalidInputError],
    [9, DeniedError],
    [11, InvalidInputError],
  ]
  it.each(grpcErrors)('calls gRPC status %i what it means, in every operation', async (status, expected) => {
    const calls: [string, () => Promise<unknown>][] = [
      ['ReadRows', () => store.read('rows', [bytes('a')])],
      ['ReadRows', () => collect(store.scan('rows', { start: bytes('') }))],
      ['CheckAndMutateRow', () => store.applyIfNewer('rows', rowOf('a', 1))],
      ['CheckAndMutateRow', () => store.replaceIf('rows', rowOf('a', 1), undefined)],
      [
        'MutateRows',
        () => store.history.append('rows', [{ key: bytes('a'), version: '1', time: 1, before: 'absent' }]),
      ],
      ['ReadRows', () => collect(store.history.list('rows', bytes('a')))],
    ]
    for (const [method, call] of calls) {
      await setOn(`/${method}$`, { status, times: 1 })
      await expect(call()).rejects.toThrow(expected)
    }
  })

  it('an outage is waited out where a repeat is safe, and is an error where it goes on', async () => {
    const entry = { key: bytes('outage'), version: versionOf(1), time: 1, before: 'absent' as const }
    await patient.applyIfNewer('rows', rowOf('outage', 1))
    for (const fault of [{ status: 14 }, { status: 4 }, { cut: 'after' as const }]) {
      await setOn('.', { ...fault, times: 3 })
      expect(await patient.read('rows', [bytes('outage')])).toHaveLength(1)
      await setOn('.', { ...fault, times: 3 })
      expect(await keysOf(patient.scan('rows', { start: bytes('outage'), end: bytes('outagf') }))).toEqual(['outage'])
      await setOn('.', { ...fault, times: 3 })
      await patient.history.append('rows', [entry])
      await setOn('.', { ...fault, times: 3 })
      expect(await collect(patient.history.list('rows', entry.key))).toHaveLength(1)
      await setOn('.', { ...fault, times: 4 })
      await expect(patient.history.append('rows', [entry])).rejects.toThrow(UnavailableError)
      await setOn('.', { ...fault, times: 0 })
    }
  })

  it('every call says where it is routed to, and with what token, as the generated client does', async () => {
    const seen = new Map<string, unknown[]>()
    const { data } = loadProtocol().services
    const grpc = new Server()
    const note = (method: string, { metadata }: { metadata: Metadata }): void =>
      void seen.set(method, [metadata.get('x-goog-request-params'), metadata.get('authorization')])
    grpc.addService(data, {
      CheckAndMutateRow: (call: ServerUnaryCall<object, object>, answer: sendUnaryData<object>) => {
        note('CheckAndMutateRow', call)
        answer(null, { predicateMatched: false })
      },
      MutateRows: (call: ServerWritableStream<object, object>) => {
        note('MutateRows', call)
        call.write({ entries: [{ index: '0', status: { code: 0 } }] })
        call.end()
      },
      ReadRows: (call: ServerWritableStream<object, object>) => {
        note('ReadRows', call)
        call.end()
      },
    })
    const bind = promisify(grpc.bindAsync.bind(grpc))
    const port = await bind('127.0.0.1:0', ServerCredentials.createInsecure())
    const endpoint = `http://127.0.0.1:${port}`
    const options = { projectId: 'p', instanceId: 'i', appProfileId: 'single/cluster', endpoint, token: 'secret' }
    const routed = createBigtableRowStore(options)
    try {
      await routed.read('rows-history', [bytes('a')])
      await routed.applyIfNewer('rows-history', rowOf('a', 1))
      await routed.history.append('rows', [{ key: bytes('a'), version: '1', time: 1, before: 'absent' }])
    } finally {
      await routed.close()
      grpc.forceShutdown()
    }
    const params = 'table_name=projects%2Fp%2Finstances%2Fi%2Ftables%2Frows-history&app_profile_id=single%2Fcluster'
    const expected = [[params], ['Bearer secret']]
    expect(Object.fromEntries(seen)).toEqual({ ReadRows: expected, CheckAndMutateRow: expected, MutateRows: expected })
  })

  it('a server that is not there is unavailable', async () => {
    const gone = storeOn('http://127.0.0.1:1', 0)
    await expect(gone.applyIfNewer('rows', rowOf('a', 1))).rejects.toThrow(UnavailableError)
    await expect(gone.read('rows', [bytes('a')])).rejects.toThrow(UnavailableError)
    await gone.close()
  })

  it('a key that no row can have is refused, and a retry is not asked for', async () => {
    await expect(store.applyIfNewer('rows', rowOf('k'.repeat(4097), 1))).rejects.toThrow(InvalidInputError)
    const entry = { key: bytes('k'.repeat(4096)), version: versionOf(1), time: 1, before: 'absent' as const }
    await expect(store.history.append('rows', [entry])).rejects.toThrow(InvalidInputError)
  })

  it('an emulator needs a token and an http URL, any other endpoint an auth client', () => {
    const options = { projectId: 'p', instanceId: 'i' }
    expect(() => createBigtableRowStore({ ...options, endpoint: server.url })).toThrow(InvalidInputError)
    expect(() => createBigtableRowStore({ ...options, endpoint: 'https://h:1', token: 't' })).toThrow(InvalidInputError)
    expect(() => createBigtableRowStore({ ...options, endpoint: 'https://h:1' })).toThrow(InvalidInputError)
  })
})
