import { BigtableClient } from '@google-cloud/bigtable/build/src/v2/index.js'
import { credentials } from '@grpc/grpc-js'
import type { AuthClient } from 'google-auth-library'
import { InvalidInputError } from '../../errors.ts'
import { staticToken } from './static-token.ts'

/** One attempt of one check and mutation, or of one batch; a scan has no end of its own. */
export const requestTimeoutMs = 20_000
export const scanTimeoutMs = 10 * 60_000

export type BigtableOptions = {
  projectId: string
  instanceId: string
  /** Single-cluster routing with single-row transactions, which a check and mutation needs. */
  appProfileId?: string
  /** An emulator's `http://host:port`, or `https://host:port` where Bigtable is reached by another name than its own. */
  endpoint?: string
  token?: string
  authClient?: AuthClient
}

type CallOptions = {
  timeout: number
  retryRequestOptions: { retries: number; noResponseRetries: number; shouldRetryFn: () => boolean }
  otherArgs: { headers: Record<string, string> }
}

/** What every call is made with beside its request. */
export type Bigtable = {
  client: BigtableClient
  tableName(table: string): string
  appProfileId: string
  /** Of every call, beside what the client adds. */
  headers: Readonly<Record<string, string>>
  /** A fresh object each time: the client writes into it. */
  callOptions(timeout: number): CallOptions
}

/**
 * The generated client of Bigtable's data API, which costs less per call than the package's own `Table` (bigtable-call.ts
 * leaves out more where calls are many), has no client metrics to switch off, and does not read BIGTABLE_EMULATOR_HOST, so
 * that nothing turns authentication off from outside. An http `endpoint` is an emulator's and needs a `token`, which goes over
 * an open connection; an https one needs an `authClient`. Throws InvalidInputError where they do not go together.
 */
export const createBigtable = (options: BigtableOptions): Bigtable => {
  const { projectId, instanceId, appProfileId = '', endpoint, token, authClient } = options
  const place = endpoint === undefined ? undefined : new URL(endpoint)
  const isEmulator = place?.protocol === 'http:'
  if (isEmulator && token === undefined)
    throw new InvalidInputError(`the Bigtable endpoint ${endpoint} needs a token: none was given`)
  if (place && !isEmulator && (place.protocol !== 'https:' || !authClient || token !== undefined))
    throw new InvalidInputError(
      `the Bigtable endpoint ${endpoint} is not an emulator's http://host:port with a token, nor https with an auth client`,
    )
  const client = new BigtableClient({
    projectId,
    ...(authClient && { authClient }),
    ...(place && { servicePath: place.hostname, port: Number(place.port || 443) }),
    ...(isEmulator && {
      // Without one the client asks the metadata server of Google's machines where it is.
      authClient: staticToken(token ?? ''),
      sslCreds: credentials.createInsecure(),
    }),
    'grpc.keepalive_time_ms': 30_000,
    'grpc.keepalive_timeout_ms': 10_000,
  })
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` }
  return {
    client,
    appProfileId,
    headers,
    tableName: (table) => `projects/${projectId}/instances/${instanceId}/tables/${table}`,
    callOptions: (timeout) => ({
      timeout,
      // By default the transport repeats a stream that was refused, for whatever reason, without a word.
      retryRequestOptions: { retries: 0, noResponseRetries: 0, shouldRetryFn: () => false },
      otherArgs: { headers: { ...headers } },
    }),
  }
}
