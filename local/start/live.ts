import cliProgress from 'cli-progress'
import { humanBytes } from '../../cli/output.ts'
import type { RowsProgress } from './rows.ts'
import type { Counters } from './watch.ts'

/** How a run looks while it goes on: a bar and a line of rows on a terminal, plain lines elsewhere, nothing with --json. */
export type Live = {
  say(line: string): void
  begin(title: string, sourceBytes: number): { show(counters: Counters, rows: RowsProgress): void; end(): void }
  beginRows(): { show(rows: RowsProgress): void; end(): void }
}

const plainEveryMs = 3000

const describe = (counters: Counters, seconds: number): string => {
  const rate = humanBytes(Math.round(counters.bytesRead / Math.max(seconds, 0.001)))
  const chunks = counters.chunksSent + counters.chunksReused
  const { bytesRead, bytesSent, bytesSaved, segments } = counters
  const moved = `read ${humanBytes(bytesRead)}, sent ${humanBytes(bytesSent)}, saved ${humanBytes(bytesSaved)}`
  return `${moved}, ${rate}/s, ${segments} segments, ${chunks} chunks, ${seconds.toFixed(0)}s`
}

const describeRows = ({ written, applied, stale, lagLastSeconds }: RowsProgress): string =>
  `${written} changes written, ${applied} applied, ${stale} stale, lag ${lagLastSeconds.toFixed(1)}s`

const createPlain = (say: Live['say']): Pick<Live, 'begin' | 'beginRows'> => {
  const every = (): ((line: () => string) => void) => {
    let shownAt = Date.now()
    return (line) => {
      if (Date.now() - shownAt < plainEveryMs) return
      shownAt = Date.now()
      say(`  ${line()}`)
    }
  }
  return {
    begin: (title) => {
      const startedAt = Date.now()
      const show = every()
      say(`${title}: published, replicating`)
      return {
        show: (counters, rows) =>
          show(() => `${describe(counters, (Date.now() - startedAt) / 1000)}; rows: ${describeRows(rows)}`),
        end: () => undefined,
      }
    },
    beginRows: () => {
      const show = every()
      return { show: (rows) => show(() => `rows: ${describeRows(rows)}`), end: () => undefined }
    },
  }
}

const createTerminal = (out: NodeJS.WriteStream): Pick<Live, 'begin' | 'beginRows'> => {
  const open = (): cliProgress.MultiBar =>
    new cliProgress.MultiBar({ format: '{text}', barsize: 16, hideCursor: true, stream: out, linewrap: false })
  const rowsLine = { format: `${'feature rows'.padEnd(24)} {text}` }
  return {
    begin: (title, sourceBytes) => {
      const startedAt = Date.now()
      const bars = open()
      const total = Math.max(1, sourceBytes)
      const text = 'published, replicating'
      const bar = bars.create(total, 0, { text }, { format: `${title.slice(0, 24).padEnd(24)} [{bar}] {text}` })
      const line = bars.create(1, 0, { text: '' }, rowsLine)
      return {
        show: (counters, rows) => {
          bar.update(Math.min(counters.bytesRead, sourceBytes), {
            text: describe(counters, (Date.now() - startedAt) / 1000),
          })
          line.update(0, { text: describeRows(rows) })
        },
        end: () => {
          bar.update(total)
          // The next bar has its own line of rows.
          bars.remove(line)
          bars.stop()
        },
      }
    },
    beginRows: () => {
      const bars = open()
      const line = bars.create(1, 0, { text: '' }, rowsLine)
      return { show: (rows) => line.update(0, { text: describeRows(rows) }), end: () => bars.stop() }
    },
  }
}

export const createLive = (out: NodeJS.WriteStream, silent: boolean): Live => {
  const nothing = { show: () => undefined, end: () => undefined }
  if (silent) return { say: () => undefined, begin: () => nothing, beginRows: () => nothing }
  const say = (line: string): void => void out.write(`${line}\n`)
  const isPlain = !out.isTTY || process.env['TERM'] === 'dumb'
  return { say, ...(isPlain ? createPlain(say) : createTerminal(out)) }
}
