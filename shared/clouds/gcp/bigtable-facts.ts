import { BigtableInstanceAdminClient, BigtableTableAdminClient } from '@google-cloud/bigtable/build/src/v2/index.js'
import { credentials } from '@grpc/grpc-js'
import type { AuthClient } from 'google-auth-library'
import type { AppProfile, ReplicaFacts, ReplicaTable } from '../../doctor/ports.ts'
import { translateBigtableError } from './bigtable-errors.ts'
import { staticToken } from './static-token.ts'
import { unlessMissing } from './unless-missing.ts'

export type BigtableFactsOptions = {
  place: { projectId: string; instanceId?: string | undefined }
  authClient: AuthClient
  /** An emulator's `http://host:port`. */
  bigtableEndpoint?: string | undefined
}

type GcRule = {
  maxNumVersions?: number | null
  maxAge?: { seconds?: number | string | { toString(): string } | null } | null
  intersection?: unknown
  union?: unknown
}

const toRule = (rule: GcRule | null | undefined): ReplicaTable['families'][string] => {
  if (!rule) return 'none'
  if (rule.intersection) return { other: 'an intersection of rules' }
  if (rule.union) return { other: 'a union of rules' }
  if (rule.maxNumVersions) return { versions: rule.maxNumVersions }
  return rule.maxAge ? { seconds: Number(String(rule.maxAge.seconds ?? 0)) } : 'none'
}

const openAdmin = ({ place, authClient, bigtableEndpoint }: BigtableFactsOptions) => {
  const at = bigtableEndpoint === undefined ? undefined : new URL(bigtableEndpoint)
  const options = {
    projectId: place.projectId,
    authClient: at ? staticToken('') : authClient,
    ...(at && { servicePath: at.hostname, port: Number(at.port), sslCreds: credentials.createInsecure() }),
  }
  return { tables: new BigtableTableAdminClient(options), instances: new BigtableInstanceAdminClient(options) }
}

const ask = async <T>(what: string, call: () => Promise<T>): Promise<T> => {
  try {
    return await call()
  } catch (error) {
    throw translateBigtableError('look at', what, error)
  }
}
const once = { timeout: 15_000, maxRetries: 0 }

export type BigtableFacts = Pick<ReplicaFacts, 'table' | 'appProfile' | 'clusterKeys'>

/** The clients of Bigtable's administration are made once a table is asked for. */
export const createBigtableFacts = (
  options: BigtableFactsOptions,
): { facts: BigtableFacts; close: () => Promise<void> } => {
  let admin: ReturnType<typeof openAdmin> | undefined
  const open = (): ReturnType<typeof openAdmin> => (admin ??= openAdmin(options))
  const instance = `projects/${options.place.projectId}/instances/${options.place.instanceId ?? ''}`
  const facts: BigtableFacts = {
    table: (name) =>
      unlessMissing(() =>
        ask(name, async () => {
          const [table] = await open().tables.getTable(
            { name: `${instance}/tables/${name}`, view: 'SCHEMA_VIEW' },
            once,
          )
          const families = Object.entries(table.columnFamilies ?? {})
          return { families: Object.fromEntries(families.map(([family, { gcRule }]) => [family, toRule(gcRule)])) }
        }),
      ),
    appProfile: (id) =>
      unlessMissing(() =>
        ask(`app profile ${id}`, async (): Promise<AppProfile> => {
          const [profile] = await open().instances.getAppProfile({ name: `${instance}/appProfiles/${id}` }, once)
          const single = profile.singleClusterRouting
          return {
            ...(single?.clusterId && { cluster: single.clusterId }),
            hasTransactions: single?.allowTransactionalWrites === true,
          }
        }),
      ),
    clusterKeys: () =>
      ask(instance, async () => {
        const [{ clusters }] = await open().instances.listClusters({ parent: instance }, once)
        return (clusters ?? []).map(({ name, location, encryptionConfig }) => ({
          cluster: name?.split('/').at(-1) ?? '',
          zone: location?.split('/').at(-1) ?? '',
          ...(encryptionConfig?.kmsKeyName && { kmsKey: encryptionConfig.kmsKeyName }),
        }))
      }),
  }
  return {
    facts,
    close: async () => {
      await Promise.all([admin?.tables.close(), admin?.instances.close()])
    },
  }
}
