import { humanBytes, renderTable } from '../../cli/output.ts'
import type { Counters } from './watch.ts'

/** What one publish came to. `sourceBytes` is the size of its files; `lagSeconds` from its last object to its release. */
export type Outcome = {
  title: string
  objects: number
  sourceBytes: number
  counters: Counters
  lagSeconds: number
  state: string
  identical: boolean
}

const percent = (part: number, whole: number): string =>
  whole === 0 ? '-' : `${((100 * part) / whole).toFixed(part > 0 && part / whole < 0.001 ? 3 : 1)}%`

/** `width` is that of the terminal, undefined where there is none. */
export const outcomeTable = (outcomes: readonly Outcome[], width: number | undefined): string =>
  renderTable(
    ['publish', 'objects', 'size', 'read', 'sent', 'sent/size', 'chunks', 'reused', 'lag', 'state', 'restored'],
    outcomes.map(({ title, objects, sourceBytes, counters, lagSeconds, state, identical }) => [
      title,
      String(objects),
      humanBytes(sourceBytes),
      humanBytes(counters.bytesRead),
      humanBytes(counters.bytesSent),
      percent(counters.bytesSent, sourceBytes),
      String(counters.chunksSent),
      String(counters.chunksReused),
      `${lagSeconds.toFixed(1)}s`,
      state,
      identical ? 'identical' : 'DIFFERS',
    ]),
    ['objects', 'size', 'read', 'sent', 'sent/size', 'chunks', 'reused', 'lag'],
    { width, squeezes: [{ column: 'publish', to: 'wrap', charactersMin: 10 }] },
  )

/** The one line that `--json` ends with. */
export const outcomeJson = (outcomes: readonly Outcome[]): string => {
  const sum = (of: (outcome: Outcome) => number): number => outcomes.reduce((total, outcome) => total + of(outcome), 0)
  return JSON.stringify({
    schema: 1,
    objects: sum(({ objects }) => objects),
    bytesRead: sum(({ counters }) => counters.bytesRead),
    bytesSent: sum(({ counters }) => counters.bytesSent),
    chunks: sum(({ counters }) => counters.chunksSent + counters.chunksReused),
    chunksReused: sum(({ counters }) => counters.chunksReused),
    lagSeconds: Math.max(...outcomes.map(({ lagSeconds }) => lagSeconds)),
    verified: outcomes.every(({ state, identical }) => state === 'protected' && identical),
    publishes: outcomes.map(({ title, objects, sourceBytes, counters, lagSeconds, state, identical }) => ({
      title,
      objects,
      size: sourceBytes,
      bytesRead: counters.bytesRead,
      bytesSent: counters.bytesSent,
      chunkBytesSent: counters.chunkBytesSent,
      chunks: counters.chunksSent + counters.chunksReused,
      chunksReused: counters.chunksReused,
      lagSeconds,
      state,
      verified: state === 'protected' && identical,
    })),
  })
}
