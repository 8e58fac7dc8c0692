import type { ServerResponse } from 'node:http'
import { sendJson } from '../http.ts'

/** An answer of the API other than success; `reason` is the word of the JSON API's `errors[].reason`. */
export class ApiError extends Error {
  override readonly name = 'ApiError'
  readonly status: number
  readonly reason: string
  constructor(status: number, reason: string, message: string) {
    super(message)
    this.status = status
    this.reason = reason
  }
}

export const invalid = (message: string): ApiError => new ApiError(400, 'invalid', message)

export const notImplemented = (what: string): ApiError =>
  new ApiError(501, 'notImplemented', `The embedded Cloud Storage does not implement ${what}.`)

export const bucketNotFound = (): ApiError => new ApiError(404, 'notFound', 'The specified bucket does not exist.')

export const sendError = (response: ServerResponse, error: ApiError): void => {
  const { status, message, reason } = error
  if (status === 304) {
    response.writeHead(304).end()
    return
  }
  sendJson(response, status, { error: { code: status, message, errors: [{ message, domain: 'global', reason }] } })
}

const FAULT_REASONS: Record<number, string> = { 408: 'requestTimeout', 429: 'rateLimitExceeded', 503: 'backendError' }

/** A switched-on fault, in the shape of the service. */
export const sendFault = (response: ServerResponse, status: number): void =>
  sendError(
    response,
    new ApiError(
      status,
      FAULT_REASONS[status] ?? 'internalError',
      'We encountered an internal error. Please try again.',
    ),
  )
