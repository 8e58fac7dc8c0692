import { LifeboatError } from '../../shared/errors.ts'
import type { RowStore } from '../../shared/features/row-store.ts'
import { formatSecond } from '../arguments.ts'
import type { CliContext } from '../context.ts'
import { AnsweredError, exitCodeOf, exitCodes, unlessInterrupted } from '../exit-codes.ts'
import { cutEnd } from '../fit.ts'
import { createJsonStream, writeText } from '../json-stream.ts'
import { plural, printable, widthOf } from '../output.ts'
import { createCounter } from '../progress.ts'
import { namesIn } from './find-row.ts'
import { type KeyReading, readingText } from './key-text.ts'
import {
  lineJson,
  lineText,
  noCounts,
  type Partition,
  rangeOfPartition,
  type ScanCounts,
  type ScanLine,
  scanLines,
  wholeTable,
} from './scan.ts'

export type ScanRequest = {
  table: string
  target: string
  partition: readonly KeyReading[] | undefined
  second: number | undefined
  limit: number | undefined
}

type Printer = { add(line: ScanLine): Promise<void>; end(counts: ScanCounts, truncated: boolean): Promise<void> }

const summaryOf = (counts: ScanCounts, truncated: boolean, { second, limit }: ScanRequest): string => {
  const { present, absent, unknown, corrupt } = counts
  const parts = [plural(present, 'item')]
  if (absent > 0) parts.push(`${absent} ${second === undefined ? 'deleted' : 'not there then'}`)
  if (unknown > 0) parts.push(`${unknown} unknown`)
  if (corrupt > 0) parts.push(`${corrupt} corrupt`)
  const when = second === undefined ? '' : ` as of the end of ${formatSecond(second)}`
  return `${parts.join(', ')}${when}${truncated ? `; there are more than --limit ${limit}` : ''}`
}

const createTextPrinter = (context: CliContext, request: ScanRequest, quiet: boolean): Printer => {
  const width = widthOf(context.stdout)
  return {
    add: (line) => {
      const text = printable(lineText(line))
      return writeText(context.stdout, `${width === undefined ? text : cutEnd(text, width)}\n`)
    },
    end: async (counts, truncated) => {
      if (!quiet) context.stderr.write(`${summaryOf(counts, truncated, request)}\n`)
    },
  }
}

/** Every line that is to be printed goes to `add`; true where the limit left some out. */
const readLines = async (
  lines: AsyncIterable<ScanLine> | Iterable<ScanLine>,
  limit: number | undefined,
  counts: ScanCounts,
  add: (line: ScanLine) => Promise<void>,
): Promise<boolean> => {
  let printed = 0
  for await (const line of lines) {
    if (line.state === 'absent') {
      counts.absent += 1
      continue
    }
    if (printed === limit) return true
    printed += 1
    counts[line.state] += 1
    await add(line)
  }
  return false
}

/** Says, of the first item, that the name which was given with the partition key is not that of its attribute. */
const warnOnce = (context: CliContext, reading: KeyReading | undefined): ((line: ScanLine) => void) => {
  let isDone = reading === undefined
  return (line) => {
    if (isDone || !reading || line.state !== 'present') return
    isDone = true
    if (namesIn(reading, line.item) === 'equal') return
    const text = `the items have no attribute ${readingText(reading)}: found by the value of the partition key alone`
    context.stderr.write(`lifeboat: ${printable(text)}\n`)
  }
}

const findings = ({ unknown, corrupt }: ScanCounts): AnsweredError | undefined => {
  if (corrupt > 0)
    return new AnsweredError(exitCodes.corrupt, `${plural(corrupt, 'row')} cannot be read as Lifeboat wrote it`)
  if (unknown > 0) return new AnsweredError(exitCodes.findings, `${plural(unknown, 'row')} unknown at that time`)
  return undefined
}

const asError = (error: unknown): Record<string, unknown> => ({
  name: error instanceof Error ? error.name : 'Error',
  message: error instanceof Error ? error.message : String(error),
  exitCode: exitCodeOf(error),
})

/** Prints the rows as they come. Throws AnsweredError where one of them was unknown or damaged. */
export const printScan = async (
  context: CliContext,
  rows: RowStore,
  request: ScanRequest,
  { json, quiet }: { json: boolean; quiet: boolean },
): Promise<void> => {
  const { table, target, partition, second, limit } = request
  const head = { table, at: second === undefined ? null : formatSecond(second) }
  const stream = createJsonStream(context.stdout, head, 'items')
  const printer: Printer = json
    ? { add: (line) => stream.add(lineJson(line)), end: (counts, truncated) => stream.end({ counts, truncated }) }
    : createTextPrinter(context, request, quiet)
  const counts = noCounts()
  const counter = createCounter(context, { label: 'rows', silent: quiet || json || context.stdout.isTTY === true })
  const work = async (): Promise<void> => {
    const { range, reading }: Partition = partition
      ? await rangeOfPartition(rows, target, partition)
      : { range: wholeTable }
    const lines = range ? scanLines(rows, target, range, { second, nowMs: () => context.now() }) : []
    const warn = warnOnce(context, reading)
    const truncated = await readLines(lines, limit, counts, async (line) => {
      context.signal.throwIfAborted()
      counter.add(1)
      warn(line)
      await printer.add(line)
    })
    await printer.end(counts, truncated)
  }
  try {
    await unlessInterrupted(context.signal, work)
  } catch (error) {
    if (!stream.isOpen()) throw error
    await stream.end({ counts, truncated: true, error: asError(error) })
    const message = error instanceof Error ? error.message : String(error)
    const known = error instanceof LifeboatError
    throw new AnsweredError(exitCodeOf(error), known ? message : `unexpected: ${message}`, { cause: error })
  }
  const found = findings(counts)
  if (found) throw found
}
