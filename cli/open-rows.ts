import { findDefaultCredentials } from '../shared/clouds/gcp/default-credentials.ts'
import type { CliContext, OpenedRows, RowsPlace } from './context.ts'

/**
 * Opens a Bigtable instance. Credentials are as those of the weights; BIGTABLE_ENDPOINT and BIGTABLE_TOKEN name an emulator
 * and its principal. The client is loaded here, since that takes longer than all the rest of a command that needs none.
 */
export const openBigtableRows = async (context: Pick<CliContext, 'env'>, place: RowsPlace): Promise<OpenedRows> => {
  const endpoint = context.env['BIGTABLE_ENDPOINT']
  const access = endpoint
    ? { endpoint, token: context.env['BIGTABLE_TOKEN'] ?? 'lifeboat-restorer' }
    : { authClient: await findDefaultCredentials(place.projectId) }
  const { createBigtableRowStore } = await import('../shared/clouds/gcp/row-store.ts')
  const rows = createBigtableRowStore({ ...place, ...access })
  return { rows, close: () => rows.close() }
}
