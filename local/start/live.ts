import cliProgress from 'cli-progress'
import { humanBytes } from '../../cli/output.ts'
import type { Counters } from './watch.ts'

/** How a run looks while it goes on: a bar on a terminal, plain lines elsewhere, nothing with --json. */
export type Live = {
  say(line: string): void
  begin(title: string, sourceBytes: number): { show(counters: Counters): void; end(): void }
}

const plainEveryMs = 3000

const describe = (counters: Counters, seconds: number): string => {
  const rate = humanBytes(Math.round(counters.bytesRead / Math.max(seconds, 0.001)))
  const chunks = counters.chunksSent + counters.chunksReused
  const { bytesRead, bytesSent, bytesSaved, segments } = counters
  const moved = `read ${humanBytes(bytesRead)}, sent ${humanBytes(bytesSent)}, saved ${humanBytes(bytesSaved)}`
  return `${moved}, ${rate}/s, ${segments} segments, ${chunks} chunks, ${seconds.toFixed(0)}s`
}

export const createLive = (out: NodeJS.WriteStream, silent: boolean): Live => {
  const say = (line: string): void => {
    if (!silent) out.write(`${line}\n`)
  }
  const isPlain = !out.isTTY || process.env['TERM'] === 'dumb'
  return {
    say,
    begin: (title, sourceBytes) => {
      const startedAt = Date.now()
      const seconds = (): number => (Date.now() - startedAt) / 1000
      if (silent) return { show: () => undefined, end: () => undefined }
      if (isPlain) {
        let shownAt = startedAt
        say(`${title}: published, replicating`)
        return {
          show: (counters) => {
            if (Date.now() - shownAt < plainEveryMs) return
            shownAt = Date.now()
            say(`  ${describe(counters, seconds())}`)
          },
          end: () => undefined,
        }
      }
      const bar = new cliProgress.SingleBar({
        format: `${title.slice(0, 24).padEnd(24)} [{bar}] {text}`,
        barsize: 16,
        hideCursor: true,
        stream: out,
        linewrap: false,
      })
      bar.start(Math.max(1, sourceBytes), 0, { text: 'published, replicating' })
      return {
        show: (counters) =>
          bar.update(Math.min(counters.bytesRead, sourceBytes), { text: describe(counters, seconds()) }),
        end: () => {
          bar.update(Math.max(1, sourceBytes))
          bar.stop()
        },
      }
    },
  }
}
