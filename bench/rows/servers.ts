import { join } from 'node:path'
import { startService } from '../../local/service-process.ts'
import { connectBigtable, emulatorFile, startEmulator } from '../../test/support/bigtable.ts'
import { table } from './load.ts'

/** A Bigtable in a process of its own. */
export type RowsServer = { name: string; host: string; url: string; close(): Promise<void> }

const createTables = async (host: string): Promise<void> => {
  const api = connectBigtable(host)
  const newest = { gcRule: { maxNumVersions: 1 } }
  await api.createTable(table, { d: newest, m: newest })
  await api.createTable(`${table}-history`, { h: { gcRule: { maxAge: { seconds: String(35 * 86_400) } } } })
  api.close()
}

const startEmbedded = async (dir: string): Promise<RowsServer> => {
  const started = await startService({ service: 'bigtable', dir: join(dir, 'bigtable'), logFile: join(dir, 'log') })
  return { name: 'embedded Bigtable', host: new URL(started.url).host, url: started.url, close: () => started.stop() }
}

/** Google's emulator, where gcloud has it, and the embedded one, one at a time; says so where there is only one. */
export const eachServer = async (
  dir: string,
  work: (server: RowsServer) => Promise<void>,
): Promise<{ absent: boolean }> => {
  const file = emulatorFile()
  const starters = [
    ...(file === undefined ? [] : [async () => ({ name: 'cbtemulator', ...(await startEmulator(file)) })]),
    () => startEmbedded(dir),
  ]
  for (const start of starters) {
    const server: RowsServer = await start()
    try {
      await createTables(server.host)
      await work(server)
    } finally {
      await server.close()
    }
  }
  return { absent: file === undefined }
}
