import { InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda'
import { z } from 'zod'
import {
  CorruptError,
  DeniedError,
  FunctionError,
  InvalidInputError,
  NotConfiguredError,
  ConflictError,
  NotFoundError,
  RefusedError,
  UnavailableError,
} from '../../errors.ts'
import { translateAwsError } from './errors.ts'

/** Calls functions and waits for their answers. */
export type FunctionInvoker = { invoke(name: string, payload: unknown): Promise<unknown>; close(): void }

const failureSchema = z.object({ errorType: z.string().default('Error'), errorMessage: z.string().default('') })

/** Errors that mean to the caller what they mean to the function. */
const sharedErrors = [
  ConflictError,
  CorruptError,
  DeniedError,
  InvalidInputError,
  NotConfiguredError,
  NotFoundError,
  RefusedError,
  UnavailableError,
]

/** What a function that ended with an error said of it. */
const functionError = (name: string, text: string): Error => {
  let failure = { errorType: 'Error', errorMessage: text }
  try {
    const parsed = failureSchema.safeParse(JSON.parse(text))
    if (parsed.success) failure = parsed.data
  } catch {
    // Not JSON: the text itself is all that is known.
  }
  const { errorType, errorMessage } = failure
  const message = `${name} failed: ${errorType}: ${errorMessage}`
  if (errorType === 'Sandbox.Timedout' || errorMessage.includes('Task timed out'))
    return new UnavailableError(`${message} (what was done until then stays done: run it again)`)
  const Known = sharedErrors.find((kind) => kind.name === errorType)
  return Known ? new Known(message) : new FunctionError(`${message} (its log says more)`)
}

const callError = (error: unknown, name: string): Error => {
  const found = error instanceof Error ? error.name : ''
  const message = error instanceof Error ? error.message : String(error)
  if (found === 'CredentialsProviderError' || found === 'TokenProviderError')
    return new DeniedError(`no AWS credentials to invoke ${name} with: ${message}`, { cause: error })
  const translated = translateAwsError(error, `invoke ${name}`)
  if (translated instanceof NotFoundError)
    return new NotFoundError(`there is no function ${name}: is it the right stage, account and region?`, {
      cause: error,
    })
  if (translated instanceof DeniedError)
    return new DeniedError(`invoke ${name}: ${message} (the caller needs lambda:InvokeFunction)`, { cause: error })
  return translated
}

/** The endpoint is AWS_ENDPOINT_URL_LAMBDA where that is set. A call may last as long as a function does. */
export const createFunctionInvoker = ({ region }: { region: string }): FunctionInvoker => {
  const client = new LambdaClient({
    region,
    requestHandler: { connectionTimeout: 5000, requestTimeout: 16 * 60_000, throwOnRequestTimeout: true },
  })
  return {
    invoke: async (name, payload) => {
      const answer = await client
        .send(new InvokeCommand({ FunctionName: name, Payload: Buffer.from(JSON.stringify(payload)) }))
        .catch((error: unknown) => {
          throw callError(error, name)
        })
      const text = answer.Payload ? Buffer.from(answer.Payload).toString('utf8') : ''
      if (answer.FunctionError !== undefined) throw functionError(name, text)
      try {
        return JSON.parse(text) as unknown
      } catch (cause) {
        throw new FunctionError(`${name} answered no JSON: ${text.slice(0, 200)}`, { cause })
      }
    },
    close: () => client.destroy(),
  }
}
