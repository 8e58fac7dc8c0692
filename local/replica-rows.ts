import { type Client, credentials, type ServiceError, status } from '@grpc/grpc-js'
import type { Config } from '../shared/config.ts'
import { historyDays } from '../shared/features/as-of.ts'
import { loadProtocol } from './bigtable/protocol.ts'

/** What infra/gcp makes for rows: the instance and, for every table, the rows of now and their history. */

const newestOnly = { gcRule: { maxNumVersions: 1 } }
const families = {
  rows: { d: newestOnly, m: newestOnly },
  history: { h: { gcRule: { maxAge: { seconds: String(historyDays * 86_400) } } } },
}

type Admin = 'tableAdmin' | 'instanceAdmin'
type Call = (request: object, callback: (error: ServiceError | null) => void) => void

/** Google's emulator has every instance, and no way to make one. */
const isNoMatter = (service: Admin, { code }: ServiceError): boolean =>
  code === status.ALREADY_EXISTS || (service === 'instanceAdmin' && code === status.UNIMPLEMENTED)

/** Creates what is not there; a second call changes nothing. `endpoint` is the embedded Bigtable's URL. */
export const createReplicaTables = async (endpoint: string, config: Config): Promise<void> => {
  const { project, bigtableInstance } = config.replica
  if (config.tables.length === 0 || bigtableInstance === undefined) return
  const { clients } = loadProtocol()
  const open = (service: Admin): Client => new clients[service](new URL(endpoint).host, credentials.createInsecure())
  const opened = { tableAdmin: open('tableAdmin'), instanceAdmin: open('instanceAdmin') }
  const create = (service: Admin, method: string, request: object): Promise<void> =>
    new Promise((resolve, reject) => {
      const call = (opened[service] as unknown as Record<string, Call>)[method]
      call?.call(opened[service], request, (error) =>
        error && !isNoMatter(service, error) ? reject(error) : resolve(),
      )
    })
  try {
    const parent = `projects/${project}`
    const cluster = { location: `${parent}/locations/europe-west1-b`, serveNodes: 1 }
    await create('instanceAdmin', 'CreateInstance', {
      parent,
      instanceId: bigtableInstance,
      instance: { displayName: bigtableInstance },
      clusters: { [`${bigtableInstance}-c1`]: cluster },
    })
    for (const { name, target = name } of config.tables) {
      const table = { parent: `${parent}/instances/${bigtableInstance}` }
      await create('tableAdmin', 'CreateTable', {
        ...table,
        tableId: target,
        table: { columnFamilies: families.rows },
      })
      await create('tableAdmin', 'CreateTable', {
        ...table,
        tableId: `${target}-history`,
        table: { columnFamilies: families.history },
      })
    }
  } finally {
    for (const client of Object.values(opened)) client.close()
  }
}
