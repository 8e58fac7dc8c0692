/** An answer of S3 that is an error: its HTTP status, its `Code`, and what else its XML and headers carry. */
export class S3Error extends Error {
  override readonly name = 'S3Error'
  readonly status: number
  readonly code: string
  readonly headers: Record<string, string>
  readonly details: Record<string, string | number>

  constructor(
    status: number,
    code: string,
    message: string,
    more: { headers?: Record<string, string>; details?: Record<string, string | number> } = {},
  ) {
    super(message)
    this.status = status
    this.code = code
    this.headers = more.headers ?? {}
    this.details = more.details ?? {}
  }
}

export const invalidArgument = (name: string, value: string, message: string): S3Error =>
  new S3Error(400, 'InvalidArgument', message, { details: { ArgumentName: name, ArgumentValue: value } })

export const invalidRequest = (message: string): S3Error => new S3Error(400, 'InvalidRequest', message)

export const notImplemented = (what: string): S3Error =>
  new S3Error(
    501,
    'NotImplemented',
    `A header or query you provided implies functionality that is not implemented: ${what}`,
  )

export const preconditionFailed = (condition: string): S3Error =>
  new S3Error(412, 'PreconditionFailed', 'At least one of the pre-conditions you specified did not hold', {
    details: { Condition: condition },
  })

export const malformedXml = (): S3Error =>
  new S3Error(
    400,
    'MalformedXML',
    'The XML you provided was not well-formed or did not validate against our published schema',
  )
