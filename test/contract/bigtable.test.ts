import { Bigtable } from '@google-cloud/bigtable'
import { status } from '@grpc/grpc-js'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type BigtableServer, startBigtable } from '../../local/bigtable/server.ts'
import type { Fault } from '../../local/http.ts'
import { startService } from '../../local/service-process.ts'
import { staticToken } from '../../shared/clouds/gcp/static-token.ts'
import {
  type BigtableApi,
  brief,
  bytes,
  connectBigtable,
  emulatorFile,
  parent,
  setCell,
  startEmulator,
  tableNameOf,
} from '../support/bigtable.ts'
import { inFolder } from '../support/contract-target.ts'
import { type BigtableTarget, describeBigtable } from './bigtable-contract.ts'

const hostOf = async (server: BigtableServer): Promise<{ host: string; close(): Promise<void> }> => ({
  host: `127.0.0.1:${server.port}`,
  close: () => server.close(),
})

const embedded: BigtableTarget = {
  name: 'embedded',
  start: async () => hostOf(await inFolder((dir) => startBigtable({ dir }))),
}

/** What cbtemulator does otherwise than Bigtable's documentation, apart from words and codes. */
const emulatorBugs = [
  // Applies the mutations before the one that it refuses.
  'a list of mutations of which one is refused leaves the row as it was',
  // Answers UNKNOWN.
  'an unknown family is not found',
  'a delete from an unknown family is refused',
  'a sink lets its cells out past what follows',
  'a check without mutations is refused',
  'a key of more than 4096 bytes is refused',
  'the splits that a table is made with are among its samples',
  'takes with an intersection only what every rule takes',
  'a time in microseconds is refused',
]
const file = emulatorFile()
const targets: BigtableTarget[] = [
  embedded,
  ...(file ? [{ name: 'cbtemulator', start: () => startEmulator(file), bugs: emulatorBugs }] : []),
]
for (const target of targets) describeBigtable(target)

describe.each(targets)('the SDK on $name', (target) => {
  it('makes a table, writes, checks, reads and deletes', async () => {
    const running = await target.start()
    const authClient = staticToken('anyone')
    const bigtable = new Bigtable({ projectId: 'p', apiEndpoint: running.host, metricsEnabled: false, authClient })
    const instance = bigtable.instance('lifeboat')
    await instance.createTable('sdk', {
      families: [{ name: 'f', rule: { versions: 1 } }],
      splits: [Buffer.from('h')] as never,
    })
    const table = instance.table('sdk')
    await table.insert([
      { key: 'r1', data: { f: { a: { value: Buffer.from([0, 255]), timestamp: 1000 }, b: 'text' } } },
      { key: 'r2', data: { f: { a: 'x' } } },
    ])
    const [row] = await table.row('r1').get([], { decode: false })
    const data = (row as { data: Record<string, Record<string, { value: Buffer }[]>> }).data
    expect(data['f']!['a']![0]!.value).toEqual(Buffer.from([0, 255]))
    const onMatch = [{ method: 'insert', data: { f: { c: 'matched' } } }]
    const [matched] = await table.row('r2').filter([{ column: 'a' }, { value: 'x' }], { onMatch } as never)
    expect(matched).toBe(true)
    const [rows] = await table.getRows({ prefix: 'r', filter: [{ column: { cellLimit: 1 } }], limit: 5 })
    expect(rows.map(({ id }) => id)).toEqual(['r1', 'r2'])
    await table.row('r1').deleteCells(['f:b'])
    await table.row('r2').delete()
    expect((await table.getRows())[0].map(({ id }) => id)).toEqual(['r1'])
    await table.delete()
    expect(await table.exists()).toEqual([false])
    await bigtable.close()
    await running.close()
  })
})

