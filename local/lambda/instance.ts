import { fork } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { FunctionError, Reply, Request } from './bootstrap.ts'
import type { FunctionSpec, Stack } from './stack.ts'

/** `payload` is JSON. */
export type Outcome = { ok: true; payload: string } | { ok: false; error: FunctionError; timedOut: boolean }

export type Instance = {
  pid: number
  invoke(request: Omit<Request, 'deadline'>): Promise<Outcome>
  /** The most memory that it is known to have held. */
  rssMaxBytes(): number
  alive(): boolean
  kill: () => void
  exited: Promise<void>
}

// What Lambda leaves to the handler's heap of the memory that is configured.
const heapShare = 0.9

export const instanceEnvironment = (stack: Stack, spec: FunctionSpec, folder: string): NodeJS.ProcessEnv => {
  const { PATH, HOME, TMPDIR } = process.env
  return {
    ...(PATH === undefined ? {} : { PATH }),
    ...(HOME === undefined ? {} : { HOME }),
    ...(TMPDIR === undefined ? {} : { TMPDIR }),
    ...spec.environment,
    _HANDLER: spec.handler,
    LAMBDA_TASK_ROOT: folder,
    AWS_REGION: stack.region,
    AWS_DEFAULT_REGION: stack.region,
    AWS_LAMBDA_FUNCTION_NAME: spec.name,
    AWS_LAMBDA_FUNCTION_MEMORY_SIZE: String(spec.memoryMb),
    AWS_LAMBDA_FUNCTION_VERSION: '$LATEST',
    AWS_LAMBDA_LOG_GROUP_NAME: `/aws/lambda/${spec.name}`,
    AWS_LAMBDA_LOG_STREAM_NAME: 'local',
    // The principal: the embedded clouds know a caller by its access key.
    AWS_ACCESS_KEY_ID: spec.role,
    AWS_SECRET_ACCESS_KEY: 'local',
    AWS_ENDPOINT_URL_S3: stack.endpoints.s3,
    AWS_ENDPOINT_URL_SQS: stack.endpoints.sqs,
    AWS_ENDPOINT_URL_DYNAMODB: stack.endpoints.dynamodb,
    AWS_ENDPOINT_URL_DYNAMODB_STREAMS: stack.endpoints.dynamodb,
    GCS_ENDPOINT: stack.endpoints.gcs,
    ...(stack.endpoints.bigtable === undefined ? {} : { BIGTABLE_ENDPOINT: stack.endpoints.bigtable }),
  }
}

const failed = (error: FunctionError, timedOut = false): Outcome => ({ ok: false, error, timedOut })

/**
 * Starts one process that runs one invocation at a time, as one Lambda sandbox does. A timeout kills it. Every line it
 * writes goes to `onLine`.
 */
export const startInstance = (options: {
  stack: Stack
  spec: FunctionSpec
  folder: string
  onLine: (line: string) => void
}): Instance => {
  const { stack, spec, folder, onLine } = options
  const child = fork(join(import.meta.dirname, 'bootstrap.ts'), {
    cwd: folder,
    env: instanceEnvironment(stack, spec, folder),
    execArgv: [
      '--disable-warning=ExperimentalWarning',
      `--max-old-space-size=${Math.floor(spec.memoryMb * heapShare)}`,
    ],
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  })
  for (const stream of [child.stdout, child.stderr]) if (stream) createInterface({ input: stream }).on('line', onLine)

  let rss = 0
  let alive = true
  let settle: ((outcome: Outcome) => void) | undefined
  const finish = (outcome: Outcome): void => {
    settle?.(outcome)
    settle = undefined
  }
  const ready = Promise.withResolvers<FunctionError | undefined>()
  const exit = Promise.withResolvers<void>()
  child.once('exit', (code, signal) => {
    alive = false
    const error = {
      errorType: 'Runtime.ExitError',
      errorMessage: `Runtime exited with ${signal ? `signal ${signal}` : `status ${code}`}`,
      trace: [],
    }
    ready.resolve(error)
    finish(failed(error))
  })
  // Its last lines come after its exit.
  child.once('close', () => exit.resolve())
  child.on('error', () => undefined)
  child.on('message', (message) => {
    const reply = message as Reply
    if (reply.type === 'ready') ready.resolve(undefined)
    else if (reply.type === 'init-error') {
      onLine(JSON.stringify({ level: 'ERROR', message: 'the function did not start', error: reply.error }))
      ready.resolve(reply.error)
    } else {
      rss = Math.max(rss, reply.rssMaxBytes)
      finish(reply.type === 'result' ? { ok: true, payload: reply.payload } : failed(reply.error))
    }
  })
  const kill = (): void => {
    alive = false
    child.kill('SIGKILL')
  }
  return {
    pid: child.pid ?? 0,
    exited: exit.promise,
    kill,
    alive: () => alive,
    rssMaxBytes: () => rss,
    invoke: async (request) => {
      const broken = await ready.promise
      if (broken) {
        kill()
        return failed(broken)
      }
      const { promise, resolve } = Promise.withResolvers<Outcome>()
      settle = resolve
      const timer = setTimeout(() => {
        const seconds = (spec.timeoutMs / 1000).toFixed(2)
        const errorMessage = `RequestId: ${request.requestId} Error: Task timed out after ${seconds} seconds`
        finish(failed({ errorType: 'Sandbox.Timedout', errorMessage, trace: [] }, true))
        kill()
      }, spec.timeoutMs)
      child.send({ ...request, deadline: Date.now() + spec.timeoutMs } satisfies Request, (error) => {
        if (error) finish(failed({ errorType: 'Runtime.ExitError', errorMessage: error.message, trace: [] }))
      })
      return promise.finally(() => clearTimeout(timer))
    },
  }
}
