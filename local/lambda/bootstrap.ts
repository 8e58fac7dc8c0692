/**
 * What runs in the process of one function instance: loads the handler that _HANDLER names below LAMBDA_TASK_ROOT, as
 * Lambda's own runtime does, and answers one invocation at a time over the IPC channel.
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

export type Request = { requestId: string; arn: string; payload: string; deadline: number }
export type FunctionError = { errorType: string; errorMessage: string; trace: string[] }
/** `rssMaxBytes` is the most memory that this process has held so far. */
export type Reply =
  | { type: 'ready' }
  | { type: 'init-error'; error: FunctionError }
  | { type: 'result'; requestId: string; payload: string; rssMaxBytes: number }
  | { type: 'error'; requestId: string; error: FunctionError; rssMaxBytes: number }

type HandlerFunction = (event: unknown, context: object) => unknown

const functionError = (error: unknown): FunctionError => {
  if (!(error instanceof Error)) return { errorType: typeof error, errorMessage: String(error), trace: [] }
  return { errorType: error.name, errorMessage: error.message, trace: (error.stack ?? '').split('\n') }
}

const loadHandler = async (): Promise<HandlerFunction> => {
  const { _HANDLER: handler = '', LAMBDA_TASK_ROOT: root = '.' } = process.env
  const split = handler.lastIndexOf('.')
  const [module, name] = [handler.slice(0, split), handler.slice(split + 1)]
  const file = ['', '.js', '.mjs', '.cjs'].map((ending) => join(root, module + ending)).find((path) => existsSync(path))
  if (!file) throw new Error(`Cannot find module '${module}' in ${root}`)
  const exported = (await import(pathToFileURL(file).href)) as Record<string, unknown>
  if (typeof exported[name] !== 'function') throw new Error(`${handler} is undefined or not exported`)
  return exported[name] as HandlerFunction
}

const contextOf = ({ requestId, arn, deadline }: Request): object => ({
  awsRequestId: requestId,
  invokedFunctionArn: arn,
  functionName: process.env['AWS_LAMBDA_FUNCTION_NAME'],
  functionVersion: '$LATEST',
  memoryLimitInMB: process.env['AWS_LAMBDA_FUNCTION_MEMORY_SIZE'],
  logGroupName: process.env['AWS_LAMBDA_LOG_GROUP_NAME'],
  logStreamName: process.env['AWS_LAMBDA_LOG_STREAM_NAME'],
  callbackWaitsForEmptyEventLoop: true,
  getRemainingTimeInMillis: () => Math.max(0, deadline - Date.now()),
})

const rssMaxBytes = (): number => process.resourceUsage().maxRSS * 1024

const serve = async (reply: (message: Reply) => void): Promise<void> => {
  const handler = await loadHandler().catch((error: unknown) => {
    reply({ type: 'init-error', error: functionError(error) })
  })
  // The runner ends this process once it has read why.
  if (!handler) return
  const invoke = async (request: Request): Promise<void> => {
    const { requestId } = request
    try {
      const result = await handler(JSON.parse(request.payload), contextOf(request))
      const payload = JSON.stringify(result) ?? 'null'
      reply({ type: 'result', requestId, payload, rssMaxBytes: rssMaxBytes() })
    } catch (error) {
      reply({ type: 'error', requestId, error: functionError(error), rssMaxBytes: rssMaxBytes() })
    }
  }
  process.on('message', (request) => void invoke(request as Request))
  reply({ type: 'ready' })
}

if (process.send) {
  // A runner that was killed must leave nothing behind.
  process.on('disconnect', () => process.exit(1))
  await serve((message) => void process.send?.(message))
}
