import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fullRun } from '../../test/backfill/full/run.ts'
import { backfillRun, judgeBackfillRun } from '../../test/stack/backfill-run.ts'
import type { Run, Topic } from './topic.ts'

/**
 * `seconds`: what both take at least, by their limits, so that objects and rows are under way together. `lag`: the limits leave
 * these cores, which all clouds and functions share, to production, and how late it is then is judged.
 */
const backfillOf = ({ lag, ...options }: { objects: number; rows: number; seconds: number; lag: boolean }): Run => ({
  name: `${options.objects} objects and ${options.rows} rows${lag ? `, limited to take ${options.seconds} s` : ''}`,
  run: async (say) => {
    const dir = await mkdtemp(join(tmpdir(), 'lifeboat-backfill-evidence-'))
    try {
      const run = await backfillRun(dir, { ...options, ...(lag && { baselineSeconds: 120 }), say })
      const { accounts, estimates, seconds, live, before, quietAfterSeconds, compared, validated } = run
      const problems = judgeBackfillRun(run, options)
      if (lag && live.p99 > 2 * before.p99)
        problems.push(`live p99 lag ${live.p99} ms, ${before.p99} ms without the backfill`)
      const figures = {
        ...options,
        took: seconds,
        quietAfterSeconds,
        liveLagMs: live,
        liveLagBeforeMs: before,
        objectsCounted: accounts.objects.counts,
        rowsCounted: accounts.rows.counts,
        objectsEstimated: {
          bytesRead: estimates.objects['bytesRead'] ?? 0,
          bytesSent: estimates.objects['bytesSent'] ?? 0,
        },
        rowsEstimated: { bytesRead: estimates.rows['bytesRead'] ?? 0, bytesSent: estimates.rows['bytesSent'] ?? 0 },
        validateEndedWith: validated.code,
        rowsCompared: compared?.counts['items'] ?? 0,
      }
      return { figures, problems }
    } finally {
      await rm(dir, { recursive: true, force: true })
    }
  },
})

const inMemory = (objects: number, rows: number): Run => ({
  name: `in memory: ${objects} objects and ${rows} rows`,
  run: (say) => fullRun({ objects, rows, seed: 42, say }),
})

export const backfill: Topic = {
  name: 'backfill',
  about: 'objects and rows from before are brought in while production runs, killed twice, paused and resumed',
  seedsDefault: undefined,
  runs: () => [
    inMemory(100_000, 1_000_000),
    backfillOf({ objects: 200, rows: 10_000, seconds: 200, lag: true }),
    backfillOf({ objects: 2000, rows: 50_000, seconds: 300, lag: false }),
  ],
}
