/** Called, and awaited, around every call of a port with `<port>.<operation>`; what it throws is thrown in the call's place. */
export type OnStep = (step: string, when: 'before' | 'after') => void | Promise<void>

type Call = (...args: unknown[]) => unknown

async function* watched(items: AsyncIterable<unknown>, step: string, onStep: OnStep): AsyncGenerator {
  await onStep(step, 'before')
  yield* items
  await onStep(step, 'after')
}

const wrap =
  (call: Call, step: string, onStep: OnStep): Call =>
  (...args) => {
    const isGenerator = call.constructor.name === 'AsyncGeneratorFunction'
    if (isGenerator) return watched(call(...args) as AsyncIterable<unknown>, step, onStep)
    const run = async (): Promise<unknown> => {
      await onStep(step, 'before')
      const result = await call(...args)
      await onStep(step, 'after')
      return result
    }
    return run()
  }

/**
 * The same port with every step observed, so that a test can make any of them fail: before it, as a call that never
 * arrived, or after it, as a reply that was lost.
 */
export const withSteps = <T extends object>(name: string, port: T, onStep: OnStep): T => {
  const entries = Object.entries(port).map(([operation, value]) => [
    operation,
    typeof value === 'function' ? wrap(value as Call, `${name}.${operation}`, onStep) : (value as unknown),
  ])
  return Object.fromEntries(entries) as T
}
