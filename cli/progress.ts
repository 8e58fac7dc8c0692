import cliProgress from 'cli-progress'
import type { CliContext } from './context.ts'
import { humanBytes, humanDuration } from './output.ts'

export type Progress = {
  /** Bytes (or of what is counted) done since the last call. */
  add(done: number): void
  stop(): void
}

const plainEveryMs = 5000
/** A bar with fewer characters says less than the percentage beside it. */
const barCharacters = { min: 8, max: 24 }
/** The widest text beside the bar, with its brackets and spaces. */
const textCharacters = 64

const describe = (done: number, total: number, elapsedMs: number, noun: string | undefined): string => {
  // A total may be an estimate.
  const percent = total === 0 ? 100 : Math.min(100, Math.floor((done / total) * 100))
  const perMs = elapsedMs > 0 ? done / elapsedMs : 0
  const left = perMs > 0 && done < total ? `, ${humanDuration((total - done) / perMs)} left` : ''
  const rate = Math.round(perMs * 1000)
  return noun === undefined
    ? `${percent}%  ${humanBytes(done)} of ${humanBytes(total)}, ${humanBytes(rate)}/s${left}`
    : `${percent}%  ${done} of ${total} ${noun}, ${rate}/s${left}`
}

const createBar = (stream: NodeJS.WritableStream, columns: number, label: string): cliProgress.SingleBar => {
  const characters = Math.min(barCharacters.max, columns - textCharacters - label.length)
  const bar = characters < barCharacters.min ? '' : '[{bar}] '
  return new cliProgress.SingleBar({
    format: `${label} ${bar}{text}`,
    barsize: Math.max(1, characters),
    hideCursor: true,
    clearOnComplete: false,
    linewrap: false,
    stream,
  })
}

/**
 * Progress on stderr: a bar on a terminal, a line every few seconds elsewhere or on a terminal that cannot move its
 * cursor, nothing with --quiet or --json. The estimate is the rate since the start. With `noun`, `totalBytes` counts those
 * instead of bytes.
 */
export const createProgress = (
  context: Pick<CliContext, 'stderr' | 'env' | 'now'>,
  options: { label: string; totalBytes: number; silent: boolean; noun?: string },
): Progress => {
  const { label, totalBytes, silent, noun } = options
  const { stderr } = context
  if (silent) return { add: () => undefined, stop: () => undefined }
  const startedAt = context.now()
  let doneBytes = 0
  const text = (): string => describe(doneBytes, totalBytes, context.now() - startedAt, noun)
  if (stderr.isTTY && context.env['TERM'] !== 'dumb') {
    const bar = createBar(stderr, stderr.columns ?? 80, label)
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
      stderr.write(`${label} ${text()}\n`)
    },
    stop: () => undefined,
  }
}

/** A line with a count every few seconds, for work whose end is not known. */
export const createCounter = (
  context: Pick<CliContext, 'stderr' | 'now'>,
  { label, silent }: { label: string; silent: boolean },
): { add(count: number): void } => {
  const startedAt = context.now()
  let printedAt = startedAt
  let done = 0
  return {
    add: (count) => {
      done += count
      const nowMs = context.now()
      if (silent || nowMs - printedAt < plainEveryMs) return
      printedAt = nowMs
      context.stderr.write(`${done} ${label}, ${Math.round((done * 1000) / (nowMs - startedAt))}/s\n`)
    },
  }
}
