import {
  type handleServerStreamingCall,
  type handleUnaryCall,
  type ServerWritableStream,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js'
import { type Fault, takeFault } from '../http.ts'
import { ApiError } from './api-error.ts'

export type Unary<Request = never> = (request: Request) => unknown
/** Yields the messages of the answer. */
export type Streaming<Request = never> = (request: Request) => Iterable<unknown>
export type CallStats = Record<string, { calls: number; refused: number; faults: number }>

/** `settled` is waited for before anything is answered. */
export type Shared = { faults: Fault[]; stats: CallStats; settled: () => Promise<void> | undefined }
type Method = Shared & { path: string }

const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

const toStatus = (error: unknown): { code: status; details: string } => {
  if (error instanceof ApiError) return { code: error.code, details: error.details }
  console.error(error)
  return { code: status.INTERNAL, details: String(error) }
}

const cutOff = (): ApiError => new ApiError(status.UNAVAILABLE, 'a fault was switched on: the connection was cut')

/** Answers the fault that is due for this method, if any: what is thrown is the answer; `true` is "lose the reply". */
const meetFault = async ({ path, faults, stats }: Method): Promise<boolean> => {
  const fault = faults.length > 0 ? takeFault(faults, path) : undefined
  if (!fault) return false
  const counted = stats[path]
  if (counted) counted.faults += 1
  if (fault.delayMs) await wait(fault.delayMs)
  if (fault.cut === 'before') throw cutOff()
  if (fault.status !== undefined) throw new ApiError(fault.status, 'a fault was switched on')
  return fault.cut === 'after'
}

const count = ({ path, stats }: Method): CallStats[string] => {
  const counted = (stats[path] ??= { calls: 0, refused: 0, faults: 0 })
  counted.calls += 1
  return counted
}

const toUnary =
  (method: Method, work: Unary): handleUnaryCall<unknown, unknown> =>
  (call, callback) => {
    const counted = count(method)
    const run = async (): Promise<void> => {
      try {
        const isLost = method.faults.length > 0 && (await meetFault(method))
        const answer = await work(call.request as never)
        await method.settled()
        if (isLost) throw cutOff()
        callback(null, answer)
      } catch (error) {
        counted.refused += 1
        callback(toStatus(error))
      }
    }
    void run()
  }

const send = async (call: ServerWritableStream<unknown, unknown>, message: unknown): Promise<void> => {
  if (call.write(message)) return
  await new Promise<void>((resolve) => {
    call.once('drain', resolve)
    call.once('cancelled', resolve)
  })
}

const toStreaming =
  (method: Method, work: Streaming): handleServerStreamingCall<unknown, unknown> =>
  (call) => {
    const counted = count(method)
    const run = async (): Promise<void> => {
      const isLost = method.faults.length > 0 && (await meetFault(method))
      for (const message of work(call.request as never)) {
        if (call.cancelled) return
        await method.settled()
        if (!isLost) await send(call, message)
      }
      if (isLost) throw cutOff()
      call.end()
    }
    run().catch((error: unknown) => {
      counted.refused += 1
      call.emit('error', toStatus(error))
    })
  }

/** The handlers of a service by method name; those that it does not name, gRPC answers UNIMPLEMENTED. */
export const createHandlers = (
  service: string,
  methods: { unary: Record<string, Unary>; streaming?: Record<string, Streaming> },
  shared: Shared,
): UntypedServiceImplementation => {
  const methodOf = (name: string): Method => ({ path: `/${service}/${name}`, ...shared })
  return {
    ...Object.fromEntries(Object.entries(methods.unary).map(([name, work]) => [name, toUnary(methodOf(name), work)])),
    ...Object.fromEntries(
      Object.entries(methods.streaming ?? {}).map(([name, work]) => [name, toStreaming(methodOf(name), work)]),
    ),
  }
}
