import { setTimeout as sleep } from 'node:timers/promises'
import { type CliContext, openGcsReplica } from './context.ts'
import { exitCodes, InterruptedError } from './exit-codes.ts'
import { openReplicaFacts, openSource } from './open-doctor.ts'
import { openBigtableRows } from './open-rows.ts'
import { run } from './program.ts'

/** Runs the command of this process. A first interrupt ends it in order, a second one at once. */
export const main = async (): Promise<void> => {
  const interrupt = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.on(signal, () => {
      if (interrupt.signal.aborted) process.exit(exitCodes.interrupted)
      interrupt.abort(new InterruptedError('interrupted'))
    })
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    // The reader of a pipe (head, less) has gone.
    if (error.code === 'EPIPE') process.exit(exitCodes.fine)
    throw error
  })
  const context: CliContext = {
    stdout: process.stdout,
    stderr: process.stderr,
    cwd: process.cwd(),
    env: process.env,
    now: Date.now,
    signal: interrupt.signal,
    openReplica: (options) => openGcsReplica(context, options),
    openRows: (place) => openBigtableRows(context, place),
    // Loaded by the command that reads the source alone.
    openItems: async (place) => (await import('../shared/clouds/aws/open-items.ts')).openItems(place),
    openSource: (config) => openSource(context, config),
    openReplicaFacts: (config) => openReplicaFacts(context, config),
    wait: (ms) => sleep(ms, undefined, { signal: interrupt.signal }),
  }
  const code = await run(process.argv.slice(2), context)
  // Requests that an interrupt left behind would keep the process alive.
  if (code === exitCodes.interrupted) process.exit(code)
  process.exitCode = code
}
