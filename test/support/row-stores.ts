import { startBigtable } from '../../local/bigtable/server.ts'
import type { Fault } from '../../local/http.ts'
import { createBigtableRowStore } from '../../shared/clouds/gcp/row-store.ts'
import { createMemoryRowStore } from '../../shared/clouds/memory/row-store.ts'
import { UnavailableError } from '../../shared/errors.ts'
import type { HistoryEntry, RowStore, RowWrite, StoredRow } from '../../shared/features/row-store.ts'
import { bytes, connectBigtable, startEmulator } from './bigtable.ts'
import { inFolder } from './contract-target.ts'

/** `fault` makes the next `times` calls of an operation fail, before they arrive or as a lost reply. */
type FaultOf = (operation: 'applyIfNewer' | 'replaceIf', cut: 'before' | 'after', times: number) => Promise<void>
export type Opened = { store: RowStore; fault?: FaultOf; close(): Promise<void> }
export type Target = { name: string; open(): Promise<Opened> }

export const tables = ['rows', 'other']

export const createTables = async (host: string): Promise<void> => {
  const api = connectBigtable(host)
  const newest = { gcRule: { maxNumVersions: 1 } }
  for (const table of tables) {
    await api.createTable(table, { d: newest, m: newest })
    await api.createTable(`${table}-history`, { h: {} })
  }
  api.close()
}

export const storeOn = (url: string, retriesMax: number) =>
  createBigtableRowStore({
    projectId: 'p',
    instanceId: 'lifeboat',
    endpoint: url,
    token: 'lifeboat-writer',
    retriesMax,
    waitMs: 5,
  })

export const setFaults = async (url: string, faults: Fault[]): Promise<void> => {
  await fetch(`${url}/_lifeboat/faults`, { method: 'PUT', body: JSON.stringify(faults) })
}

export const memory: Target = {
  name: 'memory',
  open: async () => {
    const due: { step: string; cut: string }[] = []
    const onStep = (step: string, when: string): void => {
      const at = due.findIndex((each) => each.step === step && each.cut === when)
      if (at >= 0) throw new UnavailableError(`a fault ${due.splice(at, 1)[0]!.cut} ${step}`)
    }
    return {
      store: createMemoryRowStore({ tables, onStep }),
      fault: async (operation, cut, times) => {
        for (let count = 0; count < times; count += 1) due.push({ step: `rows.${operation}`, cut })
      },
      close: async () => undefined,
    }
  },
}

export const embedded: Target = {
  name: 'the embedded Bigtable',
  open: async () => {
    const server = await inFolder((dir) => startBigtable({ dir }))
    await createTables(`127.0.0.1:${server.port}`)
    const store = storeOn(server.url, 2)
    return {
      store,
      fault: (_operation, cut, times) => setFaults(server.controlUrl, [{ path: '/CheckAndMutateRow$', cut, times }]),
      close: async () => {
        await store.close()
        await server.close()
      },
    }
  },
}

export const emulator = (file: string): Target => ({
  name: 'cbtemulator',
  open: async () => {
    const running = await startEmulator(file)
    await createTables(running.host)
    const store = storeOn(running.url, 2)
    return {
      store,
      close: async () => {
        await store.close()
        await running.close()
      },
    }
  },
})

export const versionOf = (number: number): string => `0000000001.${String(number).padStart(40, '0')}.0`

export const rowOf = (
  key: string,
  version: number,
  cells: Record<string, string> = {},
  tombstone = false,
): RowWrite => ({
  key: bytes(key),
  cells: new Map(Object.entries(cells).map(([name, value]) => [name, bytes(value)])),
  marker: { version: versionOf(version), time: 1_700_000_000 + version, tombstone },
})

export const plain = (row: StoredRow | undefined): unknown =>
  row && {
    key: Buffer.from(row.key).toString('latin1'),
    cells: Object.fromEntries(Array.from(row.cells, ([name, value]) => [name, Buffer.from(value).toString('latin1')])),
    marker: row.marker,
  }

export const plainOf = ({ key, cells, marker }: RowWrite): unknown => plain({ key, cells, marker })

export const collect = async <T>(items: AsyncIterable<T>): Promise<T[]> => {
  const all: T[] = []
  for await (const item of items) all.push(item)
  return all
}

export const keysOf = async (rows: AsyncIterable<StoredRow>): Promise<string[]> =>
  (await collect(rows)).map(({ key }) => Buffer.from(key).toString('latin1'))

export const plainEntry = (entry: HistoryEntry): unknown => ({
  ...entry,
  key: Buffer.from(entry.key).toString('latin1'),
  before: typeof entry.before === 'string' ? entry.before : { image: Buffer.from(entry.before).toString('latin1') },
})
