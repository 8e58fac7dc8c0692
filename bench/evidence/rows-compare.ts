import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { compareRun, judgeCompareRun } from '../../test/stack/rows-compare.ts'
import type { Run, Topic } from './topic.ts'

/** Long lags would only make the run longer: what is in flight is two seconds of changes at any time. */
const lagMs = 2000
const changesPerSecond = 1000

const onServers = (rows: number): Run => ({
  name: `${rows} rows in the embedded DynamoDB and Bigtable, ${changesPerSecond} changes a second`,
  run: async (say) => {
    const dir = await mkdtemp(join(tmpdir(), 'lifeboat-rows-compare-'))
    try {
      const run = await compareRun(dir, { rows, changesPerSecond, lagMs, say })
      const figures = {
        rows,
        changes: run.changes,
        changesPerSecond: Math.round(run.changesPerSecond),
        seconds: Math.round(run.seconds),
        rowsListed: run.rowsListed,
        counts: run.found.counts,
      }
      return { figures, problems: judgeCompareRun(run) }
    } finally {
      await rm(dir, { recursive: true, force: true })
    }
  },
})

export const rowsCompare: Topic = {
  name: 'rows-compare',
  about: 'a full comparison finds 3 planted differences, and nothing of 1,000 changes a second that are in flight',
  seedsDefault: undefined,
  runs: () => [onServers(50_000), onServers(1_000_000)],
}
