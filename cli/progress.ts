import cliProgress from 'cli-progress'
import type { CliContext } from './context.ts'
import { humanBytes, humanDuration } from './output.ts'

export type Progress = {
  /** Bytes done since the last call. */
  add(bytes: number): void
  stop(): void
}

const plainEveryMs = 5000

const describe = (doneBytes: number, totalBytes: number, elapsedMs: number): string => {
  const percent = totalBytes === 0 ? 100 : Math.floor((doneBytes / totalBytes) * 100)
  const perMs = elapsedMs > 0 ? doneBytes / elapsedMs : 0
  const left = perMs > 0 ? `, ${humanDuration((totalBytes - doneBytes) / perMs)} left` : ''
  return `${percent}%  ${humanBytes(doneBytes)} of ${humanBytes(totalBytes)}, ${humanBytes(Math.round(perMs * 1000))}/s${left}`
}

/**
 * Progress on stderr: a bar on a terminal, a line every few seconds elsewhere, nothing with --quiet or --json. The
 * estimate is the rate since the start.
 */
export const createProgress = (
  context: CliContext,
  options: { label: string; totalBytes: number; silent: boolean },
): Progress => {
  const { label, totalBytes, silent } = options
  if (silent) return { add: () => undefined, stop: () => undefined }
  const startedAt = context.now()
  let doneBytes = 0
  const text = (): string => describe(doneBytes, totalBytes, context.now() - startedAt)
  if (context.stderr.isTTY) {
    const bar = new cliProgress.SingleBar({
      format: `${label} [{bar}] {text}`,
      barsize: 24,
      hideCursor: true,
      clearOnComplete: false,
      stream: context.stderr,
    })
    bar.start(Math.max(1, totalBytes), 0, { text: text() })
    return {
      add: (bytes) => {
        doneBytes += bytes
        bar.update(doneBytes, { text: text() })
      },
      stop: () => bar.stop(),
    }
  }
  let printedAt = startedAt
  return {
    add: (bytes) => {
      doneBytes += bytes
      if (context.now() - printedAt < plainEveryMs) return
      printedAt = context.now()
      context.stderr.write(`${label} ${text()}\n`)
    },
    stop: () => undefined,
  }
}
