import { status } from '@grpc/grpc-js'

/** A refusal with the gRPC status code that the client sees. */
export class ApiError extends Error {
  override readonly name = 'ApiError'
  readonly code: status
  readonly details: string

  constructor(code: status, message: string) {
    super(message)
    this.code = code
    this.details = message
  }
}

export const invalid = (message: string): ApiError => new ApiError(status.INVALID_ARGUMENT, message)
export const notFound = (message: string): ApiError => new ApiError(status.NOT_FOUND, message)
export const exists = (message: string): ApiError => new ApiError(status.ALREADY_EXISTS, message)
export const notImplemented = (what: string): ApiError => new ApiError(status.UNIMPLEMENTED, `not implemented: ${what}`)
