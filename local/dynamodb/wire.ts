import { randomUUID } from 'node:crypto'
import type { ServerResponse } from 'node:http'

/** An attribute value as DynamoDB's JSON has it: one member, its type; numbers are strings and bytes base64. */
export type AttributeValue = {
  S?: string
  N?: string
  B?: string
  BOOL?: boolean
  NULL?: boolean
  SS?: string[]
  NS?: string[]
  BS?: string[]
  L?: AttributeValue[]
  M?: Item
}
export type Item = Record<string, AttributeValue>

/** A refusal's JSON; some have further members. */
export type ErrorBody = { __type: string; message?: string; [member: string]: unknown }

/** A refusal with the status and JSON body that the SDK reads the error's name and members from. */
export class ServiceError extends Error {
  override readonly name = 'ServiceError'
  readonly status: number
  readonly body: ErrorBody

  constructor(status: number, body: ErrorBody, options?: ErrorOptions) {
    super(`${body.__type}: ${body.message ?? ''}`, options)
    this.status = status
    this.body = body
  }

  /** The error's name without its namespace, such as `ValidationException`. */
  get code(): string {
    return this.body.__type.replace(/^.*#/, '')
  }
}

/** A 400 of DynamoDB's own namespace with further members beside the message. */
export const refusal = (code: string, message: string, members: Record<string, unknown> = {}): ServiceError =>
  new ServiceError(400, { __type: `com.amazonaws.dynamodb.v20120810#${code}`, message, ...members })

export const invalid = (message: string): ServiceError =>
  new ServiceError(400, { __type: 'com.amazon.coral.validate#ValidationException', message })

export const notImplemented = (what: string): ServiceError =>
  new ServiceError(501, {
    __type: 'com.amazonaws.dynamodb.v20120810#NotImplemented',
    message: `not implemented: ${what}`,
  })

/** Answers with JSON 1.0 and no x-amz-crc32, which is optional and must be right where it is there. */
export const answer = (response: ServerResponse, status: number, body: unknown): void => {
  const bytes = Buffer.from(JSON.stringify(body))
  response.writeHead(status, {
    'content-type': 'application/x-amz-json-1.0',
    'content-length': bytes.length,
    'x-amzn-requestid': randomUUID(),
  })
  response.end(bytes)
}

const faultCodes: Record<number, string> = {
  400: 'ProvisionedThroughputExceededException',
  500: 'InternalServerError',
  503: 'ServiceUnavailable',
}

/** A fault switched on for a test; 400 is a throttle, as DynamoDB answers it. */
export const answerFault = (response: ServerResponse, status: number): void => {
  const code = faultCodes[status] ?? 'InternalServerError'
  answer(response, status, { __type: `com.amazonaws.dynamodb.v20120810#${code}`, message: 'a fault was switched on' })
}
