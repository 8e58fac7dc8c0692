import { CommanderError } from 'commander'
import {
  ChecksumMismatchError,
  ConflictError,
  CorruptError,
  DeniedError,
  FormatVersionError,
  InvalidInputError,
  LifeboatError,
  NotConfiguredError,
  NotFoundError,
  RefusedError,
  SupersededError,
  TargetDiskError,
  UnavailableError,
  UnsafePathError,
} from '../shared/errors.ts'

/** What the command's exit code says; printed at the end of every `--help`. */
export const exitCodes = {
  fine: 0,
  findings: 1,
  usage: 2,
  unreachable: 3,
  notFound: 4,
  corrupt: 5,
  defect: 70,
  interrupted: 130,
} as const

export const exitCodesHelp = `Exit codes:
  0    fine
  1    findings: the answer is no (something differs, is missing or is late)
  2    usage or configuration, or a target folder that cannot be written
  3    a cloud was unreachable or denied access
  4    not found
  5    corrupt or untrusted data
  70   a defect of lifeboat itself
  130  interrupted`

/** Thrown where the user or the system ends the command early. */
export class InterruptedError extends LifeboatError {
  override readonly name = 'InterruptedError'
}

/** Thrown where stdout has the whole answer and only the exit code is left to give, with a message where it needs one. */
export class AnsweredError extends LifeboatError {
  override readonly name = 'AnsweredError'
  readonly exitCode: number

  constructor(exitCode: number, message = '', options?: ErrorOptions) {
    super(message, options)
    this.exitCode = exitCode
  }
}

const codes: readonly (readonly [abstract new (...args: never[]) => LifeboatError, number])[] = [
  [InterruptedError, exitCodes.interrupted],
  [InvalidInputError, exitCodes.usage],
  [NotConfiguredError, exitCodes.usage],
  [TargetDiskError, exitCodes.usage],
  [UnavailableError, exitCodes.unreachable],
  [DeniedError, exitCodes.unreachable],
  [NotFoundError, exitCodes.notFound],
  [CorruptError, exitCodes.corrupt],
  [FormatVersionError, exitCodes.corrupt],
  [ChecksumMismatchError, exitCodes.corrupt],
  [UnsafePathError, exitCodes.corrupt],
  [ConflictError, exitCodes.findings],
  [RefusedError, exitCodes.findings],
  [SupersededError, exitCodes.findings],
]

/** The exit code of an error that ended a command. */
export const exitCodeOf = (error: unknown): number => {
  if (error instanceof AnsweredError) return error.exitCode
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.fine : exitCodes.usage
  return codes.find(([kind]) => error instanceof kind)?.[1] ?? exitCodes.defect
}

/** The work's result, or a rejection with the signal's reason as soon as it aborts; the work itself is left behind. */
export const unlessInterrupted = async <T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> => {
  signal.throwIfAborted()
  const interrupted = Promise.withResolvers<never>()
  const interrupt = (): void => interrupted.reject(signal.reason)
  signal.addEventListener('abort', interrupt, { once: true })
  try {
    return await Promise.race([work(), interrupted.promise])
  } finally {
    signal.removeEventListener('abort', interrupt)
  }
}
