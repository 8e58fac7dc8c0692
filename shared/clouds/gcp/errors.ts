import {
  ConflictError,
  CorruptError,
  DeniedError,
  InvalidInputError,
  LifeboatError,
  NotFoundError,
  UnavailableError,
} from '../../errors.ts'

const NETWORK_CODES = new Set([
  'ECONNRESET',
  'ECONNREFUSED',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'ESOCKETTIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ERR_STREAM_PREMATURE_CLOSE',
  'UND_ERR_SOCKET',
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_BODY_TIMEOUT',
])

type SdkError = { name?: unknown; code?: unknown; status?: unknown; type?: unknown; message?: unknown; cause?: unknown }

const asSdkError = (error: unknown): SdkError => (typeof error === 'object' && error !== null ? error : {})

/** The HTTP status that an error of the SDK or of its authentication carries. */
export const statusOf = (error: unknown): number | undefined => {
  const { code, status } = asSdkError(error)
  const found = [code, status].map(Number).find((value) => value >= 100 && value <= 599)
  return found
}

const isNetworkError = (error: unknown): boolean => {
  const { name, code, type, cause } = asSdkError(error)
  if (name === 'AbortError' || name === 'TimeoutError') return true
  if (typeof code === 'string' && NETWORK_CODES.has(code)) return true
  if (type === 'request-timeout' || type === 'body-timeout') return true
  return cause !== undefined && cause !== error && isNetworkError(cause)
}

/** Throttled, overloaded, timed out or not reached: the same request may succeed later. */
export const isPassing = (error: unknown): boolean => {
  const status = statusOf(error)
  return status === undefined ? isNetworkError(error) : status === 408 || status === 429 || status >= 500
}

export const messageOf = (error: unknown): string => {
  const { message } = asSdkError(error)
  return typeof message === 'string' ? message : String(error)
}

const textMax = 300

/** The host of the first URL in a text. */
const hostIn = (text: string): string | undefined => /https?:\/\/([^\s/?#"']+)/.exec(text)?.[1]

/** One line for a person: URLs keep their host alone, since the name says the rest and their queries are long. */
const brief = (text: string): string => {
  const hosts = text.replaceAll(/https?:\/\/([^\s/?#"']+)[^\s"']*/g, '$1')
  const line = hosts.replaceAll(/\s+/g, ' ').trim()
  return line.length > textMax ? `${line.slice(0, textMax)} ...` : line
}

/** The system's own word for why a connection failed: the innermost code, or the innermost message. */
const networkReason = (error: unknown): string => {
  const { cause, code, message, name } = asSdkError(error)
  if (cause !== undefined && cause !== error) return networkReason(cause)
  if (name === 'AbortError' || name === 'TimeoutError') return 'no answer in time'
  return typeof code === 'string' && code !== '' ? code : brief(String(message))
}

/** A 404 that speaks of the object; one of the bucket is a wrong configuration and never "nothing there". */
export const isObjectMissing = (error: unknown): boolean =>
  statusOf(error) === 404 && !/bucket does not exist/i.test(messageOf(error))

/** Every error of Google Cloud Storage in the project's own words, with the operation, the name and the cause. */
export const translateError = (operation: string, name: string, error: unknown): Error => {
  if (error instanceof LifeboatError) return error
  const text = messageOf(error)
  const message = `${operation} ${name}: ${brief(text)}`
  const status = statusOf(error)
  if (status === undefined && isNetworkError(error)) {
    const host = hostIn(text) ?? 'Google Cloud'
    return new UnavailableError(`cannot reach ${host} (${networkReason(error)}) to ${operation} ${name}`, {
      cause: error,
    })
  }
  if (isPassing(error)) return new UnavailableError(message, { cause: error })
  if (status === 404) return new NotFoundError(message, { cause: error })
  if (status === 409 || status === 412) return new ConflictError(message, { cause: error })
  if (/^invalid_(grant|rapt|client)\b/.test(text))
    return new DeniedError(`${message}: the Google credentials are no longer good, log in again`, { cause: error })
  if (status === 401 || status === 403)
    return new DeniedError(`${message} (check the roles of the identity in infra/gcp/roles.json)`, { cause: error })
  if (status === 400 && /CRC32C|MD5/i.test(text)) return new CorruptError(message, { cause: error })
  if (status !== undefined && status >= 400) return new InvalidInputError(message, { cause: error })
  return new Error(message, { cause: error })
}
