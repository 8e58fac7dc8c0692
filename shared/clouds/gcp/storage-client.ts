import { IdempotencyStrategy, Storage, type StorageOptions } from '@google-cloud/storage'
import { InvalidInputError } from '../../errors.ts'
import { isPassing } from './errors.ts'
import { REQUEST_TIMEOUT_MS } from './request.ts'
import { staticToken } from './static-token.ts'

type AuthClient = NonNullable<StorageOptions['authClient']>

/**
 * The client of Cloud Storage. `endpoint` is an emulator's URL and needs a `token` or an `authClient`: the package
 * drops authentication silently for a custom endpoint unless it is told not to. Throws InvalidInputError without one.
 */
export const createStorage = (options: {
  projectId: string
  endpoint?: string
  token?: string
  authClient?: AuthClient
  /** Tries after the first, 5 unless set; the wait between them doubles from 1 s. */
  retriesMax?: number
}): Storage => {
  const { projectId, endpoint, token, retriesMax = 5 } = options
  const authClient = options.authClient ?? (token === undefined ? undefined : staticToken(token))
  if (endpoint !== undefined && !authClient)
    throw new InvalidInputError(`the storage endpoint ${endpoint} needs a token: none was given`)
  return new Storage({
    projectId,
    ...(authClient ? { authClient } : {}),
    ...(endpoint === undefined ? {} : { apiEndpoint: endpoint, useAuthWithCustomEndpoint: true }),
    timeout: REQUEST_TIMEOUT_MS,
    retryOptions: {
      autoRetry: true,
      maxRetries: retriesMax,
      retryDelayMultiplier: 2,
      maxRetryDelay: 16,
      totalTimeout: 90,
      retryableErrorFn: isPassing,
      idempotencyStrategy: IdempotencyStrategy.RetryConditional,
    },
  })
}
