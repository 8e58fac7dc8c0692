import { createGcsBlobStore } from '../shared/clouds/gcp/blob-store.ts'
import { findDefaultCredentials } from '../shared/clouds/gcp/default-credentials.ts'
import { staticToken } from '../shared/clouds/gcp/static-token.ts'
import { createStorage } from '../shared/clouds/gcp/storage-client.ts'
import type { Config } from '../shared/config.ts'
import type { ReplicaFacts, SourceFacts } from '../shared/doctor/ports.ts'
import type { CliContext } from './context.ts'

export type OpenedSource = { facts: SourceFacts; close(): void }
export type OpenedReplica = { facts: ReplicaFacts; close(): Promise<void> }

/** AWS as the doctor sees it, with the credentials of whoever calls. Its clients are loaded here. */
export const openSource = async (context: Pick<CliContext, 'env'>, config: Config): Promise<OpenedSource> => {
  const { openSourceFacts } = await import('../shared/clouds/aws/open-source-facts.ts')
  const { AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL } = context.env
  return openSourceFacts({ region: config.source.region, s3Endpoint: AWS_ENDPOINT_URL_S3 ?? AWS_ENDPOINT_URL })
}

/** Few: what does not answer is unknown, and said to be. */
const retriesMax = 1

/** Google as the doctor sees it. Credentials and emulators are as those of the other commands. */
export const openReplicaFacts = async (context: Pick<CliContext, 'env'>, config: Config): Promise<OpenedReplica> => {
  const { project: projectId, bucket, prefix, bigtableInstance: instanceId } = config.replica
  const {
    GCS_ENDPOINT: endpoint,
    GCS_TOKEN: token = 'lifeboat-restorer',
    BIGTABLE_ENDPOINT: bigtableEndpoint,
  } = context.env
  const authClient = endpoint ? staticToken(token) : await findDefaultCredentials(projectId)
  const storage = createStorage({ projectId, authClient, retriesMax, ...(endpoint && { endpoint }) })
  const [{ createReplicaFacts }, { describeCredentials }] = await Promise.all([
    import('../shared/clouds/gcp/replica-facts.ts'),
    import('../shared/clouds/gcp/credentials-kind.ts'),
  ])
  return createReplicaFacts({
    place: { projectId, instanceId },
    bucket,
    storage,
    store: createGcsBlobStore({ storage, bucket, prefix }),
    authClient,
    credentials: async () =>
      endpoint ? { kind: 'the token of an emulator', isFromAws: false } : describeCredentials(authClient),
    bigtableEndpoint,
  })
}
