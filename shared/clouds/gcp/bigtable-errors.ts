import { DeniedError, InvalidInputError, LifeboatError, NotFoundError, UnavailableError } from '../../errors.ts'
import { messageOf } from './errors.ts'

/** https://grpc.github.io/grpc/core/md_doc_statuscodes.html */
const codes = {
  cancelled: 1,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  aborted: 10,
  outOfRange: 11,
  internal: 13,
  unavailable: 14,
  unauthenticated: 16,
} as const

const passing: ReadonlySet<number> = new Set([
  codes.cancelled,
  codes.deadlineExceeded,
  codes.resourceExhausted,
  codes.aborted,
  codes.unavailable,
])
const refused: ReadonlySet<number> = new Set([codes.invalidArgument, codes.outOfRange])

/** How gRPC words a connection that broke in the middle of an answer. */
const isCutOff = (code: number | undefined, text: string): boolean =>
  code === codes.internal && /RST_STREAM|GOAWAY|premature|socket hang up|ECONNRESET/i.test(text)

const codeOf = (error: unknown): number | undefined => {
  const { code } = (typeof error === 'object' && error !== null ? error : {}) as { code?: unknown }
  return typeof code === 'number' ? code : undefined
}

/** Every error of Bigtable in the project's own words, with the operation, the table and the cause. */
export const translateBigtableError = (operation: string, table: string, error: unknown): Error => {
  if (error instanceof LifeboatError) return error
  const text = messageOf(error)
  const code = codeOf(error)
  const message = `${operation} ${table}: ${text}`
  const options = { cause: error }
  if (code !== undefined && (passing.has(code) || isCutOff(code, text))) return new UnavailableError(message, options)
  if (code === codes.permissionDenied || code === codes.unauthenticated)
    return new DeniedError(`${message} (check the roles of the identity in infra/gcp/roles.json)`, options)
  // A state of the instance: no change is to blame for it.
  if (code === codes.failedPrecondition)
    return new DeniedError(`${message} (check the app profile and the keys of the instance)`, options)
  if (code === codes.notFound)
    return new NotFoundError(`${message} (tables and families are made by infra/gcp)`, options)
  if (code !== undefined && refused.has(code)) return new InvalidInputError(message, options)
  return new Error(message, options)
}