describe('the embedded Bigtable', () => {
  let server: BigtableServer
  let api: BigtableApi
  beforeAll(async () => {
    server = await inFolder((dir) => startBigtable({ dir }))
    api = connectBigtable(`127.0.0.1:${server.port}`)
    await api.createTable('t', { f: {} })
  })
  afterAll(async () => {
    api.close()
    await server.close()
  })
  const mutate = (key: string, value: string): Promise<unknown> =>
    api.call('data', 'MutateRow', {
      tableName: tableNameOf('t'),
      rowKey: bytes(key),
      mutations: [setCell('f', 'x', 1000, value)],
    })
  const setFaults = async (faults: Fault[]): Promise<void> => {
    await fetch(`${server.controlUrl}/_lifeboat/faults`, { method: 'PUT', body: JSON.stringify(faults) })
  }

  const sweep = async (): Promise<unknown> =>
    (await fetch(`${server.controlUrl}/_lifeboat/sweep`, { method: 'POST' })).json()

  it('answers UNIMPLEMENTED for what it does not do', async () => {
    const name = tableNameOf('t')
    const calls = [
      api.call('data', 'ReadModifyWriteRow', { tableName: name, rowKey: bytes('k'), rules: [] }),
      api.call('data', 'PrepareQuery', {}),
      api.read('t', { authorizedViewName: `${name}/authorizedViews/v` }),
      api.read('t', { requestStatsView: 'REQUEST_STATS_FULL' }),
      api.read('t', { filter: { valueRegexFilter: bytes('\\pL') } }),
      api.call('data', 'MutateRow', {
        tableName: name,
        rowKey: bytes('k'),
        mutations: [{ addToCell: { familyName: 'f' } }],
      }),
      ...[
        'CreateBackup',
        'SnapshotTable',
        'UpdateTable',
        'CheckConsistency',
        'GetIamPolicy',
        'CreateAuthorizedView',
      ].map((method) => api.call('tableAdmin', method, {})),
      api.createTable('typed', { f: { valueType: { int64Type: {} } } }),
      ...['UpdateInstance', 'CreateCluster', 'SetIamPolicy'].map((method) => api.call('instanceAdmin', method, {})),
    ]
    for (const outcome of await Promise.allSettled(calls))
      expect(outcome).toMatchObject({ status: 'rejected', reason: { code: status.UNIMPLEMENTED } })
  })

  it('fails, stalls and loses replies when told to', async () => {
    await setFaults([{ path: '/MutateRow$', status: status.UNAVAILABLE, times: 1 }])
    await expect(mutate('a', '1')).rejects.toMatchObject({ code: status.UNAVAILABLE })
    expect(await api.read('t')).toEqual([])
    await setFaults([{ path: '/MutateRow$', cut: 'after', times: 1 }])
    await expect(mutate('a', '2')).rejects.toMatchObject({ code: status.UNAVAILABLE })
    expect(brief(await api.read('t'))).toEqual({ a: ['f:x@1000=2'] })
    await setFaults([{ path: '/ReadRows$', status: status.DEADLINE_EXCEEDED, times: 1 }])
    await expect(api.read('t')).rejects.toMatchObject({ code: status.DEADLINE_EXCEEDED })
    await setFaults([{ path: '/ReadRows$', cut: 'after', times: 1 }])
    await expect(api.read('t')).rejects.toMatchObject({ code: status.UNAVAILABLE })
    await setFaults([{ path: '/MutateRow$', delayMs: 150, times: 1 }])
    const begun = performance.now()
    await mutate('a', '3')
    expect(performance.now() - begun).toBeGreaterThan(140)
    await setFaults([{ path: '/MutateRow$', cut: 'before', times: 10, every: 3 }])
    const outcomes = await Promise.allSettled(Array.from({ length: 9 }, (_, index) => mutate(`e${index}`, '')))
    expect(outcomes.filter((outcome) => outcome.status === 'rejected')).toHaveLength(3)
    await setFaults([])
    expect(server.stats().calls['/google.bigtable.v2.Bigtable/MutateRow']).toMatchObject({ faults: 6 })
  })

  it('has instances and app profiles', async () => {
    const project = 'projects/p'
    const made = await api.call('instanceAdmin', 'CreateInstance', {
      parent: project,
      instanceId: 'lifeboat',
      instance: { displayName: 'Lifeboat' },
      clusters: { c1: { location: `${project}/locations/us-east1-b`, serveNodes: 1 } },
    })
    expect(made).toMatchObject({ done: true })
    const appProfile = { singleClusterRouting: { clusterId: 'c1', allowTransactionalWrites: true } }
    await api.call('instanceAdmin', 'CreateAppProfile', { parent, appProfileId: 'writer', appProfile })
    expect(await api.call('instanceAdmin', 'GetAppProfile', { name: `${parent}/appProfiles/writer` })).toMatchObject(
      appProfile,
    )
    expect(await api.call('instanceAdmin', 'GetInstance', { name: parent })).toMatchObject({
      displayName: 'Lifeboat',
      state: 'READY',
    })
    expect(await api.call('instanceAdmin', 'ListClusters', { parent })).toMatchObject({
      clusters: [{ name: `${parent}/clusters/c1` }],
    })
    const again = api.call('instanceAdmin', 'CreateAppProfile', { parent, appProfileId: 'writer', appProfile })
    await expect(again).rejects.toMatchObject({ code: status.ALREADY_EXISTS })
    await api.call('instanceAdmin', 'DeleteInstance', { name: parent })
    await expect(api.call('instanceAdmin', 'GetInstance', { name: parent })).rejects.toMatchObject({
      code: status.NOT_FOUND,
    })
    await expect(api.read('t')).rejects.toMatchObject({ code: status.NOT_FOUND })
    await api.createTable('t', { f: {} })
  })

  it('takes what a rule no longer keeps from the disk when it sweeps', async () => {
    await api.createTable('swept', { f: {} })
    const mutations = [1000, 2000, 3000].map((micros) => setCell('f', 'x', micros, ''))
    const rowKey = bytes('k')
    await api.call('data', 'MutateRow', { tableName: tableNameOf('swept'), rowKey, mutations })
    await api.modify('swept', [{ id: 'f', update: { gcRule: { maxNumVersions: 1 } } }])
    expect([await sweep(), await sweep()]).toEqual([{ rows: 1 }, { rows: 0 }])
    await api.modify('swept', [{ id: 'f', update: {} }])
    expect(brief(await api.read('swept'))).toEqual({ k: ['f:x@3000='] })
  })
})

