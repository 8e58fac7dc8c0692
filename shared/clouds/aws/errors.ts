import { ConflictError, DeniedError, LifeboatError, NotFoundError, UnavailableError } from '../../errors.ts'

type AwsFailure = {
  name?: string
  message?: string
  $metadata?: { httpStatusCode?: number }
  $retryable?: unknown
  code?: string
}

const deniedNames = new Set([
  'AccessDenied',
  'AccessDeniedException',
  'Forbidden',
  'KMS.AccessDeniedException',
  'UnrecognizedClientException',
  'ExpiredToken',
  'ExpiredTokenException',
  'InvalidAccessKeyId',
  'SignatureDoesNotMatch',
])
const throttleNames = new Set([
  'SlowDown',
  'Throttling',
  'ThrottlingException',
  'ProvisionedThroughputExceededException',
  'RequestLimitExceeded',
  'TooManyRequestsException',
  'TransactionInProgressException',
  'TransactionConflictException',
  'RequestTimeout',
  'TimeoutError',
  'KmsThrottled',
])
const networkCodes = /^(ECONN|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|ENETUNREACH|ERR_STREAM_PREMATURE_CLOSE|UND_ERR)/

/** What an AWS SDK error means, with the operation and the thing it was about. Errors of Lifeboat pass through. */
export const translateAwsError = (error: unknown, operation: string): Error => {
  if (error instanceof LifeboatError) return error
  const failure = error as AwsFailure
  const status = failure.$metadata?.httpStatusCode ?? 0
  const name = failure.name ?? 'Error'
  const message = `${operation}: ${name}: ${failure.message ?? ''}`
  const options = { cause: error }
  // A key that is disabled, pending deletion or gone.
  const isKeyRefused = status === 400 && name.startsWith('KMS.') && !/throttl/i.test(name)
  if (deniedNames.has(name) || isKeyRefused || status === 401 || status === 403)
    return new DeniedError(`${message} (check the function's role and the key policy)`, options)
  if (status === 404 || name === 'NoSuchKey' || name === 'NoSuchVersion' || name === 'NotFound')
    return new NotFoundError(message, options)
  if (status === 412 || name === 'ConditionalCheckFailedException') return new ConflictError(message, options)
  const isNetwork =
    networkCodes.test(failure.code ?? '') ||
    networkCodes.test(name) ||
    name === 'AbortError' ||
    name === 'NetworkingError'
  if (throttleNames.has(name) || status === 429 || status >= 500 || isNetwork || failure.$retryable !== undefined)
    return new UnavailableError(message, options)
  return error instanceof Error ? error : new Error(message, options)
}

/** Runs one call and translates what it throws. */
export const translated = async <T>(operation: string, call: () => Promise<T>): Promise<T> => {
  try {
    return await call()
  } catch (error) {
    throw translateAwsError(error, operation)
  }
}
