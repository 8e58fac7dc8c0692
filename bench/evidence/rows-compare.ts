import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { compareRun, judgeCompareRun } from '../../test/stack/rows-compare.ts'
import { createProofWorld, rowKeyOf } from '../../test/support/rows-proof-world.ts'
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

/** Exactly the rate of changes, whatever the machine: the clock goes on with the work. */
const inMemory = (rows: number): Run => ({
  name: `${rows} rows in memory, ${changesPerSecond} changes a second of a simulated clock`,
  run: async () => {
    const world = createProofWorld({ changesPerSecond, lagMs, pageItems: 1000 })
    await world.fill(rows)
    world.items.put(world.table, { pk: { S: 'planted#missing' } })
    const extra = rowKeyOf({ pk: { S: 'planted#extra' } })
    world.rows.tamper(world.table, extra, { key: extra, cells: new Map() })
    const changed = await world.both({ n: { N: '1' }, planted: { BOOL: true } })
    world.items.put(world.table, { ...changed, planted: { BOOL: false } })
    const made = world.made()
    const { report } = await world.check({ mode: 'full', repair: true })
    const kinds = report?.findings
      .map(({ kind, repaired }) => `${kind} ${repaired}`)
      .toSorted()
      .join()
    const problems = kinds === 'row-changed yes,row-extra yes,row-missing yes' ? [] : [`found ${kinds}`]
    const { scanned } = world.read
    if (scanned !== report?.counts['rowsReadAgain']) problems.push(`${scanned} rows were listed again`)
    return { figures: { rows, changes: world.made() - made, counts: report?.counts ?? {} }, problems }
  },
})

export const rowsCompare: Topic = {
  name: 'rows-compare',
  about: 'a full comparison finds 3 planted differences, and nothing of 1,000 changes a second that are in flight',
  seedsDefault: undefined,
  runs: () => [inMemory(1_000_000), onServers(50_000), onServers(1_000_000)],
}