describe('a kill of the embedded Bigtable', () => {
  it('loses nothing that was acknowledged', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'lifeboat-bigtable-kill-'))
    const start = (port?: number) =>
      startService({ service: 'bigtable', dir, logFile: join(dir, 'log'), ...(port !== undefined && { port }) })
    const first = await start()
    let api = connectBigtable(`127.0.0.1:${first.port}`)
    await api.createTable('t', { f: { gcRule: { maxNumVersions: 3 } } })
    const tableName = tableNameOf('t')
    const acknowledged = new Set<string>()
    let next = 0
    const write = async (index: number): Promise<string[]> => {
      const mutations = [setCell('f', 'x', 1000, `value ${index}`)]
      if (index % 3 === 0) {
        const keys = Array.from({ length: 20 }, (_, at) => `b${index}-${at}`)
        await api.stream('MutateRows', { tableName, entries: keys.map((key) => ({ rowKey: bytes(key), mutations })) })
        return keys
      }
      const rowKey = bytes(`k${index}`)
      if (index % 3 === 1) await api.call('data', 'MutateRow', { tableName, rowKey, mutations })
      else await api.call('data', 'CheckAndMutateRow', { tableName, rowKey, falseMutations: mutations })
      return [`k${index}`]
    }
    let killed: Promise<void> | undefined
    const writer = async (): Promise<void> => {
      for (;;) {
        const done = await write((next += 1)).catch(() => undefined)
        if (!done) return
        for (const key of done) acknowledged.add(key)
        if (acknowledged.size > 2000) killed ??= first.kill()
      }
    }
    await Promise.all(Array.from({ length: 8 }, writer))
    await killed
    api.close()
    const second = await start(first.port)
    api = connectBigtable(`127.0.0.1:${second.port}`)
    const read = new Map((await api.read('t')).map(({ key, cells }) => [key, cells[0]?.value]))
    for (const key of acknowledged) expect([key, read.get(key)]).toEqual([key, `value ${/\d+/.exec(key)![0]}`])
    const table = await api.call('tableAdmin', 'GetTable', { name: tableName })
    expect(table).toMatchObject({ columnFamilies: { f: { gcRule: { maxNumVersions: 3 } } } })
    api.close()
    await second.stop()
    rmSync(dir, { recursive: true })
  })
})
