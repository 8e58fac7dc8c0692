import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { compareRun } from '../test/stack/rows-compare.ts'
import { withFolder } from './local-stack.ts'
import { loadNote, loadOf } from './load.ts'
import { mebibytes, seconds, type Section } from './report.ts'
import type { CompareAlone } from './rows/compare-alone.ts'

/** A full comparison of a table with its replica: time, and memory by the size of the table. */

const aloneEntry = fileURLToPath(new URL('rows/compare-alone.ts', import.meta.url))

type Compared = { name: string; rows: number; seconds: number; aboveIdleBytes: number | undefined }

const compareGenerated = async (rows: number): Promise<Compared> => {
  const { stdout } = await promisify(execFile)(process.execPath, [aloneEntry, String(rows)])
  const { seconds: taken, rssIdleBytes, rssMaxBytes } = JSON.parse(stdout) as CompareAlone
  return { name: 'both sides generated', rows, seconds: taken, aboveIdleBytes: rssMaxBytes - rssIdleBytes }
}

const compareOnServers = (rows: number): Promise<Compared> =>
  withFolder(async (dir) => {
    const run = await compareRun(dir, { rows, changesPerSecond: 1, lagMs: 500 })
    return { name: 'embedded DynamoDB and Bigtable', rows, seconds: run.seconds, aboveIdleBytes: undefined }
  })

export const benchCompare = async ({ quick }: { quick: boolean }): Promise<Section[]> => {
  const load = loadOf()
  const all = [
    await compareGenerated(quick ? 20_000 : 100_000),
    await compareGenerated(quick ? 100_000 : 1_000_000),
    await compareOnServers(quick ? 5000 : 50_000),
  ]
  return [
    {
      id: 'compare',
      title: 'A table compared with its replica',
      head: ['what', 'rows', 'seconds', 'rows/s', 'above idle MiB'],
      rows: all.map((one) => [
        one.name,
        String(one.rows),
        seconds(one.seconds),
        (one.rows / one.seconds).toFixed(0),
        one.aboveIdleBytes === undefined ? '-' : mebibytes(one.aboveIdleBytes),
      ]),
      notes: [
        'Every item is encoded and compared with its row, then all keys of the replica are listed. Generated: what the comparison itself takes, of items with 10 attributes; their making is in it.',
        'On the embedded stores the time is that of a comparison which finds and repairs 3 planted differences, with the wait until they count; the stores share the 2 cores with it.',
        'Memory is the largest resident set of a process that does nothing else, as the kernel counts it, above that before there was a table; the order of the generated keys, 4 bytes a row, is in it.',
        ...loadNote(load),
      ],
    },
  ]
}
